"""What is released is what is scored, in the smallest form that costs nothing."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from oneshot import files
from oneshot.classify.nets import NETS
from oneshot.classify.protocols import Protocols, draw_once, find_protocols
from oneshot.classify.scoring import NetworkScorer, find_pairs, score_everything
from oneshot.clutter.scenes import Scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.params import load_params
from oneshot.records import classification_evaluator, release
from oneshot.records.classification_evaluator import ProtocolEvaluator
from oneshot.records.segmentation_evaluator import LevelSets, SceneEvaluator, score_sets
from oneshot.segment import nets as segment_nets
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import evaluate_answers
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.training.speed import Speed
from oneshot.training.tensors import NetworkInfo, load_network, save_network
from tests.conftest import ROOT
from tests.fake_runs import Tiny
from tests.fake_scenes import fake_scenes

STATISTICS, OTHERS = PixelStatistics(20.0, 50.0), PixelStatistics(25.0, 40.0)  # of levels 4 and 8
TEST_SETS = {
    4: LevelSets(
        {"test-train": fake_scenes(12, 4, seed=1), "test-one-shot": fake_scenes(9, 4, seed=2)}, STATISTICS
    ),
    8: LevelSets({"test-train": fake_scenes(6, 8, seed=3)}, OTHERS),
}
INFO = NetworkInfo("segmentation", "siamese_unet", {"feature_maps": 2})
SCENES = SceneEvaluator(TEST_SETS, "cpu", 5, chooses=False)


@pytest.fixture
def net() -> SiameseUNet:
    """Without training, but with logits that leave room on both sides of the threshold."""
    return SiameseUNet(2).initialise(np.random.default_rng(3))


def assert_equal(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, expected[key])


def test_half_precision_that_costs_nothing_is_released_and_scored(net: SiameseUNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    released = release.release(net, INFO, path, SCENES)
    assert released.precision == "float16"
    assert released.lost_points.keys() == {"4/test-train", "4/test-one-shot", "8/test-train"}
    assert all(abs(points) <= 0.05 for points in released.lost_points.values())
    assert path.stat().st_size < 0.6 * 4 * sum(p.numel() for p in net.parameters())
    assert list(tmp_path.iterdir()) == [path]
    assert load_network(path, segment_nets.NETS)[1] == INFO
    assert_equal(released.scores, SCENES.score_file(path, TEST_SETS))


def test_weights_that_half_precision_cannot_hold_stay_whole(net: SiameseUNet, tmp_path: Path) -> None:
    with torch.no_grad():
        for block in net.blocks():
            block.weight *= 1e6  # the layer norms take it back, but half precision ends at 65504
    path = tmp_path / "net.safetensors"
    released = release.release(net, INFO, path, SCENES)
    assert released.precision == "float32"
    assert set(released.lost_points.values()) == {0.0}
    loaded = load_network(path, segment_nets.NETS)[0]
    torch.testing.assert_close(loaded.state_dict(), net.state_dict(), atol=0, rtol=0)
    assert list(tmp_path.iterdir()) == [path]
    assert_equal(released.scores, SCENES.score_file(path, TEST_SETS))


def test_of_a_network_that_chooses_some_scenes_decide_and_chance_is_no_loss(
    net: SiameseUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.records.segmentation_evaluator.DECIDING_SCENES", 5)
    evaluator = SceneEvaluator(TEST_SETS, "cpu", 5, chooses=True)
    whole = evaluator.score_file(write(net, tmp_path), evaluator.deciding)
    assert {len(scores) for scores in whole.values()} == {5}
    released = release.release(net, INFO, tmp_path / "net.safetensors", evaluator)
    assert len(released.scores["4/answer/test-train/iou"]) == 12
    assert released.lost_points.keys() == {"4/test-train", "4/test-one-shot", "8/test-train"}
    moved = dict(whole)
    moved["4/answer/test-train/iou"] = whole["4/answer/test-train/iou"] + np.float32([0.3, -0.2, 0, 0, 0])
    assert evaluator.is_as_good(whole, moved)
    assert not SCENES.is_as_good(whole, moved)


def test_few_scenes_of_a_network_that_chooses_all_decide_and_are_scored_once_a_precision(
    net: SiameseUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_scored, really_score = [], SceneEvaluator.score_file

    def score_file(evaluator: SceneEvaluator, path: Path, selection: Any) -> dict[str, Any]:
        n_scored.append(selection)
        return really_score(evaluator, path, selection)

    evaluator = SceneEvaluator(TEST_SETS, "cpu", 5, chooses=True)
    with monkeypatch.context() as patch:
        patch.setattr(SceneEvaluator, "score_file", score_file)
        released = release.release(net, INFO, tmp_path / "net.safetensors", evaluator)
    assert n_scored == [TEST_SETS] * 2
    assert_equal(released.scores, SCENES.score_file(tmp_path / "net.safetensors", TEST_SETS))


def test_what_a_killed_process_leaves_is_deleted_by_the_next(
    net: SiameseUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(evaluator: SceneEvaluator, path: Path, selection: Any) -> None:
        assert [*tmp_path.iterdir()] == [path]
        monkeypatch.setattr(files.psutil, "pid_exists", lambda process: process != os.getpid())
        files.remove_left_over(tmp_path)
        raise ProcessLookupError(list(tmp_path.iterdir()))

    monkeypatch.setattr(SceneEvaluator, "score_file", die)
    with pytest.raises(ProcessLookupError, match=r"^\[\]$"):
        release.release(net, INFO, tmp_path / "net.safetensors", SCENES)


def write(net: nn.Module, folder: Path) -> Path:
    save_network(folder / "whole.safetensors", net, INFO)
    return folder / "whole.safetensors"


def test_every_level_is_normalised_by_its_own_statistics(net: SiameseUNet) -> None:
    found = score_sets(net, TEST_SETS, speed=Speed(), batch_size=5)["8/answer/test-train/iou"]
    scenes = TEST_SETS[8].scenes["test-train"]
    own, others = (evaluate_answers(net, scenes, statistics)["answer"] for statistics in (OTHERS, STATISTICS))
    np.testing.assert_allclose(found, own.iou, atol=1e-6)
    assert abs(found - others.iou).max() > 1e-3


# ------------------------------------------------------------------------------------------- classification


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    sizes = load_params(ROOT / "params.yaml").other_images
    few = sizes.model_copy(update={"n_episodes": 8, "n_verification_pairs": 40})
    return draw_once(find_protocols(synthetic_drawings, few))


@pytest.fixture
def tiny() -> Iterator[Tiny]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "tiny", Tiny)
        yield Tiny().initialise(np.random.default_rng(0))


TINY = NetworkInfo("classification", "tiny")


@pytest.fixture
def evaluator(protocols: Protocols, tiny: Tiny) -> ProtocolEvaluator:
    return ProtocolEvaluator(protocols, {}, find_pairs(NetworkScorer(tiny), protocols, "own"), "cpu", "own")


@pytest.mark.parametrize(("bad", "chosen"), [(0, "int8"), (1, "float16"), (2, "float32")])
def test_the_smallest_form_that_loses_little_is_released(
    bad: int,
    chosen: Any,
    tiny: Tiny,
    evaluator: ProtocolEvaluator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[set[str]] = []

    def is_as_good(whole: Any, smaller: Any) -> bool:
        asked.append(set(smaller))
        return len(asked) > bad

    monkeypatch.setattr(evaluator, "is_as_good", is_as_good)
    path = tmp_path / "released"
    released = release.release(tiny, TINY, path, evaluator)
    assert released.precision == chosen
    assert asked[0] == {"selection"}
    save_network(tmp_path / "same", tiny, TINY, chosen)
    assert path.read_bytes() == (tmp_path / "same").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"released", "same"}
    pairs = {"verification", "verification/best-threshold"}
    assert set(released.scores) == {*evaluator.protocols.lists, "validation", "selection", *pairs}
    assert released.lost_points.keys() == {"selection"}
    scorer = NetworkScorer(load_network(path, NETS)[0])
    assert_equal(released.scores, score_everything(scorer, evaluator.protocols, {}, evaluator.pairs))


def test_no_form_larger_than_git_bears_is_released_however_much_better_it_is(
    tiny: Tiny, evaluator: ProtocolEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_network(tmp_path / "eight", tiny, TINY, "int8")
    monkeypatch.setattr(release, "LARGEST_BYTES", (tmp_path / "eight").stat().st_size)
    monkeypatch.setattr(evaluator, "is_as_good", lambda *_: False)
    assert release.release(tiny, TINY, tmp_path / "released", evaluator).precision == "int8"
    assert (tmp_path / "released").read_bytes() == (tmp_path / "eight").read_bytes()


@pytest.mark.parametrize(
    ("n", "n_more", "good"),
    [(320, 1, True), (320, -1, True), (320, 2, False), (10_000, 20, True), (10_000, -21, False)],
)
def test_a_form_is_as_good_if_it_moves_a_protocol_by_one_answer_or_little(
    n: int, n_more: int, good: bool, evaluator: ProtocolEvaluator
) -> None:
    whole = {"one": (np.arange(n) < n // 2).astype(np.uint8), "other": np.ones((20, 20), np.uint8)}
    smaller = {"one": (np.arange(n)[::-1] < n // 2 + n_more).astype(np.uint8)}
    assert evaluator.is_as_good(whole, smaller) == good


def test_evaluation_is_estimated_from_images_and_episodes(
    tiny: Tiny, evaluator: ProtocolEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a second an image, and none for comparing: every image of every protocol, as often as it may be."""
    protocols = evaluator.protocols
    readings = iter([float(len(protocols.validation.needed()))])
    monkeypatch.setattr(classification_evaluator, "measure", lambda work: next(readings, 0.0))

    def n_images(*names: str) -> int:
        of_names = [episodes.needed() for name in names for episodes in protocols.lists[name]()]
        return len(np.unique(np.concatenate(of_names)))

    n_validation = len(protocols.validation.needed())
    trials = 2 * n_validation  # to validate and to select by are the same here
    n_judged = sum(
        len(np.unique(pairs.drawings)) for pairs in (protocols.verification, protocols.threshold_pairs)
    )
    expected = n_images(*protocols.lists) + trials + n_judged  # the released file
    expected += 3 * n_validation  # to choose among smaller ones, beside float32
    assert evaluator.measure_seconds(tiny) == pytest.approx(expected)


def test_the_speed_of_segmentation_is_measured(net: SiameseUNet) -> None:
    assert 1e-5 < SCENES.measure_seconds(net) < 60


def test_all_scenes_count_in_the_estimate_covered_ones_at_their_own_speed(
    net: SiameseUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def evaluate_set(net: Any, split: str, scenes: Scenes, statistics: Any, **_: Any) -> None:
        nonlocal now
        now += len(scenes) * (0.25 if split.startswith("covered") else 1.0)

    monkeypatch.setattr("oneshot.records.segmentation_evaluator.evaluate_set", evaluate_set)
    monkeypatch.setattr("oneshot.records.segmentation_evaluator.time.perf_counter", lambda: now)
    n = 5
    sets = {"test-train": n, "covered-train": n - 1, "test-one-shot": n - 2, "covered-one-shot": n - 3}
    scenes = TEST_SETS[4].scenes["test-train"]
    test_sets = {4: LevelSets({name: scenes[:k] for name, k in sets.items()}, STATISTICS)}
    for chooses in (False, True):  # with so few scenes all of them decide, too
        evaluator = SceneEvaluator(test_sets, "cpu", 2, chooses=chooses)
        assert evaluator.measure_seconds(net) == pytest.approx(2 * (5 + 3 + 0.25 * (4 + 2)))
    monkeypatch.setattr("oneshot.records.segmentation_evaluator.DECIDING_SCENES", 2)
    evaluator = SceneEvaluator(test_sets, "cpu", 2, chooses=True)
    deciding = 2 * (2 + 2 + 0.25 * (2 + 2))
    assert evaluator.measure_seconds(net) == pytest.approx(5 + 3 + 0.25 * (4 + 2) + deciding)
