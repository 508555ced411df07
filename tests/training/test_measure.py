"""What is measured before a training: how it runs fastest, and how much of a batch memory holds at once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oneshot.classify.distortions import draw_distortions
from oneshot.classify.feeds import EpisodeLoss, EpochFeed, PairLoss
from oneshot.classify.nets.koch import KochSmall
from oneshot.errors import TrainingError
from oneshot.omniglot.drawings import Drawings
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.segment.matcher_losses import MatcherLoss
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.render_ahead import Stock
from oneshot.training import measure as measuring
from oneshot.training.distributed import World
from oneshot.training.fit import Stepper, go_back
from oneshot.training.initial_weights import fill_he
from oneshot.training.measure import Measured, measure_training
from oneshot.training.speed import Speed, choose_speed
from tests.conftest import refusing
from tests.fake_scenes import fake_scenes
from tests.pretended_gpu import pretending_gpu
from tests.segment.test_training import FakeTrainingSet, plan_one
from tests.segment.test_training import training as segmentation
from tests.tiny_masknet import make_masknet, masknet_batch

N = 10
FEED = EpochFeed(N, N, 1)
RECIPE = SegmentationRecipe("published", 1e-3, N, 0.0)


def pairs(drawings: Drawings) -> tuple[PairLoss, tuple[Tensor, ...]]:
    net = KochSmall((4, 4, 4, 8), 16).initialise(np.random.default_rng(0))
    for convolution in net.base.convolutions:  # the published weights leave codes that are nearly alike
        fill_he(convolution.weight, np.random.default_rng(0))
    numbers = np.arange(N)
    inverses = draw_distortions(0, numbers, np.ones_like(numbers))
    batch = (torch.arange(2 * N).view(N, 2), torch.arange(N) % 3 == 0, torch.from_numpy(inverses))
    return PairLoss(net, drawings.numbered()), batch


SPLIT: dict[str, Callable[[], Any]] = {
    "segmentation": lambda: Small(N),
    "proposals": lambda: ProposalLoss(make_masknet()),
    "discriminator": lambda: DiscriminatorLoss(make_masknet(), corrected=True),
    "pairs": lambda: None,
}


@pytest.mark.parametrize("name", SPLIT)
@pytest.mark.parametrize("size", [5, 4, 1])
def test_parts_of_a_batch_add_up_to_its_loss_and_gradients(
    name: str, size: int, synthetic_drawings: Drawings
) -> None:
    loss = SPLIT[name]()
    batch: Any = None
    if name == "pairs":
        loss, batch = pairs(synthetic_drawings)
    else:
        batch = masknet_batch(fake_scenes(N, 4, seed=0), getattr(loss, "n_locations", 0) or 1)
    found = []
    for part_size in (None, size):
        value = go_back(loss, batch, Speed(), part_size)
        gradients = [p.grad for p in loss.parameters() if p.grad is not None]
        found.append((value, torch.cat([gradient.flatten() for gradient in gradients])))
        loss.zero_grad()
    (whole, gradient), (parts, summed) = found
    assert gradient.abs().max() > 0
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(summed, gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())


class Small(SegmentationLoss):
    """Loss that runs out of memory at more than so many scenes."""

    def __init__(self, most: int, matching_weight: float = 0.0) -> None:
        super().__init__(SiameseUNet(2).initialise(np.random.default_rng(0)), matching_weight)
        self.most = most

    def forward(self, batch: Any) -> Tensor:
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(batch)


@pytest.mark.parametrize(("most", "part_size"), [(10, None), (9, 5), (4, 2), (1, 1)])
def test_a_batch_that_memory_does_not_hold_is_gone_through_in_parts(
    most: int, part_size: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = masknet_batch(fake_scenes(N, 4, seed=0), 1)
    loss = Small(most)
    found = measure_training(loss, FEED, RECIPE, repeat(batch), seconds=0.0, speed=Speed(), world=World())
    assert found.stepper.part_size == part_size
    notices = capsys.readouterr().err.splitlines()
    expected = f"memory holds {part_size} of a batch of 10 at a time: their gradients are summed up"
    assert notices == ([] if part_size is None else [expected])
    assert all(p.grad is None for p in loss.parameters())


def test_what_cannot_be_gone_through_in_parts_is_one_sentence() -> None:
    batch = masknet_batch(fake_scenes(N, 4, seed=0), 1)
    normed = Small(5)
    normed.norm = nn.BatchNorm2d(1)
    for loss in (Small(5, 0.1), Small(0), normed):
        with refusing(TrainingError, match="memory ran out on cpu at batches of 10; lower batch_size"):
            measure_training(loss, FEED, RECIPE, repeat(batch), seconds=0.0, speed=Speed(), world=World())
    assert not MatcherLoss(ColourMatcher(2)).splits
    assert not EpisodeLoss.splits


def test_the_fastest_way_is_taken_and_kept_for_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rates = {(): 3.0, ("compiled",): 2.0, ("compiled", "cuda_graphs"): 9.0}
    tried: list[tuple[str, ...]] = []

    def measure_steps(stepper: Stepper, *_: Any) -> Measured:
        tried.append(tuple(part for part in stepper.speed.parts if part in ("compiled", "cuda_graphs")))
        if tried[-1] == full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Measured(stepper, rates[tried[-1]], start_seconds=30.0)

    monkeypatch.setattr(measuring, "measure_steps", measure_steps)
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    full: tuple[str, ...] | None = None
    arguments: Any = (Small(N), FEED, RECIPE, repeat(None))
    with pretending_gpu():
        speed = choose_speed("cuda")
        for budget, expected in {np.inf: ("compiled", "cuda_graphs"), 500.0: ()}.items():
            found = measure_training(*arguments, budget=budget, speed=speed, world=World())
            chosen = found.stepper.speed
            assert not chosen.auto
            assert set(chosen.parts) - set(expected) == {"bf16", "channels_last", "fused"}
        assert tried == [("compiled",), (), ("compiled", "cuda_graphs"), ("compiled",), ()]
        full = ("compiled", "cuda_graphs")
        assert measure_training(*arguments, speed=speed, world=World()).stepper.speed == speed.decided(())
        full = None
        tried.clear()
        with monkeypatch.context() as patch:
            patch.setattr(World, "share", lambda world, module: module)
            assert measure_training(*arguments, speed=speed, world=World(0, 2)).stepper.speed == replace(
                speed, auto=False
            )
        assert tried == [("compiled",)]
        tried.clear()
        asked = iter([True])
        monkeypatch.delattr(Stock, "measure_seconds")  # other cores render
        for stop in (lambda: next(asked, False), lambda: False):
            plan = plan_one([Phase((4,), 12)])
            trained = segmentation.train(
                plan,
                FakeTrainingSet(),
                folder=tmp_path,
                stop=stop,
                speed=Speed("cuda", compiled=True, auto=True),
            )
        assert trained.complete
        assert tried[3:] == [("compiled", "cuda_graphs")]
        assert trained.trainings[0].settings["speed"] == ["compiled", "cuda_graphs"]


def test_a_gpu_does_not_go_on_from_a_cpus_checkpoint_in_which_no_way_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measuring, "measure_steps", lambda stepper, *_: Measured(stepper, 1.0, 0.0))
    asked = iter([True])
    train = partial(
        segmentation.train, plan_one([Phase((4,), 12)]), FakeTrainingSet(), folder=tmp_path,
        stop=lambda: next(asked, False),
    )  # fmt: skip
    assert not train().complete
    with pretending_gpu(), pytest.raises(TrainingError, match=r"another run \(speed "):
        train(speed=Speed("cuda", auto=True))


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[nn.Module]]:
    found: list[nn.Module] = []
    monkeypatch.setattr(World, "share", lambda world, module: found.append(module) or module)
    return found


def test_a_loss_is_shared_among_processes_once(
    shares: list[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "MEASURED_SECONDS", 0.0)
    segmentation.train(plan_one([Phase((4,), 12)]), FakeTrainingSet(), folder=tmp_path, seconds=100.0)
    assert len(shares) == 1
