"""The test sets of a clutter level as both evaluating stages read them, and how they score a network."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import nn

from oneshot.clutter.parts import read_set
from oneshot.clutter.scenes import Scenes
from oneshot.params import Evaluate
from oneshot.segment.answers import OWN
from oneshot.segment.batches import STATISTICS_SCENES, PixelStatistics, pixel_statistics
from oneshot.segment.evaluate import evaluate_answers, segment
from oneshot.segment.metrics import has_same_class_distractor, summarise_scenes
from oneshot.segment.nets.masknet import MaskNet
from oneshot.training.speed import Speed
from stages.places import MANIFESTS, SCENES

SHOWN_SCENES = 8  # whose predicted masks are kept for the pictures


def read_test_sets(clutter_level: int, size: Evaluate) -> tuple[dict[str, Scenes], PixelStatistics]:
    """The first scenes of both test sets, and what normalises them, however few are to be evaluated.

    Raises:
        PartError: fewer scenes were rendered.
    """
    n_scenes = max(size.n_scenes, size.n_masknet_scenes)
    manifest = json.loads((MANIFESTS / f"scenes-{clutter_level}.json").read_text())
    n_known = min(STATISTICS_SCENES, manifest["sets"]["test-train"]["n_scenes"])
    known = read_set(SCENES, clutter_level, "test-train", max(n_scenes, n_known))
    sets = {
        "test-train": known[:n_scenes],
        "test-one-shot": read_set(SCENES, clutter_level, "test-one-shot", n_scenes),
    }
    return sets, pixel_statistics(known)


def score_network(
    network: nn.Module,
    sets: dict[str, Scenes],
    statistics: PixelStatistics,
    *,
    size: Evaluate,
    speed: Speed,
    key: str,
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Means by answer and test set; and, under KEY/ANSWER/SPLIT, every scene's scores and the first masks.

    Of a MaskNet, which decodes every scene 144 times, on fewer scenes. Masks are of the network's own answer
    alone.
    """
    n_scenes = size.n_masknet_scenes if isinstance(network, MaskNet) else size.n_scenes
    means: dict[str, dict[str, Any]] = {}
    arrays: dict[str, np.ndarray] = {}
    for split, whole in sets.items():
        scenes = whole[:n_scenes]
        same_class = has_same_class_distractor(scenes)
        answers = evaluate_answers(network, scenes, statistics, batch_size=size.batch_size, speed=speed)
        for answer, result in answers.items():
            means.setdefault(answer, {})[split] = summarise(result.iou, result.hits, same_class)
            place = f"{key}/{answer}/{split}"
            arrays[f"{place}/iou"], arrays[f"{place}/hits"] = result.iou, result.hits
        masks = segment(network, scenes[:SHOWN_SCENES], statistics, speed=speed)
        arrays[f"{key}/{OWN}/{split}/masks"] = masks
    return means, arrays


def summarise(iou: np.ndarray, hits: np.ndarray | None, same_class: np.ndarray) -> dict[str, Any]:
    """Means with their number of scenes and 95 % intervals; groups without scenes are left out."""
    summary = asdict(summarise_scenes(iou, hits, same_class))
    whole = summary.pop("all")
    groups = {name: leave_out_none(means) for name, means in summary.items() if means is not None}
    return leave_out_none(whole) | groups


def leave_out_none(means: dict[str, Any]) -> dict[str, Any]:
    return {metric: mean for metric, mean in means.items() if mean is not None}
