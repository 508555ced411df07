"""Every single answer of a recorded classifier, beside its record, and whether the two agree."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, UInt8
from safetensors import SafetensorError

from oneshot.classify.protocols import RISING_WAYS
from oneshot.classify.scoring import summarise_rising
from oneshot.files import replacing
from oneshot.intervals import mean_of_hits
from oneshot.records.classification_run import (
    BACKGROUND_VERIFICATION,
    VALIDATION,
    VERIFICATION,
    ClassifierRecord,
    PairProtocol,
)
from oneshot.records.run import RecordError

# Both sides are plain float32 evaluations of the same file; another processor adds up in another order. Of
# 10,000 answers within alphabets of two small nets, neither channels_last nor double precision turned one on
# a CPU; bfloat16, which such a comparison is to notice, turned 15 and 61. GPUs may take less exact
# convolutions, hence some room. One answer of few may always turn.
SHARE_TURNED = 0.002
SHARE_MOVED = 0.001  # of the answers, by which the number of right ones may differ
TOLERANCE = 1e-9  # of means

# Right answers, 1, and wrong ones, 0, by protocol, in the order of its list: episodes x queries; of rising
# N-way, N x trials; of pairs, one axis.
Answers = Mapping[str, UInt8[np.ndarray, "*n"]]


@dataclass(frozen=True)
class AnswerAgreement:
    """The `n` answers of one protocol beside the recorded ones, whose mean is `recorded`."""

    agrees: bool
    recorded: float
    share_of_equal_answers: float
    n: int


def compare_answers(
    here: UInt8[np.ndarray, "*n"] | Bool[np.ndarray, "*n"], recorded: UInt8[np.ndarray, "*m"]
) -> AnswerAgreement:
    """Whether no more answers differ than another processor's rounding turns.

    Raises:
        RecordError: they are not of the same queries.
    """
    if here.size != recorded.size:
        raise RecordError(f"{here.size} answers cannot be compared with {recorded.size} recorded ones.")
    before, now = recorded.ravel().astype(bool), here.ravel().astype(bool)
    n, n_turned, n_lost = len(now), int((before != now).sum()), int(before.sum()) - int(now.sum())
    agrees = n_turned <= max(1, SHARE_TURNED * n) and abs(n_lost) <= max(1, SHARE_MOVED * n)
    return AnswerAgreement(agrees, float(before.mean()), 1 - n_turned / n, n)


def save_answers(path: Path, answers: Answers) -> None:
    with replacing(path) as file:
        file.write(safetensors.numpy.save({name: found.astype(np.uint8) for name, found in answers.items()}))


def load_answers(path: Path) -> dict[str, np.ndarray]:
    """What `save_answers` wrote.

    Raises:
        RecordError: the file is missing, damaged, or something else.
    """
    try:
        return dict(safetensors.numpy.load(path.read_bytes()))
    except FileNotFoundError:
        raise RecordError(f"the answers {path} are missing: fetch them, or record the run again.") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RecordError(f"{path} is damaged or holds no answers ({error}).") from error


def summarise_answers(answers: Answers, scorer: str) -> dict[str, Any]:
    """The fields of a record that are means of answers; `scorer`: its name."""
    shares = {
        name: asdict(mean_of_hits(found.ravel().astype(bool)))
        for name, found in answers.items()
        if name not in RISING_WAYS
    }
    validation, verification = shares.pop(VALIDATION), shares.pop(VERIFICATION, None)
    background = {
        name.partition("/")[2]: shares.pop(name) for name in [*shares] if is_background(name)
    } or None
    rising = {
        name: [row.reshape(-1, 1).astype(bool) for row in answers[name]]
        for name in RISING_WAYS
        if name in answers
    }
    return {
        "validation": validation,
        "verification": verification,
        "background_verification": background,
        "accuracy": shares,
        "rising_ways": summarise_rising(scorer, rising),
    }


def is_background(name: str) -> bool:
    return name.startswith(f"{BACKGROUND_VERIFICATION}/")


def check_answers(record: ClassifierRecord, answers: Answers, name: str) -> None:
    """Raise RecordError unless the record's means are those of the answers; `name` is the record's."""
    if answers.keys() != record.protocols.keys():
        differing = ", ".join(sorted(answers.keys() ^ record.protocols.keys()))
        raise RecordError(f"{name} and its file of answers are of different protocols ({differing}).")
    for protocol, about in record.protocols.items():
        n = about.n_pairs if isinstance(about, PairProtocol) else about.n_queries
        if answers[protocol].size != n:
            raise RecordError(
                f"{name} speaks of {n} answers of {protocol}, its file of answers has "
                f"{answers[protocol].size}."
            )
    said = record.model_dump(mode="json")
    summary = summarise_answers(answers, record.name)
    found = ClassifierRecord.model_validate(said | summary).model_dump(mode="json")
    for field in summary:
        if not are_close(said[field], found[field]):
            raise RecordError(f"{name} says other means of {field} than its answers have.")


def are_close(said: Any, found: Any) -> bool:
    """Whether two summaries are equal but for the last digits, which another SciPy may compute otherwise."""
    if isinstance(said, float) and isinstance(found, float):
        return abs(said - found) < TOLERANCE
    if isinstance(said, dict) and isinstance(found, dict):
        return said.keys() == found.keys() and all(are_close(said[key], found[key]) for key in said)
    if isinstance(said, list) and isinstance(found, list):
        return len(said) == len(found) and all(map(are_close, said, found))
    return bool(said == found)
