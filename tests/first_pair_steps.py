"""Losses of the first steps on pairs and on episodes, to compare settings of speed with the plain path.

Run as ``python -m tests.first_pair_steps DEVICE PARTS...`` it prints both for every PARTS, and scores: see
tests/first_steps.py, also for why the compiler's back end is left out on a CPU.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._dynamo.utils import counters

from oneshot.classify.distortions import draw_distortions
from oneshot.classify.feeds import EpisodeFeed, EpisodeLoss, EpochFeed, NetworkLoss, PairLoss
from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.nets.network import set_order
from oneshot.classify.pairs import PairSource, source_of
from oneshot.classify.recipes import Own
from oneshot.classify.scoring import NetworkScorer
from oneshot.omniglot.classes import omniglot_classes
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.training.fit import fit
from oneshot.training.initial_weights import fill_he
from oneshot.training.speed import Speed, choose_speed
from tests.first_steps import tracing_only

N_STEPS, BATCH_SIZE = 6, 8
KINDS = ("pairs", "episodes")


class DistortedPairs(EpochFeed):
    """New pairs all the time, every one distorted."""

    def __init__(self, source: PairSource, seed: int) -> None:
        super().__init__(N_STEPS * BATCH_SIZE, BATCH_SIZE, n_epochs=1)
        self.source, self.seed = source, seed

    def batch(self, step: int) -> tuple[torch.Tensor, ...]:
        numbers = np.arange(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        pairs = self.source.draw(numbers, self.seed)
        inverses = draw_distortions(self.seed, numbers, np.ones_like(numbers))
        return tuple(torch.from_numpy(array) for array in (pairs.drawings, pairs.same, inverses))


def pair_figures(speed: Speed, kind: str) -> dict[str, Any]:
    """From the same start on the same batches: every step's loss, then scores of two drawings against all."""
    drawings = draw_alphabets(np.random.default_rng(7), {"train": 1}, 4)
    net = KochSmall((4, 4, 4, 8), 16).initialise(np.random.default_rng(0))
    for convolution in net.base.convolutions:
        fill_he(convolution.weight, np.random.default_rng(2))
    everything = np.ones(4, bool)
    feed: EpochFeed
    if kind == "pairs":
        source = source_of(drawings, everything, (0, 20))
        feed = DistortedPairs(source, seed=1)
        loss: NetworkLoss = PairLoss(net, drawings.numbered())
    else:
        classes = omniglot_classes(drawings, everything)
        feed = EpisodeFeed(
            classes, seed=1, n_way=5, n_query=2, n_epoch=N_STEPS, within_alphabets=True, distorted=True
        )
        loss = EpisodeLoss(net, drawings.numbered(), n_way=5, n_shot=1)
    with tempfile.TemporaryDirectory() as folder:
        set_order(loss, speed.memory_format)
        progress = fit(loss, feed, Own(), checkpoint=Path(folder) / "run", log_every=1, speed=speed)
    scorer = NetworkScorer(net, speed)
    codes = scorer.encode(drawings.unpack()[:, 0])
    scores = scorer.compare(codes[:2], codes).tolist()
    return {"losses": [point.loss for point in progress.curve], "scores": scores}


if __name__ == "__main__":
    device, *settings = sys.argv[1:]
    if device == "cpu":
        torch.compile = tracing_only(torch.compile)
    found: dict[str, dict[str, Any]] = {}
    for parts in settings:
        found[parts] = {}
        for kind in KINDS:
            torch._dynamo.reset()
            counters.clear()
            found[parts][kind] = pair_figures(choose_speed(device, parts), kind)
            found[parts][kind]["n_graphs"] = counters["stats"]["unique_graphs"]
    print(json.dumps(found))
