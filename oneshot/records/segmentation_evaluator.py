"""Evaluation of recorded segmentation networks on the test sets of their clutter levels."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from oneshot.clutter.scenes import Scenes
from oneshot.published import COVERED_SPLITS
from oneshot.records.results import Scores
from oneshot.records.run import OWN_ANSWER
from oneshot.segment.answers import SNAPPED
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.evaluate import evaluate_set
from oneshot.segment.metrics import has_same_class_distractor
from oneshot.segment.nets import NETS, is_choosing
from oneshot.training.speed import Speed, evaluation_speed
from oneshot.training.tensors import Precision, load_network

MOST_LOST_POINTS = 0.05  # of mean IoU, in percentage points, for half precision to be good enough
DECIDING_SCENES = 1000  # of every test set: whether half precision is good enough for a MaskNet
N_READINGS = 3  # of the speed of evaluation, of which the slowest counts


@dataclass(frozen=True)
class LevelSets:
    """The first scenes of every test set of a clutter level, and what normalises them, as published.

    `statistics` are of the first 1,000 scenes of test-train, however few are evaluated.
    """

    scenes: dict[str, Scenes]
    statistics: PixelStatistics


TestSets = Mapping[int, LevelSets]


class SceneEvaluator:
    """An evaluator of segmentation networks for `oneshot.records.release`.

    Half precision is good enough if no mean IoU, at any clutter level, moves by more than 0.05 points. A
    MaskNet's, whose choice among proposals flips in a few scenes, one way and the other, may move by as much
    as chance explains; since its evaluation takes long, the first 1,000 scenes of every set decide it.
    """

    smaller: tuple[Precision, ...] = ("float16",)

    def __init__(self, test_sets: TestSets, device: str, batch_size: int, *, chooses: bool) -> None:
        """Prepare to evaluate; chooses: whether the network chooses among proposals, as MaskNet does."""
        self.everything = test_sets
        self.deciding = test_sets
        if chooses and any(
            len(scenes) > DECIDING_SCENES for sets in test_sets.values() for scenes in sets.scenes.values()
        ):
            self.deciding = {
                level: LevelSets(
                    {name: s[:DECIDING_SCENES] for name, s in sets.scenes.items()}, sets.statistics
                )
                for level, sets in test_sets.items()
            }
        self.device, self.batch_size, self.chooses = device, batch_size, chooses

    def score_file(self, path: Path, selection: TestSets) -> dict[str, np.ndarray]:
        net, _ = load_network(path, NETS)
        return score_sets(net, selection, speed=evaluation_speed(self.device), batch_size=self.batch_size)

    def is_as_good(self, whole: Scores, smaller: Scores) -> bool:
        for points in differences(whole, smaller).values():
            most = MOST_LOST_POINTS
            if self.chooses:  # two standard errors of the difference are nothing, too
                most = max(most, 2 * float(points.std()) / len(points) ** 0.5)
            if not abs(points.mean()) <= most:
                return False
        return True

    def lost_points(self, whole: Scores, smaller: Scores) -> dict[str, float]:
        return {place: float(points.mean()) for place, points in differences(whole, smaller).items()}

    def measure_seconds(self, net: nn.Module) -> float:
        """Estimate by batches of every level, one of covered targets: some look at every character."""
        speed = evaluation_speed(self.device)
        n_passes = 1 if self.deciding is self.everything else 2  # before everything is scored
        seconds = 0.0
        with speed.running():
            for level, sets in self.everything.items():
                of_a_scene: dict[bool, float] = {}
                for split, scenes in sets.scenes.items():
                    covered = split in COVERED_SPLITS
                    if covered not in of_a_scene:
                        of_a_scene[covered] = self.measure_scene(net, split, scenes, sets.statistics, speed)
                    n_scenes = len(scenes) + n_passes * len(self.deciding[level].scenes[split])
                    seconds += n_scenes * of_a_scene[covered]
        return seconds

    def measure_scene(
        self, net: nn.Module, split: str, scenes: Scenes, statistics: PixelStatistics, speed: Speed
    ) -> float:
        """Measure the seconds that a scene of a test set takes, on its first batch."""
        batch = scenes[: self.batch_size]
        readings = []
        for _ in range(1 + N_READINGS):
            started = time.perf_counter()
            evaluate_set(net, split, batch, statistics, batch_size=self.batch_size, speed=speed)
            readings.append(time.perf_counter() - started)
        return max(readings[1:]) / len(batch)  # the first one warms up


def differences(whole: Scores, smaller: Scores) -> dict[str, np.ndarray]:
    """Compute the points that the network's own answer loses in every scene, by test set."""
    found = {}
    for key, iou in whole.items():
        level, *answer, split, kind = key.split("/")
        if (answer, kind) == ([OWN_ANSWER], "iou"):
            found[f"{level}/{split}"] = 100 * (iou.astype(np.float64) - smaller[key])
    return found


def score_sets(
    net: nn.Module, test_sets: TestSets, *, speed: Speed, batch_size: int
) -> dict[str, np.ndarray]:
    """Score a network on test sets, as `oneshot.records.results` keeps it."""
    scores = {}
    with speed.running():
        for level, sets in test_sets.items():
            for split, scenes in sets.scenes.items():
                answers = evaluate_set(
                    net, split, scenes, sets.statistics, batch_size=batch_size, speed=speed
                )
                for answer, evaluation in answers.items():
                    scores[f"{level}/{answer}/{split}/iou"] = evaluation.iou.astype(np.float32)
                    scores[f"{level}/{answer}/{split}/hits"] = evaluation.hits
                scores[f"{level}/{split}/same_class"] = has_same_class_distractor(scenes)
    return scores


def is_choice(net: str, key: str) -> bool:
    """Tell whether the answer of a key is chosen among proposals or colours, which rounding can turn."""
    return is_choosing(net) or f"/{SNAPPED}/" in key
