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

from oneshot.classify.episode_feeds import EpisodeFeed, SiameseEpisodeLoss
from oneshot.classify.nets.koch import KochSmall, SiamesePair
from oneshot.classify.pair_feeds import EndlessPairs, PairLoss
from oneshot.classify.pairs import source_of
from oneshot.classify.recipes import Own
from oneshot.classify.scorers import SiameseScorer
from oneshot.classify.training import Feed, LossOfNet, fit_pairs
from oneshot.omniglot.classes import omniglot_classes
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.training.speed import Speed, choose_speed
from tests.first_steps import tracing_only

N_STEPS, BATCH_SIZE = 6, 8
KINDS = ("pairs", "episodes")


def pair_figures(speed: Speed, kind: str) -> dict[str, Any]:
    """From the same start on the same batches: every step's loss, then scores of two drawings against all."""
    drawings = draw_alphabets(np.random.default_rng(7), {"train": 1}, 4)
    net = SiamesePair(KochSmall((4, 4, 4, 8), 16)).initialise(torch.Generator().manual_seed(0))
    for convolution in net.base.convolutions:
        torch.nn.init.kaiming_normal_(convolution.weight, generator=torch.Generator().manual_seed(1))
    everything = np.ones(4, bool)
    feed: Feed
    if kind == "pairs":
        source = source_of(drawings, everything, (0, 20))
        feed = EndlessPairs(source, batch_size=BATCH_SIZE, seed=1, n_epoch=N_STEPS * BATCH_SIZE)
        loss: LossOfNet = PairLoss(net, drawings)
    else:
        classes = omniglot_classes(drawings, everything)
        feed = EpisodeFeed(
            classes, seed=1, n_way=5, n_query=2, n_epoch=N_STEPS, within_alphabets=True, distorted=True
        )
        loss = SiameseEpisodeLoss(net, drawings, n_way=5, n_shot=1)
    with tempfile.TemporaryDirectory() as folder:
        progress = fit_pairs(
            loss, feed, Own(), checkpoint=Path(folder) / "run", n_epochs=1, log_every=1, speed=speed
        )
    scorer = SiameseScorer(net, speed)
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
