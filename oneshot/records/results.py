"""Single scores of every scene, answer and pair, and the figures that they make: for both tasks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from oneshot.files import load_safetensors, replacing
from oneshot.intervals import Figure, mean_of_hits, mean_of_values
from oneshot.published import read_facts
from oneshot.records.run import RecordError

IOU, HITS, SAME_CLASS = "/iou", "/hits", "/same_class"  # end the keys of segmentation

# Arrays by key. Segmentation: <level>/<answer>/<split>/iou (float32) and .../hits (bool) of every scene in
# order, and <level>/<split>/same_class (bool): whether a distractor is of the searched character.
# Classification: <protocol> (uint8): right answers, 1, and wrong ones, 0, episodes x queries; of rising
# N-way, N x trials; of pairs, one axis.
Scores = Mapping[str, np.ndarray]


def save_scores(path: Path, scores: Scores) -> None:
    with replacing(path) as file:
        file.write(safetensors.numpy.save({key: np.ascontiguousarray(scores[key]) for key in scores}))


def load_scores(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_scores` wrote, in the order of the keys.

    Raises:
        RecordError: the file is missing, damaged, or something else.
    """
    return load_safetensors(path, "numpy", "fetch it, or record the run again", RecordError)[0]


def summarise_segmentation(scores: Scores) -> dict[str, Figure]:
    """Compute mean IoU and share of targets found, over all scenes of a set and over two groups of them.

    Keys: <level>/<answer>/<split>/iou and .../localisation; behind them /with_same_class and
    /without_same_class where there are such scenes. Scores without hits have no localisation.
    """
    figures = {}
    for key in scores:
        if not key.endswith(IOU):
            continue
        place = key.removesuffix(IOU)
        same_class = scores.get(f"{place.split('/')[0]}/{place.split('/')[-1]}{SAME_CLASS}")
        groups: dict[str, np.ndarray | slice] = {"": slice(None)}
        if same_class is not None:
            groups |= {"/with_same_class": same_class, "/without_same_class": ~same_class}
        for metric, values, mean in (
            ("iou", scores[key], mean_of_values),
            ("localisation", scores.get(place + HITS), mean_of_hits),
        ):
            if values is None:
                continue
            for group, chosen in groups.items():
                if len(some := values[chosen]):
                    figures[f"{place}/{metric}{group}"] = mean(some)
    return figures


def summarise_classification(scores: Scores) -> dict[str, Figure]:
    """Compute the share of right answers by protocol; of rising N-way by N: rising-ways/20."""
    figures = {}
    benchmarks = read_facts("episodes")["benchmarks"]
    for name, answers in scores.items():
        if ways := benchmarks.get(name, {}).get("ways"):
            for n_way, row in enumerate(answers, ways[0]):
                figures[f"{name}/{n_way}"] = mean_of_hits(row.astype(bool))
        else:
            figures[name] = mean_of_hits(answers.astype(bool))
    return figures


SUMMARISE = {"segmentation": summarise_segmentation, "classification": summarise_classification}
