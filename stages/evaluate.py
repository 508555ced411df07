"""Evaluate the networks of a task that were trained here, and what needs no training beside them."""

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from oneshot.files import save_arrays
from oneshot.intervals import Figure
from oneshot.manifests import write_sealed
from oneshot.params import CLASSIFICATION, SEGMENTATION, Evaluate, Params, load_params
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS, RISING_WAYS, SELECTION, find_split
from oneshot.records.results import Scores, summarise_classification, summarise_segmentation
from oneshot.records.run import OWN_ANSWER
from stages.command import run
from stages.places import METRICS, PREDICTIONS, weights_of
from stages.source import check_trained, read_classes_manifest

if TYPE_CHECKING:
    from torch import nn

    from oneshot.classify.protocols import Protocols
    from oneshot.classify.scoring import Scorer
    from oneshot.clutter.scenes import Scenes
    from oneshot.segment.batches import PixelStatistics
    from oneshot.training.speed import Speed

SHOWN_SCENES = 8  # whose predicted masks are kept for the pictures
SHOWN_GROUPS = 8  # of a scene, as a colour matcher ranks them
GROUPED = 1  # that scene: at all levels the first one has the same target
SHOWN_MISTAKES = 12  # of a classifier
PLOTTED = ("euclidean", "guess")  # baselines with figures of rising N-way


def main(task: str) -> None:
    evaluate = {SEGMENTATION: evaluate_segmentation, CLASSIFICATION: evaluate_classification}
    evaluate[task](load_params())


def evaluate_segmentation(params: Params) -> None:
    """Write the IoU of every network at its clutter levels, and of marking every character at all levels.

    On the published test sets, and on covered targets, of which only the visible pixels count.
    """
    # Imported here, since tables and the other task need neither torch nor numba.
    from oneshot.segment.metrics import has_same_class_distractor, iou_of_all_ink
    from oneshot.training.speed import evaluation_speed

    size, speed = params.scale.evaluate, evaluation_speed(params.device)
    trained = read_trained(params, SEGMENTATION)
    networks = {name: describe_segmentation(about) | {"figures": {}} for name, about in trained.items()}
    loaded = {name: load_trained(SEGMENTATION, name) for name in trained}
    ink: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for level in CLUTTER_LEVELS:
        sets, statistics = read_test_sets(level, size, params.scale_name)
        scores: dict[str, np.ndarray] = {}
        for split, scenes in sets.items():
            scores[f"{level}/{split}/iou"] = iou_of_all_ink(scenes[: size.n_scenes])
            scores[f"{level}/{split}/same_class"] = has_same_class_distractor(scenes[: size.n_scenes])
        ink |= to_json(summarise_segmentation(scores))
        for name, net in loaded.items():
            if level in list_levels(name):
                found, shown = score_level(net, level, sets, statistics, size=size, speed=speed)
                networks[name]["figures"] |= to_json(summarise_segmentation(found))
                arrays |= keep_predictions(name, found, shown)
    metrics = {"scale": params.scale_name, "networks": networks, "all_ink": {"figures": ink}}
    write_sealed(METRICS / f"{SEGMENTATION}.json", metrics)
    save_arrays(PREDICTIONS / f"{SEGMENTATION}.npz", **arrays)


def evaluate_classification(params: Params) -> None:
    """Write the accuracy of every network and every baseline on all benchmarks."""
    from oneshot.classify.baselines import make_baselines
    from oneshot.classify.protocols import draw_once
    from oneshot.classify.scoring import NetworkScorer, find_pairs, list_scored, score_everything
    from oneshot.training.speed import evaluation_speed
    from stages.images import read_outside, read_protocols

    protocols = draw_once(read_protocols(params))
    outside, not_computed = read_outside(protocols)
    speed = evaluation_speed(params.device)
    networks: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, about in read_trained(params, CLASSIFICATION).items():
        scorer = NetworkScorer(load_trained(CLASSIFICATION, name), speed)
        pairs = find_pairs(scorer, protocols, about["recipe"])
        names = {*list_scored(protocols, outside, pairs, about["recipe"])} - {SELECTION}
        found = score_everything(scorer, protocols, outside, pairs, names)
        networks[name] = describe_classification(about)
        networks[name]["figures"] = to_json(summarise_classification(found))
        arrays[f"{name}/mistakes"] = show_mistakes(scorer, protocols, found)
    baselines = {}
    for name, baseline in make_baselines(params.seed).items():
        chosen = choose_benchmarks(name, [*outside, *protocols.lists], params.scale.classification.hausdorff)
        found = score_everything(baseline, protocols, outside, {}, chosen)
        baselines[name] = {"figures": to_json(summarise_classification(found))}
    metrics = {
        "scale": params.scale_name,
        "source": protocols.source,
        "protocols": read_classes_manifest().protocols,
        "not_computed": not_computed,
        "networks": networks,
        "baselines": baselines,
    }
    write_sealed(METRICS / f"{CLASSIFICATION}.json", metrics)
    save_arrays(PREDICTIONS / f"{CLASSIFICATION}.npz", **arrays)


def show_mistakes(scorer: "Scorer", protocols: "Protocols", answers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Choose wrong answers on the first benchmark for the pictures: query, answer and right class.

    answers: right ones, 1, and wrong ones, 0, by the names of what was scored.
    """
    from oneshot.classify.scoring import find_mistakes, score_list

    name, draw = next(iter(protocols.lists.items()))
    (episodes,) = draw()
    right = answers[name] == 1 if name in answers else score_list(scorer, protocols, episodes)
    numbers = episodes.needed()
    images = protocols.unpack(numbers)
    return find_mistakes(scorer, images, episodes.renumbered(numbers), right, SHOWN_MISTAKES)


def read_trained(params: Params, task: str) -> dict[str, dict[str, Any]]:
    """Read what is known of every network of a task that this scale trains, by name."""
    abouts = {name: check_trained(task, name, params.scale_name) for name in params.networks_of(task)}
    return {name: about for name, about in abouts.items() if about["trained"]}


def load_trained(task: str, name: str) -> Any:
    """Load a network that was trained here."""
    from oneshot.classify.nets import NETS as CLASSIFIERS
    from oneshot.segment.nets import NETS
    from oneshot.training.tensors import load_network

    return load_network(weights_of(task, name), NETS if task == SEGMENTATION else CLASSIFIERS)[0]


def describe_segmentation(about: Mapping[str, Any]) -> dict[str, Any]:
    """Choose what the metrics repeat of a training."""
    phases = [phase for training in about["trainings"] for phase in training["settings"]["phases"]]
    levels = sorted({level for phase in phases for level in phase["clutter_levels"]})
    described = {
        key: about[key] for key in ("net", "recipe", "n_parameters", "seed", "n_seen", "n_seen_before")
    }
    described["feature_maps"] = about["settings"]["feature_maps"]
    return described | {"trained_on": ", ".join(map(str, levels))}


def describe_classification(about: Mapping[str, Any]) -> dict[str, Any]:
    """Choose what the metrics repeat of a training."""
    described = {key: about[key] for key in ("net", "recipe", "n_parameters", "seed", "n_seen")}
    return described | {key: about["settings"].get(key) for key in ("base", "n_pairs", "n_copies")}


def choose_benchmarks(baseline: str, names: Iterable[str], of_hausdorff: Iterable[str]) -> list[str]:
    """Choose all benchmarks but those that would take long and nobody asks for."""
    if baseline == "hausdorff":
        return [name for name in names if name in of_hausdorff]
    return [name for name in names if baseline in PLOTTED or name not in RISING_WAYS]


def list_levels(network: str) -> tuple[int, ...]:
    """List the clutter levels a network is evaluated at: the one in its name, or all."""
    end = network.rpartition("-")[2]
    return tuple(level for level in CLUTTER_LEVELS if str(level) == end) or CLUTTER_LEVELS


def read_test_sets(
    clutter_level: int, size: Evaluate, scale: str
) -> "tuple[dict[str, Scenes], PixelStatistics]":
    """Read the first scenes of every test set, and what normalises them, however few are to be evaluated.

    Of covered targets the same share of those that there are, but as many as are shown, with the masks that
    `keep_visible` gives.

    Raises:
        PartError: fewer scenes were rendered.
    """
    from oneshot.clutter.scenes import keep_visible, split_recipe
    from oneshot.segment.batches import STATISTICS_SCENES, pixel_statistics
    from stages.rendered import read_rendered, read_sets_manifest

    n_scenes = max(size.n_scenes, size.n_masknet_scenes)
    rendered = read_sets_manifest(clutter_level, scale)
    n_known = min(STATISTICS_SCENES, rendered["test-train"].n_scenes)
    known = read_rendered(rendered, clutter_level, "test-train", max(n_scenes, n_known))
    sets = {
        "test-train": known[:n_scenes],
        "test-one-shot": read_rendered(rendered, clutter_level, "test-one-shot", n_scenes),
    }
    share = n_scenes / rendered["test-train"].n_scenes
    for split in COVERED_SPLITS:
        n_there = rendered[split].n_scenes
        n_covered = min(n_there, max(math.ceil(share * n_there), SHOWN_SCENES))
        scenes = read_rendered(rendered, clutter_level, split, n_covered)
        sets[split] = keep_visible(scenes, split_recipe(find_split(split), clutter_level))
    return sets, pixel_statistics(known)


def score_level(
    net: "nn.Module",
    level: int,
    sets: "Mapping[str, Scenes]",
    statistics: "PixelStatistics",
    *,
    size: Evaluate,
    speed: "Speed",
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Score a network on every test set, and give what the pictures show of the first scenes.

    Scores as `oneshot.records.results` keeps them. Shown are <level>/answer/<split>/masks, of its own answer,
    and <level>/groups/<split>/..., the groups of one scene as a colour matcher ranks them. A MaskNet, which
    decodes every scene 144 times, is scored on fewer scenes.
    """
    from oneshot.records.segmentation_evaluator import LevelSets, score_sets
    from oneshot.segment.evaluate import segment
    from oneshot.segment.evaluate_matcher import rank_groups
    from oneshot.segment.nets.colour_matcher import ColourMatcher
    from oneshot.segment.nets.masknet import MaskNet

    n_scenes = size.n_masknet_scenes if isinstance(net, MaskNet) else size.n_scenes
    scored = {split: scenes[:n_scenes] for split, scenes in sets.items()}
    test_sets = {level: LevelSets(scored, statistics)}
    scores = score_sets(net, test_sets, speed=speed, batch_size=size.batch_size)
    shown: dict[str, np.ndarray] = {}
    for split, scenes in scored.items():
        some = scenes[:SHOWN_SCENES]
        shown[f"{level}/{OWN_ANSWER}/{split}/masks"] = segment(net, some, statistics, speed=speed)
        if isinstance(net, ColourMatcher):
            ranked = rank_groups(net, scenes[GROUPED : GROUPED + 1], SHOWN_GROUPS, speed=speed)
            shown |= {f"{level}/groups/{split}/{name}": array for name, array in ranked.items()}
    return scores, shown


def keep_predictions(name: str, scores: Scores, shown: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name every scene's scores, and what the pictures show, by their network."""
    kept = {key: array for key, array in scores.items() if not key.endswith("/same_class")}
    return {f"{name}/{key}": array for key, array in (kept | dict(shown)).items()}


def to_json(figures: Mapping[str, Figure]) -> dict[str, dict[str, Any]]:
    return {key: asdict(figure) for key, figure in figures.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=(SEGMENTATION, CLASSIFICATION))
    arguments = parser.parse_args()
    run(lambda: main(arguments.task))
