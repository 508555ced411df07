"""How a recorded run ends: the weights are released, scored, and written with the scores and the record."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from oneshot.records.release import LevelSets, Release, release, summarise
from oneshot.records.run import Record, RecordFiles, Released, released_files, save_record
from oneshot.records.scene_scores import SceneScores, save_scores
from oneshot.segment.metrics import has_same_class_distractor
from oneshot.segment.weights import WeightsInfo
from oneshot.training.tensors import file_sha256
from stages.places import RESULTS, WEIGHTS
from stages.record_form import Trained, make_record


def finish(
    net: nn.Module, info: WeightsInfo, files: RecordFiles, facts: dict[str, Any], trained: Sequence[Trained],
    started: float, test_sets: Mapping[int, LevelSets], device: str, batch_size: int,
) -> Record:  # fmt: skip
    """Release the weights, score them, and write everything; the record last, as it vouches for the rest."""
    evaluating = time.monotonic()
    released = release(net, info, files.weights, test_sets, device=device, batch_size=batch_size)
    now = time.monotonic()
    scores = {
        level: {
            answer: {split: SceneScores(e.iou, e.hits) for split, e in by_split.items()}
            for answer, by_split in answers.items()
        }
        for level, answers in released.evaluations.items()
    }
    save_scores(files.scores, scores)
    same_class = {
        str(level): {split: has_same_class_distractor(scenes) for split, scenes in sets.scenes.items()}
        for level, sets in test_sets.items()
    }
    weights = describe_released(facts, released, file_sha256(files.weights))
    means = describe_scores(released, same_class)
    record = make_record(facts, trained, now - started, weights, means, now - evaluating)
    save_record(files.record, record)
    return record


def describe_released(facts: Mapping[str, Any], released: Release, sha256: str) -> Released:
    """Where the weights belong, and what they cost."""
    places = released_files(RESULTS, WEIGHTS, facts["net"], facts["recipe"], facts["name"])
    return Released(
        file=places.weights.as_posix(),
        sha256=sha256,
        dtype=released.dtype,
        iou_lost_points={
            level: {split: round(points, 4) for split, points in by_split.items()}
            for level, by_split in released.lost_points.items()
        },
    )


def describe_scores(
    released: Release, same_class: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Means by clutter level, answer and test set; `same_class`: the scenes with a same-class distractor."""
    return {
        level: {
            answer: {split: summarise(found, same_class[level][split]) for split, found in by_split.items()}
            for answer, by_split in answers.items()
        }
        for level, answers in released.evaluations.items()
    }
