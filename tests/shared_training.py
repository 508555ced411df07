"""Trains a tiny net in every process that torchrun starts; process 0 leaves it in the given folder."""

import sys
from pathlib import Path

import numpy as np
import torch

from oneshot.segment.batches import PixelStatistics
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.render_ahead import Stock
from oneshot.training.distributed import World, join_world
from oneshot.training.fit import fit
from oneshot.training.tensors import save_tensors
from tests.fake_scenes import fake_scenes

N_STEPS = 12
RECIPE = SegmentationRecipe("published", 5e-4, 4, 0.0)


def make_net() -> SiameseUNet:
    return SiameseUNet(2).initialise(np.random.default_rng(0))


def make_feed(stock: Stock, world: World) -> SceneFeed:
    return SceneFeed(
        stock, [Phase((4,), 4 * N_STEPS)], PixelStatistics(20.0, 50.0), batch_size=RECIPE.batch_size, seed=1,
        n_jobs=4, n_job_scenes=12, n_window_jobs=2, world=world,
    )  # fmt: skip


def open_stock() -> Stock:
    return Stock(
        lambda level, job: fake_scenes(12, level, seed=job), memory_bytes=10**8, n_ahead=4, n_threads=1
    )


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    net = make_net()
    with join_world("cpu") as world, open_stock() as stock:
        for stop_after in (5, 100):  # stops within a log interval, and goes on from there
            asked = iter([False] * (stop_after - 1) + [True] * 100)
            progress = fit(
                SegmentationLoss(net), make_feed(stock, world), RECIPE, checkpoint=folder / "checkpoint",
                log_every=3, stop=lambda asked=asked: world.rank == 1 and next(asked), world=world,
            )  # fmt: skip
        assert progress.complete
        if world.rank == 0:
            save_tensors(
                folder / "net", net.state_dict(), {"losses": [point.loss for point in progress.curve]}
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
