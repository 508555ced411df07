"""The test sets of a clutter level as both evaluating stages read them, and how they score a network."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import nn

from oneshot.batches import STATISTICS_SCENES, PixelStatistics, pixel_statistics
from oneshot.evaluate import Evaluation, evaluate, segment
from oneshot.metrics import mean_of_hits, mean_of_values
from oneshot.scenes import Scenes
from oneshot.sets import read_set
from oneshot.speed import Speed
from stages.places import MANIFESTS, SCENES

SHOWN_SCENES = 8  # whose predicted masks are kept for the pictures


def read_test_sets(clutter_level: int, n_scenes: int) -> tuple[dict[str, Scenes], PixelStatistics]:
    """The first scenes of both test sets, and what normalises them, however few are to be evaluated.

    Raises:
        PartError: fewer scenes were rendered.
    """
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
    batch_size: int,
    speed: Speed,
    key: str,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Means by test set; and, under names that begin with `key`, every scene's scores and the first masks."""
    means: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for split, scenes in sets.items():
        result = evaluate(network, scenes, statistics, batch_size=batch_size, speed=speed)
        means[split] = summarise(result)
        arrays[f"{key}/{split}/iou"], arrays[f"{key}/{split}/hits"] = result.iou, result.hits
        arrays[f"{key}/{split}/masks"] = segment(network, scenes[:SHOWN_SCENES], statistics, speed=speed)
    return means, arrays


def summarise(result: Evaluation) -> dict[str, Any]:
    """Means with their number of scenes and 95 % intervals."""
    return {"iou": asdict(mean_of_values(result.iou)), "localisation": asdict(mean_of_hits(result.hits))}
