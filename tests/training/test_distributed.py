"""Two processes train what one does."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from oneshot.errors import TrainingError
from oneshot.segment.batches import Batch
from oneshot.segment.losses import SegmentationLoss
from oneshot.training.distributed import World, join_world
from oneshot.training.fit import scale_rates, train_step
from oneshot.training.schedules import halvings
from oneshot.training.speed import Speed
from oneshot.training.tensors import load_tensors
from tests.conftest import ROOT
from tests.shared_training import N_STEPS, RECIPE, make_feed, make_net, open_stock


def join_batches(first: Batch, second: Batch) -> Batch:
    return Batch(
        *(
            torch.cat([getattr(first, n), getattr(second, n)])
            for n in ("images", "targets", "masks", "pixel_means", "pixel_stds")
        )
    )


def train_alone(net):
    """One process on the batches of both, joined."""
    loss, losses = SegmentationLoss(net), []
    optimizers = RECIPE.optimizers(loss)
    with open_stock() as first, open_stock() as second:
        shares = [make_feed(stock, World(rank, 2)).batches() for rank, stock in enumerate((first, second))]
        for step, batches in enumerate(zip(*shares, strict=True)):
            scale_rates(optimizers, halvings(step, N_STEPS))
            losses.append(train_step(loss, join_batches(*batches), optimizers, Speed()).item())
    return losses


def test_two_processes_train_the_net_of_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "tests.shared_training", str(tmp_path)], cwd=ROOT, text=True, capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    together, about = load_tensors(tmp_path / "net")
    alone = make_net()
    untrained = {name: tensor.clone() for name, tensor in alone.state_dict().items()}
    losses = train_alone(alone)
    assert len(losses) == N_STEPS
    expected = [np.mean(losses[start : start + 3]) for start in range(0, N_STEPS, 3)]
    assert about["losses"] == pytest.approx(expected, abs=1e-5)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(together[name], tensor, atol=2e-5, rtol=0)
    moved = max((untrained[name] - tensor).abs().max() for name, tensor in together.items())
    assert moved > 1e-3


def test_alone_nothing_is_shared():
    with join_world("cpu") as world:
        assert world == World(0, 1, "cpu")
        net = make_net()
        assert world.share(net) is net
        assert world.agree(True)
        assert not world.agree(False)
        assert world.same_for_all(3.5) == 3.5


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "99")
    monkeypatch.setenv("LOCAL_RANK", "98")
    with pytest.raises(TrainingError, match=r"process 98 of this machine finds \d+ GPUs"), join_world("cuda"):
        pass
