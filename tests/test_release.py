"""What is released is what is scored, in half precision where that costs nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from oneshot.batches import PixelStatistics
from oneshot.evaluate import evaluate
from oneshot.nets.siamese_unet import SiameseUNet
from oneshot.release import evaluate_file, measure_evaluation, release, summarise
from oneshot.weights import WeightsInfo, load_weights
from tests.fake_scenes import fake_scenes

STATISTICS = PixelStatistics(20.0, 50.0)
INFO = WeightsInfo("siamese_unet", 2, "fast", STATISTICS, 100)
TEST_SETS = {"test-train": fake_scenes(12, 4, seed=1), "test-one-shot": fake_scenes(9, 4, seed=2)}


@pytest.fixture
def net() -> SiameseUNet:
    """Without training, but with logits that leave room on both sides of the threshold."""
    return SiameseUNet(2).initialise(torch.Generator().manual_seed(3))


def test_half_precision_that_costs_nothing_is_released_and_scored(net: SiameseUNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    released = release(net, INFO, path, TEST_SETS, STATISTICS, device="cpu", batch_size=5)
    assert released.dtype == "float16"
    assert all(abs(points) <= 0.05 for points in released.lost_points.values())
    assert path.stat().st_size < 0.6 * 4 * sum(p.numel() for p in net.parameters())
    assert list(tmp_path.iterdir()) == [path]
    loaded, info = load_weights(path)
    assert info == INFO
    for split, scenes in TEST_SETS.items():
        again = evaluate(loaded, scenes, STATISTICS, batch_size=4)
        np.testing.assert_allclose(released.evaluations[split].iou, again.iou, atol=0.02)
        assert len(released.evaluations[split].hits) == len(scenes)


def test_weights_that_half_precision_cannot_hold_stay_whole(net: SiameseUNet, tmp_path: Path) -> None:
    with torch.no_grad():
        for block in net.blocks():
            block.weight *= 1e6  # the layer norms take it back, but half precision ends at 65504
    path = tmp_path / "net.safetensors"
    released = release(net, INFO, path, TEST_SETS, STATISTICS, device="cpu", batch_size=5)
    assert released.dtype == "float32"
    assert max(abs(points) for points in released.lost_points.values()) > 0.05
    torch.testing.assert_close(load_weights(path)[0].state_dict(), net.state_dict(), atol=0, rtol=0)
    assert list(tmp_path.iterdir()) == [path]
    again = evaluate_file(path, TEST_SETS, STATISTICS, "cpu", 5)
    for split in TEST_SETS:
        np.testing.assert_array_equal(released.evaluations[split].iou, again[split].iou)


def test_the_speed_of_evaluation_is_measured(net: SiameseUNet) -> None:
    seconds = measure_evaluation(net, TEST_SETS["test-train"], STATISTICS, device="cpu", batch_size=4)
    assert 1e-6 < seconds < 10


def test_a_summary_has_means_intervals_and_the_number_of_scenes(net: SiameseUNet) -> None:
    found = evaluate(net, TEST_SETS["test-train"], STATISTICS)
    score = summarise(found)
    assert score.n == 12
    assert score.iou == pytest.approx(found.iou.mean())
    assert score.localisation == pytest.approx(found.hits.mean())
    assert score.iou_interval[0] <= score.iou <= score.iou_interval[1]
    assert score.localisation_interval[0] <= score.localisation <= score.localisation_interval[1]
