"""What is kept of a recorded run, but for its scenes' scores: a JSON file that says everything."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from oneshot.errors import OneshotError
from oneshot.files import replacing
from oneshot.params import Phase, RecipeName, Section, describe
from oneshot.published import CLUTTER_LEVELS
from oneshot.segment.answers import OWN

NetName = Literal["siamese_unet", "masknet"]
JOINT = "joint"  # in place of a clutter level: one network for all of them
TEST_SPLITS = ("test-train", "test-one-shot")
LevelKey = Annotated[str, Field(pattern=r"^(4|8|16|32|64|128|256)$")]
AnswerName = Annotated[str, Field(pattern=r"^(answer|top_\d+|(location|candidates|choice)_given)$")]
TestSplit = Annotated[str, Field(pattern=r"^(test-train|test-one-shot)$")]


class RecordError(OneshotError):
    """A recorded run is missing, damaged, unfinished, or contradicts itself."""


class Score(Section):
    """Means over the first `n` scenes of a test set, as fractions, with the ends of their 95 % intervals."""

    iou: float
    iou_interval: tuple[float, float]
    localisation: float
    localisation_interval: tuple[float, float]
    n: int = Field(ge=1)


class SplitScore(Score):
    """Over a whole test set, and over its scenes with and without a same-class distractor, if any."""

    with_same_class: Score | None
    without_same_class: Score | None


class Training(Section):
    """One training of a run: what was asked for, and how far it came.

    A Siamese-U-Net has one, of segmentation; a MaskNet's proposals are trained first, then its discriminator.
    `seconds_waiting` is the part of `seconds` in which the network waited for scenes.
    """

    name: Literal["segmentation", "proposals", "discriminator"]
    batch_size: int
    lr: float
    matching_weight: float
    n_epochs: int | None
    phases: tuple[Phase, ...]
    n_scenes_seen: int
    n_steps: int
    n_steps_planned: int
    seconds: float
    seconds_waiting: float

    @property
    def complete(self) -> bool:
        return self.n_steps == self.n_steps_planned

    @property
    def scenes_per_second(self) -> float:
        return self.n_scenes_seen / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        return self.seconds_waiting / self.seconds if self.seconds else 0.0


class Seconds(Section):
    """Where the time went; `training` and its part `waiting` are sums over the run's trainings.

    `total` is of the whole command, from its start on, and of the trainings of earlier ones that it went on
    from.
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

    `iou_lost_points`: by how many percentage points half precision lowers the mean IoU, by clutter level and
    test set (`oneshot.records.release` says when that is too much, and the file stays in single precision).
    """

    file: str
    sha256: str
    dtype: Literal["float16", "float32"]
    iou_lost_points: dict[LevelKey, dict[TestSplit, float]]


class Record(Section):
    """One run: what was asked for, what it ran on, what came out.

    `proposals_share`: of `budget_minutes`, for the first of MaskNet's trainings. `scores`: by clutter level,
    answer (`oneshot.segment.answers`) and test set; empty while the run is not evaluated.
    """

    net: NetName
    recipe: RecipeName
    clutter_level: Literal[4, 8, 16, 32, 64, 128, 256, "joint"]
    name: str = Field(pattern=r"^(\d+|joint)(-seed-\d+)?$")
    scale: str
    feature_maps: int
    n_parameters: int
    seed: int
    n_jobs: int
    lower_levels: float
    proposals_share: float | None
    training: tuple[Training, ...] = Field(min_length=1)
    start_from: Start | None
    n_scenes_before: int
    budget_minutes: float | None
    seconds: Seconds
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
    test_sets_as_published: dict[LevelKey, dict[TestSplit, Literal["yes", "no", "synthetic"]]]
    weights: Released | None
    scores: dict[LevelKey, dict[AnswerName, dict[TestSplit, SplitScore]]]

    @property
    def joint(self) -> bool:
        return self.clutter_level == JOINT

    @property
    def levels(self) -> tuple[int, ...]:
        """The clutter levels that it is evaluated at."""
        return list_levels(self.clutter_level)

    @property
    def n_scenes_seen(self) -> int:
        return sum(training.n_scenes_seen for training in self.training)

    @property
    def complete(self) -> bool:
        return all(training.complete for training in self.training)

    @property
    def evaluated(self) -> bool:
        """Whether every answer, its own among them, has scores on both test sets of every level."""
        return set(self.scores) == set(map(str, self.levels)) and all(
            OWN in answers and all(set(by_split) == set(TEST_SPLITS) for by_split in answers.values())
            for answers in self.scores.values()
        )

    @property
    def strange_sets(self) -> list[str]:
        return list_strange_sets(self.test_sets_as_published)


@dataclass(frozen=True)
class RecordFiles:
    """Where the four files of a run lie."""

    record: Path
    curve: Path
    scores: Path
    weights: Path


def list_levels(clutter_level: int | str) -> tuple[int, ...]:
    """The level itself, or for the joint network all of them."""
    return CLUTTER_LEVELS if clutter_level == JOINT else (int(clutter_level),)


def list_strange_sets(as_published: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The test sets, with their level, that are not the published ones."""
    return [
        f"{split} at {level}"
        for level, verdicts in as_published.items()
        for split, verdict in verdicts.items()
        if verdict != "yes"
    ]


def run_name(clutter_level: int | str, seed: int, usual_seed: int) -> str:
    """The clutter level, or joint; runs of other seeds than the usual one are told apart."""
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
        if not record.evaluated:
            raise RecordError(
                f"{path} is of an unfinished run: go on with it by the command that began it, or bring a "
                "finished one by python -m stages.adopt FOLDER."
            )
        records.append(record)
    return records


def check_revision(revision: str) -> str:
    """A Git revision as records name it: 7 to 40 hexadecimal digits, -dirty behind them if files differed.

    Raises:
        RecordError: it is something else.
    """
    if not re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", revision):
        raise RecordError(f"{revision!r} is no Git revision: give the commit's hexadecimal digits.")
    return revision
