"""From a trained network to the file that is released, and that file's own scores on the test sets."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from oneshot.batches import PixelStatistics
from oneshot.evaluate import Evaluation, evaluate
from oneshot.metrics import mean_of_hits, mean_of_values
from oneshot.records import Score
from oneshot.scenes import Scenes
from oneshot.speed import Speed
from oneshot.weights import WeightsInfo, load_weights, save_weights

MOST_LOST_POINTS = 0.05  # of mean IoU, in percentage points, for half precision to be good enough
N_READINGS = 3  # of the speed of evaluation, of which the slowest counts


@dataclass(frozen=True)
class Release:
    """What was written: its number format, its scores by test set, and what half precision costs (points)."""

    dtype: Literal["float16", "float32"]
    evaluations: dict[str, Evaluation]
    lost_points: dict[str, float]


def release(
    net: nn.Module,
    info: WeightsInfo,
    path: Path,
    test_sets: Mapping[str, Scenes],
    statistics: PixelStatistics,
    *,
    device: str,
    batch_size: int,
) -> Release:
    """Write `net` to `path` and score what was written: in half precision where that changes no mean IoU.

    No mean IoU may move by more than 0.05 points; else the file is in single precision.
    """
    save_weights(path, net, info)
    whole = evaluate_file(path, test_sets, statistics, device, batch_size)
    # Beside the whole one, which stays until it is known that the half will do.
    beside = path.with_name(path.name + ".half.partial")
    try:
        save_weights(beside, net, info, torch.float16)
        halved = evaluate_file(beside, test_sets, statistics, device, batch_size)
        lost = {split: 100 * (mean_iou(whole[split]) - mean_iou(halved[split])) for split in whole}
        if all(abs(points) <= MOST_LOST_POINTS for points in lost.values()):
            beside.replace(path)
            return Release("float16", halved, lost)
        return Release("float32", whole, lost)
    finally:
        beside.unlink(missing_ok=True)


def evaluate_file(
    path: Path,
    test_sets: Mapping[str, Scenes],
    statistics: PixelStatistics,
    device: str,
    batch_size: int,
) -> dict[str, Evaluation]:
    """The scores of a file of weights, in plain single precision, as any machine can compute them again."""
    net, _ = load_weights(path)
    speed = Speed(device)
    with speed.running():
        return {
            split: evaluate(net, scenes, statistics, batch_size=batch_size, speed=speed)
            for split, scenes in test_sets.items()
        }


def measure_evaluation(
    net: nn.Module, scenes: Scenes, statistics: PixelStatistics, *, device: str, batch_size: int
) -> float:
    """Seconds a scene, by the slowest of a few batches, after one that warms up."""
    batch = scenes[:batch_size]
    speed = Speed(device)
    readings = []
    with speed.running():
        for _ in range(1 + N_READINGS):
            started = time.perf_counter()
            evaluate(net, batch, statistics, batch_size=batch_size, speed=speed)
            readings.append(time.perf_counter() - started)
    return max(readings[1:]) / len(batch)


def mean_iou(evaluation: Evaluation) -> float:
    return float(np.mean(evaluation.iou, dtype=np.float64))


def summarise(evaluation: Evaluation) -> Score:
    """Means with their 95 % intervals, as a record holds them."""
    iou, localisation = mean_of_values(evaluation.iou), mean_of_hits(evaluation.hits)
    return Score(
        iou=iou.value,
        iou_interval=(iou.low, iou.high),
        localisation=localisation.value,
        localisation_interval=(localisation.low, localisation.high),
        n=iou.n,
    )
