"""What is released is what is scored, in half precision where that costs nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from oneshot.segment.weights import WeightsInfo, load_weights, save_weights

from oneshot.records.release import LevelSets, evaluate_file, measure_evaluation, release, summarise
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import evaluate
from oneshot.segment.nets.siamese_unet import SiameseUNet
from tests.fake_scenes import fake_scenes

STATISTICS = PixelStatistics(20.0, 50.0)
INFO = WeightsInfo("siamese_unet", 2, "fast", STATISTICS, 100)
OTHERS = PixelStatistics(25.0, 40.0)  # of level 8
TEST_SETS = {
    4: LevelSets(
        {"test-train": fake_scenes(12, 4, seed=1), "test-one-shot": fake_scenes(9, 4, seed=2)}, STATISTICS
    ),
    8: LevelSets({"test-train": fake_scenes(6, 8, seed=3)}, OTHERS),
}


@pytest.fixture
def net() -> SiameseUNet:
    """Without training, but with logits that leave room on both sides of the threshold."""
    return SiameseUNet(2).initialise(torch.Generator().manual_seed(3))


def test_half_precision_that_costs_nothing_is_released_and_scored(net: SiameseUNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    released = release(net, INFO, path, TEST_SETS, device="cpu", batch_size=5)
    assert released.dtype == "float16"
    assert {level: set(lost) for level, lost in released.lost_points.items()} == {
        "4": {"test-train", "test-one-shot"}, "8": {"test-train"}
    }  # fmt: skip
    assert all(abs(points) <= 0.05 for lost in released.lost_points.values() for points in lost.values())
    assert path.stat().st_size < 0.6 * 4 * sum(p.numel() for p in net.parameters())
    assert list(tmp_path.iterdir()) == [path]
    loaded, info = load_weights(path)
    assert info == INFO
    for level, sets in TEST_SETS.items():
        for split, scenes in sets.scenes.items():
            found = released.evaluations[str(level)]["answer"][split]
            again = evaluate(loaded, scenes, sets.statistics, batch_size=4)
            np.testing.assert_allclose(found.iou, again.iou, atol=0.02)
            assert len(found.hits) == len(scenes)


def test_weights_that_half_precision_cannot_hold_stay_whole(net: SiameseUNet, tmp_path: Path) -> None:
    with torch.no_grad():
        for block in net.blocks():
            block.weight *= 1e6  # the layer norms take it back, but half precision ends at 65504
    path = tmp_path / "net.safetensors"
    released = release(net, INFO, path, TEST_SETS, device="cpu", batch_size=5)
    assert released.dtype == "float32"
    assert max(abs(points) for lost in released.lost_points.values() for points in lost.values()) > 0.05
    torch.testing.assert_close(load_weights(path)[0].state_dict(), net.state_dict(), atol=0, rtol=0)
    assert list(tmp_path.iterdir()) == [path]
    again = evaluate_file(path, TEST_SETS, "cpu", 5)
    for level, answers in released.evaluations.items():
        for split, found in answers["answer"].items():
            np.testing.assert_array_equal(found.iou, again[level]["answer"][split].iou)


def test_every_level_is_normalised_by_its_own_statistics(net: SiameseUNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(path, net, INFO)
    found = evaluate_file(path, TEST_SETS, "cpu", 5)["8"]["answer"]["test-train"]
    scenes = TEST_SETS[8].scenes["test-train"]
    own, others = (evaluate(net, scenes, statistics) for statistics in (OTHERS, STATISTICS))
    np.testing.assert_allclose(found.iou, own.iou, atol=1e-6)
    assert abs(found.iou - others.iou).max() > 1e-3


def test_the_speed_of_evaluation_is_measured(net: SiameseUNet) -> None:
    seconds = measure_evaluation(net, TEST_SETS[4], device="cpu", batch_size=4)
    assert 1e-6 < seconds < 10


def test_a_summary_has_means_intervals_and_the_number_of_scenes_of_all_groups(net: SiameseUNet) -> None:
    found = evaluate(net, TEST_SETS[4].scenes["test-train"], STATISTICS)
    same_class = np.arange(12) < 5
    whole = summarise(found, same_class)
    assert whole.with_same_class is not None
    assert whole.without_same_class is not None
    for score, which in (
        (whole, slice(None)),
        (whole.with_same_class, same_class),
        (whole.without_same_class, ~same_class),
    ):
        assert score.n == len(found.iou[which])
        assert score.iou == pytest.approx(found.iou[which].mean())
        assert score.localisation == pytest.approx(found.hits[which].mean())
        assert score.iou_interval[0] <= score.iou <= score.iou_interval[1]
        assert score.localisation_interval[0] <= score.localisation <= score.localisation_interval[1]


def test_a_summary_leaves_out_a_group_without_scenes(net: SiameseUNet) -> None:
    found = evaluate(net, TEST_SETS[4].scenes["test-train"], STATISTICS)
    assert summarise(found, np.zeros(12, bool)).with_same_class is None
    assert summarise(found, np.ones(12, bool)).without_same_class is None
