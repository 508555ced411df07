"""Every test scene's score, beside the record of a run, and whether the two agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, Float
from safetensors import SafetensorError

from oneshot.files import replacing
from oneshot.records.run import Record, RecordError, SplitScore

# How far a mean may lie from the scores beside it: they are kept in single precision.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class SceneScores:
    """Intersection over union, and whether the target was found, of every scene of a test set, in order."""

    iou: Float[np.ndarray, " n"]
    hits: Bool[np.ndarray, " n"]


# Every scene's scores by clutter level, answer and test set.
RunScores = Mapping[str, Mapping[str, Mapping[str, SceneScores]]]


def save_scores(path: Path, scores: RunScores) -> None:
    """Every scene's scores in one small safetensors file: <level>/<answer>/<split>/iou and .../hits."""
    arrays: dict[str, np.ndarray] = {}
    for level, answers in scores.items():
        for answer, by_split in answers.items():
            for split, found in by_split.items():
                arrays[f"{level}/{answer}/{split}/iou"] = found.iou.astype(np.float32)
                arrays[f"{level}/{answer}/{split}/hits"] = found.hits
    with replacing(path) as file:
        file.write(safetensors.numpy.save(arrays))


def load_scores(path: Path) -> dict[str, dict[str, dict[str, SceneScores]]]:
    """What `save_scores` wrote, by clutter level, answer and test set.

    Raises:
        RecordError: the file is missing, damaged, or something else.
    """
    scores: dict[str, dict[str, dict[str, SceneScores]]] = {}
    try:
        arrays = safetensors.numpy.load(path.read_bytes())
        for place in sorted({name.rpartition("/")[0] for name in arrays}):
            level, answer, split = place.split("/")
            found = SceneScores(arrays[f"{place}/iou"], arrays[f"{place}/hits"])
            scores.setdefault(level, {}).setdefault(answer, {})[split] = found
    except FileNotFoundError:
        raise RecordError(f"the scores {path} are missing: fetch them, or record the run again.") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RecordError(f"{path} is damaged or holds no scores ({error}).") from error
    return scores


def check_scores(record: Record, scores: RunScores, name: str) -> None:
    """Raise RecordError unless the record's means are those of the scores; `name` is the record's."""
    if not record.evaluated:
        raise RecordError(
            f"{name} is of a run that was interrupted before its evaluation: the command that began it "
            "goes on with it."
        )
    for level, answers in record.scores.items():
        for answer, by_split in answers.items():
            for split, said in by_split.items():
                found = scores.get(level, {}).get(answer, {}).get(split)
                check_means(said, found, f"{split} at {level} characters ({answer})", name)


def check_means(said: SplitScore, found: SceneScores | None, where: str, name: str) -> None:
    """Raise RecordError unless both are of the same scenes, and the means' two groups make up the whole."""
    if found is None or not len(found.iou) == len(found.hits) == said.n:
        raise RecordError(f"{name} speaks of {said.n} scenes of {where}, its file of scores does not.")
    iou, localisation = float(found.iou.mean(dtype=np.float64)), float(found.hits.mean())
    if not (abs(iou - said.iou) < TOLERANCE and abs(localisation - said.localisation) < TOLERANCE):
        raise RecordError(
            f"{name} says IoU {said.iou:.6f} and localisation {said.localisation:.6f} on {where}, but "
            f"its scenes' scores have the means {iou:.6f} and {localisation:.6f}."
        )
    groups = [group for group in (said.with_same_class, said.without_same_class) if group is not None]
    whole = [
        sum(group.n for group in groups) / said.n,
        sum(group.n * group.iou for group in groups) / said.n,
        sum(group.n * group.localisation for group in groups) / said.n,
    ]
    if not np.allclose(whole, [1, said.iou, said.localisation], rtol=0, atol=TOLERANCE):
        raise RecordError(
            f"{name}: what it says of {where} with and without a same-class distractor does not make up the "
            "whole."
        )
