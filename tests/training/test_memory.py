"""Where memory is too small: batches that are halved until they fit, and one sentence where none does."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.scoring import BATCH_IMAGES, NetworkScorer, score_episodes
from oneshot.errors import FullMemoryError
from oneshot.segment import memory as scene_memory
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import evaluate_answers, segment
from oneshot.segment.evaluate_masknet import count_at_once
from oneshot.segment.memory import choose_memory
from oneshot.segment.nets import NETS
from oneshot.segment.nets.siamese_unet import SiameseUNet, weight_decay_loss
from oneshot.segment.phases import Phase
from oneshot.training import memory
from oneshot.training.memory import compute_in_batches, pin
from oneshot.training.speed import Speed
from tests.classify.test_scoring import draw
from tests.conftest import refusing
from tests.fake_scenes import fake_scenes
from tests.pretended_gpu import pretending_gpu
from tests.tiny_masknet import make_masknet

STATISTICS = PixelStatistics(20.0, 50.0)
SCENES = fake_scenes(7, 4, seed=1)
GIB = 2**30


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    memory.FITTING.clear()
    yield
    memory.FITTING.clear()


def run_in_batches(n: int, size: int, most: int, even: bool = True) -> list[tuple[int, int]]:
    """Give the beginning and the length of what was new in every batch."""

    def compute(which: slice) -> range:
        if which.stop - which.start > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return range(n)[which]

    found = compute_in_batches(compute, n, size, what="things", device="cpu", even=even)
    new = [some[n_before:] for some, n_before in found]
    assert [number for some in new for number in some] == list(range(n))
    return [(some.start, len(some)) for some in new]


@pytest.mark.parametrize("even", [True, False])
def test_a_batch_is_halved_once_until_it_fits_with_a_notice(
    even: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_in_batches(7, 8, most=2, even=even) == [(0, 2), (2, 2), (4, 2), (6, 1)]
    assert capsys.readouterr().err.splitlines() == [
        "memory ran out on cpu at 8 things at a time: from now on it is 4",
        "memory ran out on cpu at 4 things at a time: from now on it is 2",
    ]
    assert run_in_batches(3, 8, most=2, even=even) == [(0, 2), (2, 1)]
    assert run_in_batches(3, 1, most=2, even=even) == [(0, 1), (1, 1), (2, 1)]
    assert capsys.readouterr().err == ""
    with refusing(FullMemoryError, match="memory ran out on cpu for a single one of the things"):
        run_in_batches(3, 2, most=0, even=even)
    assert memory.FITTING == {("cpu", "things"): 1}


class FullAbove:
    """Hook of a network: memory does not hold more images than so many."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")


PARTS = {
    "siamese_unet": ["scene_encoder"],
    "masknet": ["siamese.scene_encoder"],
    "colour_matcher": ["whole.groups", "glance.groups"],
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_answers_are_the_same_in_halved_batches(
    name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.segment.evaluate_masknet.PROPOSALS_AT_ONCE", {"cpu": 96, "cuda": 96})
    net = make_masknet() if name == "masknet" else NETS[name](2).initialise(np.random.default_rng(0))
    expected = evaluate_answers(net, SCENES, STATISTICS)
    masks = segment(net, SCENES, STATISTICS)
    for part in PARTS[name]:
        net.get_submodule(part).register_forward_pre_hook(FullAbove(4))
    with pretending_gpu():
        found = evaluate_answers(net, SCENES, STATISTICS, speed=Speed(device))
        again = segment(net, SCENES, STATISTICS, speed=Speed(device))
    assert max(memory.FITTING.values()) <= 4
    for answer, scores in expected.items():
        np.testing.assert_allclose(found[answer].iou, scores.iou, atol=1e-4)
    np.testing.assert_array_equal(again, masks)


def test_codes_are_the_same_in_halved_batches() -> None:
    net = KochSmall((4, 4, 4, 8), 16).initialise(np.random.default_rng(0))
    images = np.random.default_rng(0).integers(0, 2, (11, 105, 105)).astype(np.uint8)
    expected = NetworkScorer(net).encode(images)
    net.base.register_forward_pre_hook(FullAbove(4))
    with pretending_gpu():
        found = NetworkScorer(net, Speed("cuda")).encode(images).cpu()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("free", [7.5, 3.7, 0.001])
def test_proposals_decoded_at_once_are_as_many_as_fit(free: float) -> None:
    expected = {7.5: 2304, 3.7: 576, 0.001: 1}[free]
    with pretending_gpu(int(free * GIB)):
        assert count_at_once(48 if free == 3.7 else 24, Speed("cuda")) == expected
    with pretending_gpu():
        assert count_at_once(24, Speed("cuda")) == 4608
    assert count_at_once(24, Speed()) == 24


def test_tails_are_as_large_as_other_batches_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    net = KochSmall((4, 4, 4, 8), 16).initialise(np.random.default_rng(0))
    sizes: set[int] = set()
    net.base.register_forward_pre_hook(lambda module, inputs: sizes.add(len(inputs[0])))
    monkeypatch.setitem(BATCH_IMAGES, "cuda", 4)
    images = np.zeros((7, 105, 105), np.uint8)
    with pretending_gpu():
        for n in (1, 6, 7):
            assert len(NetworkScorer(net, Speed("cuda")).encode(images[:n])) == n
    assert sizes == {4}
    matcher = NETS["colour_matcher"](2).initialise(np.random.default_rng(0))
    sizes.clear()
    matcher.get_submodule("whole.groups").register_forward_pre_hook(
        lambda _, inputs: sizes.add(len(inputs[0]))
    )
    with pretending_gpu():
        for n in (3, 5, 7):
            segment(matcher, SCENES[:n], STATISTICS, speed=Speed("cuda"))
    assert all(size & (size - 1) == 0 for size in sizes)


def test_the_indices_of_a_list_are_sent_once() -> None:
    net = KochSmall((4, 4, 4, 8), 16).initialise(np.random.default_rng(0))
    images = np.random.default_rng(0).integers(0, 2, (72, 105, 105)).astype(np.uint8)
    episodes = draw(1)
    expected = score_episodes(NetworkScorer(net), images, episodes)
    with pretending_gpu() as gpu:
        np.testing.assert_array_equal(
            score_episodes(NetworkScorer(net, Speed("cuda")), images, episodes), expected
        )
    copies = [where for function, where in gpu.waits if where.startswith("scoring.py")]
    # One of images, one of all episodes' numbers, one back: as many for thirty episodes as for one.
    assert len(episodes) == 30
    assert len(copies) == 3


def test_pinned_copies_hold_what_was_copied() -> None:
    for array in (np.arange(6, dtype=np.int16).reshape(2, 3).T, np.array([True, False]), np.empty((0, 4))):
        with pretending_gpu() as gpu:
            pinned = pin(torch.from_numpy(array))
            assert pinned.is_pinned()
            assert pinned.to("cuda", non_blocking=True).is_cuda
            assert gpu.waits == []
        np.testing.assert_array_equal(pinned.numpy(), array)


def test_memory_that_training_takes_at_its_most_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_memory, "MEMORY_SHARE", 0.5)
    phases = (Phase((4,), 40_000),)
    with pretending_gpu(10 * GIB):
        assert choose_memory(phases, 20, "cuda") == ("cuda", 5 * GIB)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * GIB)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 8 * GIB)
        assert choose_memory(phases, 20, "cuda") == ("cuda", 2 * GIB)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 13 * GIB)
        assert choose_memory(phases, 20, "cuda")[0] == "cpu"


def test_weight_decay_is_the_same_in_few_kernels() -> None:
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    expected = weight_decay_loss(net)
    expected.backward()
    gradients = [block.weight.grad.clone() for block in net.blocks()]
    net.zero_grad()
    with pretending_gpu():
        found = weight_decay_loss(net.to("cuda"))
        found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close([block.weight.grad for block in net.blocks()], gradients, rtol=1e-5, atol=0)
