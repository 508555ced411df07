"""Losses of the first steps, and scores of trained weights, to compare settings of speed with the plain path.

Run as ``python -m tests.first_steps DEVICE WEIGHTS PARTS...`` it prints them for every PARTS: torch.compile
cannot read the type checks that pytest puts around every function. On a CPU the compiler's back end is left
out, which takes minutes, and recipe published, whose steps are part of those of recipe fast: what is checked
there is the tracing, forwards and backwards, in one graph.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._dynamo.utils import counters

from oneshot.segment.batches import pixel_statistics
from oneshot.segment.evaluate import evaluate_answers
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets import NETS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.render_ahead import Stock
from oneshot.training.fit import fit
from oneshot.training.speed import Speed, choose_speed
from oneshot.training.tensors import load_network
from tests.fake_scenes import fake_scenes, fake_targets

BATCH_SIZE = 8
N_STEPS = 6
RATES = {"published": 5e-4, "fast": 2e-3}
MATCHING_WEIGHTS = {"published": 0.0, "fast": 0.1}
SCENES = fake_scenes(40, 4, seed=0)
STATISTICS = pixel_statistics(SCENES)


def train(name: str, speed: Speed, feature_maps: int, n_steps: int) -> tuple[SiameseUNet, list[float]]:
    """From the same start on the same batches: the network, and every step's loss."""
    net = SiameseUNet(feature_maps).initialise(np.random.default_rng(0))
    with (
        tempfile.TemporaryDirectory() as folder,
        Stock(lambda level, job: SCENES, memory_bytes=10**9, n_ahead=1, n_threads=1) as stock,
    ):
        feed = SceneFeed(
            stock, [Phase((4,), n_steps * BATCH_SIZE)], STATISTICS, batch_size=BATCH_SIZE, seed=1, n_jobs=1,
            n_job_scenes=len(SCENES), n_window_jobs=1, speed=speed,
            render_targets=fake_targets if name == "fast" else None,
        )  # fmt: skip
        recipe = SegmentationRecipe(name, RATES[name], BATCH_SIZE, MATCHING_WEIGHTS[name])
        progress = fit(
            SegmentationLoss(net, recipe.matching_weight), feed, recipe, checkpoint=Path(folder) / "run",
            log_every=1, checkpoint_seconds=1e9, speed=speed,
        )  # fmt: skip
    return net, [point.loss for point in progress.curve]


def first_losses(name: str, speed: Speed) -> list[float]:
    return train(name, speed, feature_maps=2, n_steps=N_STEPS)[1]


def mean_iou(weights: Path, speed: Speed) -> float:
    """In points; batches of 16 leave a last one of 8."""
    net, _ = load_network(weights, NETS)
    answers = evaluate_answers(net, SCENES, STATISTICS, batch_size=16, speed=speed)
    return 100 * float(answers["answer"].iou.mean())


def figures(weights: Path, speed: Speed, names: Sequence[str] = tuple(RATES)) -> dict[str, Any]:
    return {name: first_losses(name, speed) for name in names} | {"iou": mean_iou(weights, speed)}


def tracing_only(compile_with: Callable[..., Any]) -> Callable[..., Any]:
    def compile(module: torch.nn.Module, *, options: dict[str, Any], **settings: Any) -> Any:
        return compile_with(module, backend="aot_eager", **settings)

    return compile


if __name__ == "__main__":
    device, weights, *settings = sys.argv[1:]
    names = list(RATES)
    if device == "cpu":
        torch.compile, names = tracing_only(torch.compile), ["fast"]
    found = {}
    for parts in settings:
        torch._dynamo.reset()
        counters.clear()
        found[parts] = figures(Path(weights), choose_speed(device, parts), names)
        found[parts]["n_graphs"] = counters["stats"]["unique_graphs"]
    print(json.dumps(found))
