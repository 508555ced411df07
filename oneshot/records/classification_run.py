"""What is kept of a recorded run of the classification half, but for its single answers: one JSON file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from oneshot.classify import protocols
from oneshot.files import replacing
from oneshot.params import Section, describe
from oneshot.published import read_facts
from oneshot.records.run import RecordError

KIND = "classification"  # the folder, in place of a network's name
VALIDATION = "validation"
SELECTION = "selection"  # many more trials of the same kind
VERIFICATION = "verification"
BACKGROUND_VERIFICATION = "background-verification"  # /validation and /test
SIAMESE, USUAL_BASE = "siamese_pair", "koch"
PREFIX = "classifier-"  # of files that lie side by side

NetName = Literal[
    "pairs_30000", "pairs_90000", "pairs_150000", "pairs_30000_affine", "pairs_90000_affine",
    "pairs_150000_affine", "background", "own", "protonet",
]  # fmt: skip
Precision = Literal["int4", "int8", "float16", "float32"]
Number = bool | int | float | tuple[float, ...] | None


class Share(Section):
    """Right answers among `n`, as a fraction, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    n: int = Field(ge=1)


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


class RisingRow(Section):
    """Accuracy in % at one N-way, with its 95 % interval; `characters`: evaluation or training."""

    scorer: str
    characters: Literal["evaluation", "training"]
    n_way: int
    percent: float
    low: float
    high: float
    n: int


class Seconds(Section):
    """Where the time went. `total` is of the whole command, from its start on, and of the training of
    earlier ones that it went on from.
    """

    training: float
    evaluation: float
    total: float


class Released(Section):
    """The file of weights that the answers are of.

    `lost_points`: by how many percentage points it is right less often than the same weights in single
    precision, by protocol; below 0, more often. `classification_release` says when it is too much.
    """

    file: str
    sha256: str
    precision: Precision
    lost_points: dict[str, float]


class ClassifierRecord(Section):
    """One run: what was asked for, what it ran on, what came out.

    `numbers`: all of the recipe's. `n_episodes`: in an epoch, of networks trained on episodes;
    `n_epochs_asked`: before they were cut to `budget_minutes`. `n_seen`: pairs or episodes.
    `best_step`: whose weights were kept. `accuracy`: by protocol with one list of episodes; those of rising
    N-way are in `rising_ways`. `not_computed`: other protocols, and why not.
    """

    net_name: NetName
    name: str
    net: Literal["siamese_pair", "protonet"]
    base: str | None
    recipe: Literal["published", "background", "own", "protonet"]
    numbers: dict[str, Number]
    seed: int
    scale: str
    n_parameters: int
    n_pairs: int | None
    n_copies: int | None
    n_episodes: int | None
    n_epochs_asked: int
    n_seen: int
    n_epochs: float
    n_steps: int
    n_steps_planned: int
    stopped_early: bool
    best_step: int
    budget_minutes: float | None
    seconds: Seconds
    device: str
    machine: str
    speed: tuple[str, ...]
    versions: dict[str, str | None]
    git_revision: str
    date: str
    drawings_sha256: str
    protocols: dict[str, EpisodeProtocol | PairProtocol]
    not_computed: dict[str, str]
    validation: Share
    verification: Share | None
    background_verification: dict[Literal["validation", "test"], Share] | None
    accuracy: dict[str, Share]
    rising_ways: tuple[RisingRow, ...]
    weights: Released

    @property
    def complete(self) -> bool:
        """Whether training ended by itself: all planned steps were done, or patience had run out."""
        return self.stopped_early or self.n_steps == self.n_steps_planned

    @property
    def names(self) -> tuple[str, str]:
        """That it can go by: with the seed behind it, or without."""
        stem = run_name(self.net_name, self.base, self.seed, self.seed)
        return stem, f"{stem}-seed-{self.seed}"


@dataclass(frozen=True)
class ClassifierFiles:
    """Where the four files of a run lie."""

    record: Path
    curve: Path
    scores: Path
    weights: Path


def run_name(net_name: str, base: str | None, seed: int, usual_seed: int) -> str:
    """Runs on other bases than Koch's, and of other seeds than the usual one, are told apart."""
    name = net_name if base in (None, USUAL_BASE) else f"{net_name}-{base}"
    return name if seed == usual_seed else f"{name}-seed-{seed}"


def flat_files(folder: Path, name: str) -> ClassifierFiles:
    """All four side by side, named by the run."""
    endings = (".json", ".curve.csv", ".scores.safetensors", ".weights.safetensors")
    return ClassifierFiles(*(folder / f"{PREFIX}{name}{ending}" for ending in endings))


def released_files(results: Path, weights: Path, name: str) -> ClassifierFiles:
    """Their places in the project: weights apart from the rest."""
    return ClassifierFiles(
        results / KIND / f"{name}.json",
        results / KIND / f"{name}.curve.csv",
        results / KIND / f"{name}.scores.safetensors",
        weights / KIND / f"{name}.safetensors",
    )


def save_record(path: Path, record: ClassifierRecord) -> None:
    with replacing(path) as file:
        file.write((json.dumps(record.model_dump(mode="json"), indent=1) + "\n").encode())


def load_record(path: Path) -> ClassifierRecord:
    """Read a record and check its form.

    Raises:
        RecordError: the file is missing, damaged, or says what a record cannot say.
    """
    try:
        record = ClassifierRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(
            f"there is no record {path}: python -m stages.record_classifier makes one."
        ) from None
    except ValidationError as error:
        raise RecordError(f"{path} is not a whole record: {describe(error)}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}).") from error
    if record.name not in record.names:
        raise RecordError(f"{path} calls itself {record.name!r}, but is of {' or '.join(record.names)}.")
    return record


def read_classifier_records(results: Path) -> list[ClassifierRecord]:
    """All adopted records, in the order of their paths, such as <results>/classification/own.json.

    Raises:
        RecordError: one is damaged, or lies where another belongs.
    """
    records = []
    for path in sorted((results / KIND).glob("*.json")):
        record = load_record(path)
        if released_files(results, results, record.name).record != path:
            raise RecordError(f"{path} is the record of {record.name}: it was moved.")
        records.append(record)
    return records


def published_sums() -> dict[str, str]:
    """SHA-256 of the published lists of episodes and pairs, by protocol."""
    facts = read_facts("episodes")
    sums: dict[str, Any] = {**facts["benchmarks"], "mnist": facts["mnist"], "all_runs": facts["all_runs"]}
    sums[VALIDATION] = sums.pop(protocols.VALIDATION)
    sums[SELECTION] = sums.pop(protocols.SELECTION)
    sums |= {name: of_pairs for name, of_pairs in facts["pairs"].items() if name != "layout"}
    return {name: about["sha256"] for name, about in sums.items()}


def required_protocols(record: ClassifierRecord) -> set[str]:
    """What can be computed from the drawings alone, and must be."""
    required = set(read_facts("episodes")["benchmarks"]) - {protocols.VALIDATION, protocols.SELECTION}
    required |= {VALIDATION, SELECTION}
    if record.net == SIAMESE:
        required.add(VERIFICATION)
    if record.recipe == "background":
        required |= {f"{BACKGROUND_VERIFICATION}/{split}" for split in ("validation", "test")}
    return required


def check_published(record: ClassifierRecord, name: str) -> None:
    """Raise RecordError unless it is of Omniglot's own drawings and the published lists; `name`: its own."""
    published = read_facts("omniglot")["drawings"]["sha256"]
    if record.drawings_sha256 != published:
        raise RecordError(
            f"{name} is of drawings with the SHA-256 {record.drawings_sha256}, not of Omniglot's "
            f"({published}): it is no result to keep."
        )
    sums = published_sums()
    strange = [protocol for protocol, about in record.protocols.items() if about.sha256 != sums.get(protocol)]
    if strange:
        raise RecordError(
            f"{name} was evaluated by other lists than the published ones ({', '.join(strange)}): it is no "
            "result to keep."
        )
    if missing := sorted(required_protocols(record) - record.protocols.keys()):
        raise RecordError(f"{name} lacks protocols that its drawings suffice for: {', '.join(missing)}.")
