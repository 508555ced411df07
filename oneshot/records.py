"""What is kept of a recorded training run: a JSON file that says everything, and every test scene's score."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, Float
from pydantic import Field, ValidationError
from safetensors import SafetensorError

from oneshot.errors import OneshotError
from oneshot.files import replacing
from oneshot.params import ClutterLevel, Phase, RecipeName, Section, describe

TEST_SPLITS = ("test-train", "test-one-shot")
# How far a mean may lie from the scores beside it: they are kept in single precision.
TOLERANCE = 1e-6


class RecordError(OneshotError):
    """A recorded run is missing, damaged, unfinished, or contradicts itself."""


class Score(Section):
    """Means over the first `n` scenes of a test set, as fractions, with the ends of their 95 % intervals."""

    iou: float
    iou_interval: tuple[float, float]
    localisation: float
    localisation_interval: tuple[float, float]
    n: int = Field(ge=1)


class Seconds(Section):
    """Where the time went; `waiting` is the part of `training` in which the network waited for scenes.

    `total` is of whole commands, from their start on, those included that were interrupted.
    """

    training: float
    waiting: float
    evaluation: float
    total: float


class Start(Section):
    """The weights that training began from; `n_scenes_seen` counts all that they had seen."""

    file: str
    sha256: str
    n_scenes_seen: int


class Released(Section):
    """The file of weights that the scores are of.

    `iou_lost_points`: by how many percentage points half precision lowers the mean IoU of a test set; beyond
    0.05 either way the file stays in single precision.
    """

    file: str
    sha256: str
    dtype: Literal["float16", "float32"]
    iou_lost_points: dict[str, float]


class Record(Section):
    """One training run: what was asked for, what it ran on, what came out."""

    net: Literal["siamese_unet"]
    recipe: RecipeName
    clutter_level: ClutterLevel
    name: str = Field(pattern=r"^\d+(-seed-\d+)?$")
    scale: str
    feature_maps: int
    n_parameters: int
    seed: int
    batch_size: int
    lr: float
    matching_weight: float
    lower_levels: float
    n_epochs: int | None
    n_jobs: int
    phases: tuple[Phase, ...]
    start_from: Start | None
    n_scenes_seen: int
    n_scenes_before: int
    n_steps: int
    n_steps_planned: int
    complete: bool
    budget_minutes: float | None
    seconds: Seconds
    scenes_per_second: float
    waiting_share: float
    device: str
    machine: str
    n_processes: int
    speed: tuple[str, ...]
    versions: dict[str, str | None]
    git_revision: str
    date: str
    drawings_sha256: str
    pixel_mean: float
    pixel_std: float
    test_sets_as_published: dict[str, Literal["yes", "no", "synthetic"]]
    weights: Released | None
    test_train: Score | None = Field(alias="test-train")
    test_one_shot: Score | None = Field(alias="test-one-shot")

    @property
    def scores(self) -> dict[str, Score]:
        """By test set; empty while the run has not been evaluated."""
        found = {"test-train": self.test_train, "test-one-shot": self.test_one_shot}
        return {split: score for split, score in found.items() if score is not None}


@dataclass(frozen=True)
class SceneScores:
    """Intersection over union, and whether the target was found, of every scene of a test set, in order."""

    iou: Float[np.ndarray, " n"]
    hits: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class RecordFiles:
    """Where the four files of a run lie."""

    record: Path
    curve: Path
    scores: Path
    weights: Path


def run_name(clutter_level: int, seed: int, usual_seed: int) -> str:
    """The clutter level; runs of other seeds than the usual one are told apart."""
    return str(clutter_level) if seed == usual_seed else f"{clutter_level}-seed-{seed}"


def flat_files(folder: Path, net: str, recipe: str, name: str) -> RecordFiles:
    """All four side by side, named by the run."""
    stem = folder / f"{net}-{recipe}-{name}"
    endings = (".json", ".curve.csv", ".scores.safetensors", ".weights.safetensors")
    return RecordFiles(*(stem.with_name(stem.name + ending) for ending in endings))


def released_files(results: Path, weights: Path, net: str, recipe: str, name: str) -> RecordFiles:
    """Their places in the project: weights apart from the rest."""
    folder = results / net / recipe
    return RecordFiles(
        folder / f"{name}.json",
        folder / f"{name}.curve.csv",
        folder / f"{name}.scores.safetensors",
        weights / net / recipe / f"{name}.safetensors",
    )


def save_record(path: Path, record: Record) -> None:
    with replacing(path) as file:
        file.write((json.dumps(record.model_dump(mode="json", by_alias=True), indent=1) + "\n").encode())


def load_record(path: Path) -> Record:
    """Read a record and check its form.

    Raises:
        RecordError: the file is missing, damaged, or says what a record cannot say.
    """
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"there is no record {path}: python -m stages.record makes one.") from None
    except ValidationError as error:
        raise RecordError(f"{path} is not a whole record: {describe(error)}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error


def read_records(results: Path) -> list[Record]:
    """All adopted records, in the order of their paths, such as <results>/siamese_unet/fast/32.json.

    Raises:
        RecordError: one is damaged, has no scores yet, or lies where another belongs.
    """
    records = []
    for path in sorted(results.glob("*/*/*.json")):
        record = load_record(path)
        if released_files(results, results, record.net, record.recipe, record.name).record != path:
            raise RecordError(
                f"{path} is the record of {record.net}, recipe {record.recipe}, {record.name}: it was moved."
            )
        if set(record.scores) != set(TEST_SPLITS):
            raise RecordError(
                f"{path} is of an unfinished run: go on with it by the command that began it, or bring a "
                "finished one by python -m stages.adopt FOLDER."
            )
        records.append(record)
    return records


def save_scores(path: Path, scores: Mapping[str, SceneScores]) -> None:
    """Every scene's scores by test set, in one small safetensors file: <split>/iou and <split>/hits."""
    arrays = {f"{split}/iou": found.iou.astype(np.float32) for split, found in scores.items()}
    arrays |= {f"{split}/hits": found.hits for split, found in scores.items()}
    with replacing(path) as file:
        file.write(safetensors.numpy.save(arrays))


def load_scores(path: Path) -> dict[str, SceneScores]:
    """What `save_scores` wrote, by test set.

    Raises:
        RecordError: the file is missing, damaged, or something else.
    """
    try:
        arrays = safetensors.numpy.load(path.read_bytes())
        return {
            split: SceneScores(arrays[f"{split}/iou"], arrays[f"{split}/hits"])
            for split in dict.fromkeys(name.partition("/")[0] for name in arrays)
        }
    except FileNotFoundError:
        raise RecordError(f"the scores {path} are missing: fetch them, or record the run again.") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RecordError(f"{path} is damaged or holds no scores ({error}).") from error


def check_scores(record: Record, scores: Mapping[str, SceneScores], name: str) -> None:
    """Raise RecordError unless the record's means are those of the scores; `name` is the record's."""
    if set(record.scores) != set(TEST_SPLITS):
        raise RecordError(
            f"{name} is of a run that was interrupted before its evaluation: the command that began it "
            "goes on with it."
        )
    for split, said in record.scores.items():
        found = scores.get(split)
        if found is None or not len(found.iou) == len(found.hits) == said.n:
            raise RecordError(f"{name} speaks of {said.n} scenes of {split}, its file of scores does not.")
        iou, localisation = float(found.iou.mean(dtype=np.float64)), float(found.hits.mean())
        if not (abs(iou - said.iou) < TOLERANCE and abs(localisation - said.localisation) < TOLERANCE):
            raise RecordError(
                f"{name} says IoU {said.iou:.6f} and localisation {said.localisation:.6f} on {split}, but "
                f"its scenes' scores have the means {iou:.6f} and {localisation:.6f}."
            )


def check_revision(revision: str) -> str:
    """A Git revision as records name it: 7 to 40 hexadecimal digits, -dirty behind them if files differed.

    Raises:
        RecordError: it is something else.
    """
    if not re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", revision):
        raise RecordError(f"{revision!r} is no Git revision: give the commit's hexadecimal digits.")
    return revision
