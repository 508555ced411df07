"""Evaluate the released networks of one clutter level again, and compare with what was recorded of them."""

import argparse
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from oneshot.params import Params, load_params
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.recheck import compare
from oneshot.records.run import Record, read_records, released_files
from oneshot.records.scene_scores import SceneScores, check_scores, load_scores
from stages.command import run
from stages.places import MANIFESTS, RESULTS, WEIGHTS
from stages.scores import write_scores

ABOUT = ("feature_maps", "seed", "n_scenes_seen")  # what the metrics repeat of a record


def main(clutter_level: int) -> None:
    params = load_params()
    records = [record for record in read_records(RESULTS) if clutter_level in record.levels]
    metrics: dict[str, Any] = {"scale": params.scale_name, "clutter_level": clutter_level}
    arrays: dict[str, np.ndarray] = {}
    if records:
        metrics["nets"], arrays = reevaluate(params, clutter_level, records)
    else:
        print(f"no network is released for clutter level {clutter_level} yet")
    write_scores(f"reevaluated-{clutter_level}", metrics, arrays)


def reevaluate(
    params: Params, clutter_level: int, records: list[Record]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """By network, recipe and name: scores, their agreement with the record, and the masks for the pictures.

    Raises:
        WeightsError: weights are missing or not those of their record.
        RecordError: a record contradicts its own scores.
    """
    # Imported here, since torch takes seconds to load, which levels without a network need not wait for.
    from oneshot.training.speed import choose_speed
    from stages.test_scenes import read_test_sets, score_network

    size = params.scale.reevaluate
    sets, statistics = read_test_sets(clutter_level, size)
    speed = choose_speed(params.device, "plain")
    rendered = json.loads((MANIFESTS / f"scenes-{clutter_level}.json").read_text())["sets"]
    nets: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for record in records:
        network, recorded = load_released(record)
        entry = {key: getattr(record, key) for key in ABOUT}
        key = f"{record.net}/{record.recipe}/{record.name}"
        means, of_net = score_network(network, sets, statistics, size=size, speed=speed, key=key)
        for answer, by_split in means.items():
            for split, of_split in by_split.items():
                before = recorded[str(clutter_level)].get(answer, {}).get(split)
                if before is not None and are_published(record, clutter_level, split, rendered):
                    here = of_net[f"{key}/{answer}/{split}/iou"]
                    agreement = compare(here, before.iou, chooses=record.net == "masknet")
                    of_split["agreement"] = asdict(agreement)
        by_recipe = nets.setdefault(record.net, {})
        by_recipe.setdefault(record.recipe, {})[record.name] = entry | {"answers": means}
        arrays |= of_net
    return nets, arrays


def are_published(record: Record, clutter_level: int, split: str, rendered: dict[str, Any]) -> bool:
    """Whether the scenes here and those of the record are the published ones: others, such as invented
    alphabets', say nothing of a record.
    """
    verdict = record.test_sets_as_published.get(str(clutter_level), {}).get(split)
    return rendered[split]["checked_against"] == "published checksums" and verdict == "yes"


def load_released(record: Record) -> tuple[Any, dict[str, dict[str, dict[str, SceneScores]]]]:
    """The network of a record, proved by its checksum, and its scores, proved by the record's means."""
    from oneshot.segment.weights import load_weights
    from oneshot.training.tensors import WeightsError, file_sha256

    files = released_files(RESULTS, WEIGHTS, record.net, record.recipe, record.name)
    scores = load_scores(files.scores)
    check_scores(record, scores, str(files.record))
    if not files.weights.is_file():
        raise WeightsError(
            f"the weights of {files.record} are missing: fetch them by git checkout -- weights."
        )
    if record.weights is None or file_sha256(files.weights) != record.weights.sha256:
        raise WeightsError(
            f"{files.weights} does not have the SHA-256 in {files.record}: take both from the same commit."
        )
    return load_weights(files.weights)[0], scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clutter_level", type=int, choices=CLUTTER_LEVELS)
    arguments = parser.parse_args()
    run(lambda: main(arguments.clutter_level))
