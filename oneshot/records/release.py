"""From a trained network to the file that is released, and that file's own scores on the test sets."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from oneshot.clutter.scenes import Scenes
from oneshot.records.run import Score, SplitScore
from oneshot.segment.answers import OWN
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import Evaluation, evaluate_answers
from oneshot.segment.metrics import Means, summarise_scenes
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.weights import WeightsInfo, load_weights, save_weights
from oneshot.training.speed import Speed

MOST_LOST_POINTS = 0.05  # of mean IoU, in percentage points, for half precision to be good enough
DECIDING_SCENES = 1000  # of every test set: whether half precision is good enough for a MaskNet
N_READINGS = 3  # of the speed of evaluation, of which the slowest counts

# By clutter level, answer and test set.
Evaluations = dict[str, dict[str, dict[str, Evaluation]]]


@dataclass(frozen=True)
class LevelSets:
    """The first scenes of both test sets of a clutter level, and what normalises them, as published.

    `statistics` are of the first 1,000 scenes of test-train, however few are evaluated.
    """

    scenes: dict[str, Scenes]
    statistics: PixelStatistics


@dataclass(frozen=True)
class Release:
    """What was written: its number format, its scores, and what half precision costs the net's own answer, in
    points.
    """

    dtype: Literal["float16", "float32"]
    evaluations: Evaluations
    lost_points: dict[str, dict[str, float]]


def release(
    net: nn.Module,
    info: WeightsInfo,
    path: Path,
    test_sets: Mapping[int, LevelSets],
    *,
    device: str,
    batch_size: int,
) -> Release:
    """Write `net` to `path` and score what was written: in half precision where that loses nothing.

    No mean IoU, at any clutter level, may move by more than 0.05 points. A MaskNet's, whose choice among
    proposals flips in a few scenes, one way and the other, may move by as much as chance explains; since its
    evaluation takes long, the first 1,000 scenes of every set decide it.
    """
    masknet = isinstance(net, MaskNet)
    deciding = first_scenes(test_sets) if masknet else test_sets
    save_weights(path, net, info)
    whole = evaluate_file(path, deciding, device, batch_size)
    # Beside the whole one, which stays until it is known that the half will do.
    beside = path.with_name(path.name + ".half.partial")
    try:
        save_weights(beside, net, info, torch.float16)
        halved = evaluate_file(beside, deciding, device, batch_size)
        lost, half_will_do = compare_halved(whole, halved, by_chance=masknet)
        if half_will_do:
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    evaluations = halved if half_will_do else whole
    if deciding is not test_sets:
        evaluations = evaluate_file(path, test_sets, device, batch_size)
    return Release("float16" if half_will_do else "float32", evaluations, lost)


def compare_halved(
    whole: Evaluations, halved: Evaluations, *, by_chance: bool
) -> tuple[dict[str, dict[str, float]], bool]:
    """Points that the net's own answer loses, by level and test set, and whether that is nothing anywhere.

    by_chance: two standard errors of the difference are nothing, too.
    """
    lost: dict[str, dict[str, float]] = {}
    nothing = True
    for level, answers in whole.items():
        for split, found in answers[OWN].items():
            points = 100 * (found.iou.astype(np.float64) - halved[level][OWN][split].iou)
            most = MOST_LOST_POINTS
            if by_chance:
                most = max(most, 2 * float(points.std()) / len(points) ** 0.5)
            lost.setdefault(level, {})[split] = float(points.mean())
            nothing &= bool(abs(points.mean()) <= most)
    return lost, nothing


def first_scenes(test_sets: Mapping[int, LevelSets]) -> dict[int, LevelSets]:
    return {
        level: LevelSets({split: s[:DECIDING_SCENES] for split, s in sets.scenes.items()}, sets.statistics)
        for level, sets in test_sets.items()
    }


def count_evaluated(net: nn.Module, test_sets: Mapping[int, LevelSets]) -> int:
    """How many scenes `release` evaluates."""
    sizes = [len(scenes) for sets in test_sets.values() for scenes in sets.scenes.values()]
    if isinstance(net, MaskNet):
        return sum(sizes) + 2 * sum(min(size, DECIDING_SCENES) for size in sizes)
    return 2 * sum(sizes)


def evaluate_file(
    path: Path, test_sets: Mapping[int, LevelSets], device: str, batch_size: int
) -> Evaluations:
    """The scores of a file of weights, in plain single precision, as any machine can compute them again."""
    net, _ = load_weights(path)
    speed = Speed(device)
    evaluations: Evaluations = {}
    with speed.running():
        for level, split, scenes, statistics in list_sets(test_sets):
            found = evaluate_answers(net, scenes, statistics, batch_size=batch_size, speed=speed)
            for answer, evaluation in found.items():
                evaluations.setdefault(level, {}).setdefault(answer, {})[split] = evaluation
    return evaluations


def list_sets(test_sets: Mapping[int, LevelSets]) -> Iterator[tuple[str, str, Scenes, PixelStatistics]]:
    """Level, split, scenes and statistics of every test set, one after another."""
    for level, sets in test_sets.items():
        for split, scenes in sets.scenes.items():
            yield str(level), split, scenes, sets.statistics


def measure_evaluation(net: nn.Module, sets: LevelSets, *, device: str, batch_size: int) -> float:
    """Seconds a scene, by the slowest of a few batches, after one that warms up."""
    batch = sets.scenes["test-train"][:batch_size]
    speed = Speed(device)
    readings = []
    with speed.running():
        for _ in range(1 + N_READINGS):
            started = time.perf_counter()
            evaluate_answers(net, batch, sets.statistics, batch_size=batch_size, speed=speed)
            readings.append(time.perf_counter() - started)
    return max(readings[1:]) / len(batch)


def summarise(evaluation: Evaluation, same_class: Bool[np.ndarray, " n"]) -> SplitScore:
    """Means as a record holds them; `same_class`: which scenes have a same-class distractor."""
    summary = summarise_scenes(evaluation.iou, evaluation.hits, same_class)
    groups = (summary.with_same_class, summary.without_same_class)
    with_same_class, without = (None if group is None else make_score(group) for group in groups)
    return SplitScore(
        **dict(make_score(summary.all)), with_same_class=with_same_class, without_same_class=without
    )


def make_score(means: Means) -> Score:
    iou, localisation = means.iou, means.localisation
    assert localisation is not None  # every answer of a network points somewhere
    return Score(
        iou=iou.value,
        iou_interval=(iou.low, iou.high),
        localisation=localisation.value,
        localisation_interval=(localisation.low, localisation.high),
        n=iou.n,
    )
