"""Evaluate the recorded networks of a task again, and compare with what was recorded of them."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.errors import ParameterError
from oneshot.files import save_arrays
from oneshot.manifests import SetEntry, write_sealed
from oneshot.params import CLASSIFICATION, SEGMENTATION, Params, load_params
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.recheck import compare_answers, compare_scenes
from oneshot.records.results import summarise_classification, summarise_segmentation
from oneshot.records.run import WEIGHTS, Run, Task, read_runs
from stages.command import run
from stages.evaluate import (
    keep_predictions,
    read_test_sets,
    score_level,
    show_mistakes,
    to_json,
)
from stages.places import METRICS, PREDICTIONS, RECORDED
from stages.source import find_source

MISTAKES = PREDICTIONS / "rechecked-classification.npz"


def main(task: Task) -> None:
    params = load_params()
    recorded, left_out = read_runs(RECORDED, task), params.scale.recheck.left_out
    unknown = {*left_out} - {folder.name for folder in RECORDED.glob("*/*")}
    if recorded and unknown:
        raise ParameterError(f"recheck.left_out names {min(unknown)!r}, of which there is no record.")
    runs = [one for one in recorded if one.name not in left_out]
    recheck = {SEGMENTATION: recheck_segmentation, CLASSIFICATION: recheck_classification}
    if not recorded:
        print(f"no run of {task} is recorded yet")
    networks = recheck[task](params, runs)
    write_sealed(METRICS / f"rechecked-{task}.json", {"scale": params.scale_name, "networks": networks})


def recheck_segmentation(params: Params, runs: list[Run]) -> dict[str, Any]:
    """Score the recorded networks on the first scenes, and keep the masks for the pictures.

    Raises:
        WeightsError: weights are missing or not those of their record.
        RecordError: a record contradicts its own scores.
    """
    networks: dict[str, Any] = {one.name: {"figures": {}, "agreement": {}} for one in runs}
    arrays: dict[str, np.ndarray] = {}
    if runs:
        # Imported here, since torch takes seconds to load, which a project without runs need not wait for.
        from oneshot.records.segmentation_evaluator import is_choice
        from oneshot.training.speed import evaluation_speed
        from stages.rendered import read_sets_manifest

        size, speed = params.scale.recheck, evaluation_speed(params.device)
        loaded = {one.name: load_recorded(one) for one in runs}
        for level in CLUTTER_LEVELS:
            of_level = [one for one in runs if level in one.segmentation.levels]
            if not of_level:
                continue
            sets, statistics = read_test_sets(level, size, params.scale_name)
            rendered = read_sets_manifest(level, params.scale_name)
            for one in of_level:
                net, recorded = loaded[one.name]
                scores, shown = score_level(net, level, sets, statistics, size=size, speed=speed)
                networks[one.name]["figures"] |= to_json(summarise_segmentation(scores))
                arrays |= keep_predictions(one.name, scores, shown)
                for key in scores.keys() & recorded.keys():
                    split = key.split("/")[-2]
                    if key.endswith("/iou") and are_published(one, f"{level}/{split}", rendered[split]):
                        chooses = is_choice(one.net, key)
                        agreement = compare_scenes(scores[key], recorded[key], chooses=chooses)
                        networks[one.name]["agreement"][key] = asdict(agreement)
    save_arrays(PREDICTIONS / "rechecked.npz", **arrays)
    for found in networks.values():  # in the order of the figures
        agreement = found["agreement"]
        found["agreement"] = {key: agreement[key] for key in found["figures"] if key in agreement}
    return networks


def recheck_classification(params: Params, runs: list[Run]) -> dict[str, Any]:
    """Score the recorded networks on the benchmarks of this scale, if the drawings are Omniglot's.

    Raises:
        WeightsError: weights are missing or not those of their record.
        RecordError: a record contradicts its own answers.
    """
    if not runs or (source := find_source(params)) != "omniglot":
        if runs:
            print(f"no recorded network is scored: they need Omniglot, and the drawings are {source}")
        save_arrays(MISTAKES)
        return {}
    # Imported here, since torch takes seconds to load, which a project without runs need not wait for.
    from oneshot.classify.protocols import draw_once
    from oneshot.classify.scoring import NetworkScorer, find_pairs, list_scored, score_everything
    from oneshot.training.speed import evaluation_speed
    from stages.images import read_outside, read_protocols

    protocols = draw_once(read_protocols(params))
    outside, _ = read_outside(protocols)
    speed = evaluation_speed(params.device)
    networks: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for one in runs:
        net, recorded = load_recorded(one)
        scorer = NetworkScorer(net, speed)
        pairs = find_pairs(scorer, protocols, one.recipe)
        names = {*list_scored(protocols, outside, pairs, one.recipe)} & {*params.scale.recheck.protocols}
        answers = score_everything(scorer, protocols, outside, pairs, names)
        networks[one.name] = {
            "figures": to_json(summarise_classification(answers)),
            "agreement": {
                name: asdict(compare_answers(answers[name], recorded[name]))
                for name in answers
                if name in recorded  # MNIST may not have been there when it was recorded
            },
        }
        arrays[f"{one.name}/mistakes"] = show_mistakes(scorer, protocols, answers)
    save_arrays(MISTAKES, **arrays)
    return networks


def load_recorded(one: Run) -> tuple[Any, dict[str, np.ndarray]]:
    """Load a run's network and its scores, after both were checked against its record."""
    from oneshot.classify.nets import NETS as CLASSIFIERS
    from oneshot.records.check import load_checked
    from oneshot.segment.nets import NETS
    from oneshot.training.tensors import load_network

    folder: Path = RECORDED / one.task / one.name
    _, scores = load_checked(folder)
    registry = NETS if one.task == SEGMENTATION else CLASSIFIERS
    return load_network(folder / WEIGHTS, registry)[0], scores


def are_published(one: Run, test_set: str, rendered: SetEntry) -> bool:
    """Return whether the scenes here and those of the record are the published ones, or this project's.

    A record's scores cannot be compared with scores of other scenes, such as those of synthetic alphabets.
    """
    from oneshot.clutter.parts import OWN_SUMS

    verdict = one.segmentation.test_sets_as_published.get(test_set)
    return rendered.checked_against != OWN_SUMS and verdict == "yes"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=(SEGMENTATION, CLASSIFICATION))
    arguments = parser.parse_args()
    run(lambda: main(arguments.task))
