"""Recorded runs: a folder for each, whose run.json says everything but the single scores."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, model_validator

from oneshot.errors import OneshotError
from oneshot.files import find_sha256, read_json, write_json
from oneshot.intervals import Figure
from oneshot.params import WITH_VALIDATION, Section

Task = Literal["segmentation", "classification"]
TEST_SPLITS = ("test-train", "test-one-shot")
OWN_ANSWER = "answer"  # of a segmentation network itself, with none of its work done for it
INDEX = "index.json"  # in recorded/, of all records
LIST_ANEW = "bring it back (git checkout), or if that was on purpose run python -m stages.record.adopt"
FETCH = "fetch it, or make it by python -m stages.record"
# The files in the folder of a run.
RUN, CURVE, SCORES, WEIGHTS = "run.json", "curve.csv", "scores.safetensors", "weights.safetensors"
CURVE_COLUMNS = ("training", "step", "n_seen", "loss", "lr", "error", "seconds")

TestSet = Annotated[str, Field(pattern=r"^(4|8|16|32|64|128|256)/(test|covered)-(train|one-shot)$")]
Verdict = Literal["yes", "no", "synthetic"]


class RecordError(OneshotError):
    """A recorded run is missing, damaged, unfinished, or contradicts itself."""


class Training(Section):
    """One training of a run: its settings, and how far it came.

    A MaskNet has two, of its proposals and then of its discriminator; other networks have one. `n_seen`:
    scenes, pairs or episodes. `best_step`: whose weights were kept, where a validation chooses them.
    `seconds_waiting`: the part of `seconds` in which the network waited for its input.
    """

    name: Literal["segmentation", "proposals", "discriminator", "pairs", "episodes"]
    settings: dict[str, Any]
    n_seen: int
    n_steps: int
    n_steps_planned: int
    stopped_early: bool
    best_step: int | None
    seconds: float
    seconds_waiting: float

    @property
    def complete(self) -> bool:
        """Tell whether it ended by itself: all planned steps were done, or patience had run out."""
        return self.stopped_early or self.n_steps == self.n_steps_planned


class Start(Section):
    """Weights of another run, which training began from, or an ensemble is made of.

    `n_seen` counts all that they had seen.
    """

    file: str
    sha256: str
    n_seen: int


class Seconds(Section):
    """Times of a run; `training` and its part `waiting` are sums over the run's trainings.

    `total` is of the whole command, from its start on, and of the trainings of earlier commands that it went
    on from; of an ensemble its evaluation and all that its members took.
    """

    training: float
    waiting: float
    evaluation: float
    total: float


class Released(Section):
    """The file of weights that the figures are of.

    `lost_points`: by how many percentage points of IoU or of right answers the released precision is worse
    than float32, by test set, such as 4/test-train, or protocol, of those that decided on it.
    `oneshot.records.release` says when that is too much.
    """

    sha256: str
    precision: Literal["int8", "float16", "float32"]
    lost_points: dict[str, float]


class LaterScores(Section):
    """Scores that a record lacked, of test sets or answers that came later, computed by its released weights.

    `scores`: their keys in the file of scores; the rest says what computed them.
    """

    scores: tuple[str, ...]
    device: str
    versions: dict[str, str | None]
    git_revision: str
    date: str


class SegmentationBody(Section):
    """The part of a record that only segmentation has; `levels`: that it was evaluated at.

    `pixel_mean`, `pixel_std`: of the training scenes with most clutter. `test_sets_as_published`: whether the
    scenes have the published checksums, or of covered targets, which older records lack, this project's.
    """

    feature_maps: int = Field(ge=1)
    levels: tuple[Literal[4, 8, 16, 32, 64, 128, 256], ...] = Field(min_length=1)
    pixel_mean: float
    pixel_std: float
    test_sets_as_published: dict[TestSet, Verdict]


class EpisodeProtocol(Section):
    """Episodes that were answered; `n_way`: of rising N-way the first and the last."""

    n_way: int | tuple[int, int]
    n_shot: int
    n_episodes: int
    n_queries: int
    sha256: str


class PairProtocol(Section):
    """Pairs that were judged."""

    n_pairs: int
    sha256: str


class ClassificationBody(Section):
    """The part of a record that only classification has; `not_computed`: protocols, and why not."""

    protocols: dict[str, EpisodeProtocol | PairProtocol]
    not_computed: dict[str, str]


class Run(Section):
    """One run: what was asked for, what it ran on, what came out.

    `network`: the section of params.yaml; `net`: what it builds; `settings`: every number in force, of
    an ensemble which runs and copies.
    `figures`: empty while the run is not evaluated; `weights`: None until then. `scored_later`: what
    stages.record.rescore has added since. `initial_weights`: whose random numbers they are; PyTorch's differ
    between its versions. `members`: of an ensemble, whose trainings are theirs.
    """

    task: Task
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    network: str
    net: str
    recipe: str
    settings: dict[str, Any]
    seed: int
    scale: str
    n_parameters: int
    trainings: tuple[Training, ...] = Field(min_length=1)
    start_from: Start | None
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
    weights: Released | None
    figures: dict[str, Figure]
    body: SegmentationBody | ClassificationBody
    scored_later: tuple[LaterScores, ...] = ()
    initial_weights: Literal["torch", "numpy"] = "torch"
    members: tuple[Start, ...] = ()

    @model_validator(mode="after")
    def check_body(self) -> "Run":
        if isinstance(self.body, SegmentationBody) != (self.task == "segmentation"):
            raise ValueError(f"its body is not one of {self.task}")
        return self

    @property
    def complete(self) -> bool:
        """Tell whether all trainings ended by themselves; each began, or the run would not be evaluated."""
        return self.evaluated and all(training.complete for training in self.trainings)

    @property
    def evaluated(self) -> bool:
        """Tell whether it has weights, and the figures without which a run is none."""
        required = {"validation"} if self.recipe != WITH_VALIDATION else set()
        if isinstance(self.body, SegmentationBody):
            required = {
                f"{level}/{OWN_ANSWER}/{split}/{metric}"
                for level in self.body.levels
                for split in TEST_SPLITS
                for metric in ("iou", "localisation")
            }
        return self.weights is not None and bool(self.figures) and required <= self.figures.keys()

    @property
    def n_seen(self) -> int:
        return sum(training.n_seen for training in self.trainings)

    @property
    def n_seen_before(self) -> int:
        return self.start_from.n_seen if self.start_from else 0

    @property
    def segmentation(self) -> SegmentationBody:
        assert isinstance(self.body, SegmentationBody)
        return self.body


def list_strange_sets(as_published: Mapping[str, str]) -> list[str]:
    """Name the test sets that are not the published ones."""
    return [name for name, verdict in as_published.items() if verdict != "yes"]


def save_run(folder: Path, run: Run) -> None:
    write_json(folder / RUN, run.model_dump(mode="json"))


def load_run(folder: Path) -> Run:
    """Read the record of a run and check its form.

    Raises:
        RecordError: the file is missing, damaged, or says what a record cannot say.
    """
    return read_json(folder / RUN, Run, FETCH, RecordError)


class RecordIndex(RootModel[dict[str, str]]):
    """The SHA-256 of the records' files by task, name and file; that of weights is in the record itself."""


def save_index(recorded: Path) -> None:
    """Write down which records there are, by the SHA-256 of their files."""
    write_json(recorded / INDEX, list_records(recorded))


def list_records(recorded: Path) -> dict[str, str]:
    """Give the SHA-256 of the files of all records by task, name and file."""
    found = [*recorded.glob(f"*/*/{RUN}"), *recorded.glob(f"*/*/{CURVE}"), *recorded.glob(f"*/*/{SCORES}")]
    return {path.relative_to(recorded).as_posix(): find_sha256(path, FETCH) for path in sorted(found)}


def check_index(recorded: Path) -> None:
    """Compare the files of records with the list of them.

    Raises:
        RecordError: one was deleted, changed by hand, or put there by hand.
    """
    found = list_records(recorded)
    if not found and not (recorded / INDEX).exists():
        return
    listed = read_json(recorded / INDEX, RecordIndex, LIST_ANEW, RecordError).root
    wrong = sorted(name for name in listed | found if listed.get(name) != found.get(name))
    if wrong:
        raise RecordError(
            f"{', '.join(wrong)} in {recorded} is not what {INDEX} there lists, but was deleted or changed: "
            f"{LIST_ANEW}."
        )


def read_runs(recorded: Path, task: Task) -> list[Run]:
    """Read all runs of a task that lie in <recorded>/<task>/<name>, in the order of their names.

    Raises:
        RecordError: one is damaged, has no figures yet, lies where another belongs, or is not as listed.
    """
    check_index(recorded)
    runs = []
    for path in sorted(recorded.glob(f"{task}/*/{RUN}")):
        run = load_run(path.parent)
        if (run.task, run.name) != (task, path.parent.name):
            raise RecordError(f"{path} is the record of {run.task}/{run.name}: it was moved.")
        if not run.evaluated:
            raise RecordError(
                f"{path} is of an unfinished run: go on with it by the command that began it, or bring a "
                "finished one by python -m stages.record.adopt FOLDER."
            )
        runs.append(run)
    return runs


def check_revision(revision: str) -> str:
    """Check a Git revision: 7 to 40 hexadecimal digits, -dirty behind them if files differed.

    Raises:
        RecordError: it is something else.
    """
    if not re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", revision):
        raise RecordError(f"{revision!r} is no Git revision: give the commit's hexadecimal digits.")
    return revision
