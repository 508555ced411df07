"""The files of a recorded classifier, filled in from what is known of its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import Protocols
from oneshot.classify.scoring import Outside
from oneshot.classify.training import LogPoint
from oneshot.files import replacing
from oneshot.params import EpisodeTraining
from oneshot.records.classification_answers import save_answers, summarise_answers
from oneshot.records.classification_release import ScorerRelease
from oneshot.records.classification_run import (
    ClassifierFiles,
    ClassifierRecord,
    Released,
    released_files,
    save_record,
)
from oneshot.training.speed import Speed
from oneshot.training.tensors import file_sha256
from stages.classifier_plan import Plan
from stages.places import RESULTS, WEIGHTS
from stages.provenance import machine
from stages.record_form import list_versions, name_device

CURVE_POINTS = 1000
CURVE_FIELDS = ("step", "n_seen", "loss", "error", "seconds")


@dataclass(frozen=True)
class Judged:
    """All that a classifier is judged by; `not_computed`: what is not at hand, and why."""

    protocols: Protocols
    outside: Mapping[str, Outside]
    pairs: Mapping[str, Pairs]
    not_computed: Mapping[str, str]


def known_facts(plan: Plan, speed: Speed, revision: str, drawings_sha256: str) -> dict[str, Any]:
    """The fields of a record that do not depend on how the run went."""
    training = plan.classifier.training
    return {
        "net_name": plan.classifier.name,
        "name": plan.name,
        "numbers": plan.numbers,
        "scale": plan.scale,
        "n_episodes": training.n_episodes if isinstance(training, EpisodeTraining) else None,
        "n_epochs_asked": training.n_epochs,
        "budget_minutes": plan.minutes,
        "device": name_device(speed),
        "machine": machine(),
        "speed": speed.parts,
        "versions": list_versions(),
        "git_revision": revision,
        "date": datetime.now(UTC).date().isoformat(),
        "drawings_sha256": drawings_sha256,
    }


def write_record(
    files: ClassifierFiles, facts: Mapping[str, Any], judged: Judged, described: Mapping[str, Any],
    released: ScorerRelease, seconds: Mapping[str, float],
) -> ClassifierRecord:  # fmt: skip
    """The answers, then the record, which vouches for them and for the weights; `described`: of protocols."""
    save_answers(files.scores, released.answers)
    weights = Released(
        file=released_files(RESULTS, WEIGHTS, facts["name"]).weights.as_posix(),
        sha256=file_sha256(files.weights),
        precision=released.precision,
        lost_points={name: round(points, 4) for name, points in released.lost_points.items()},
    )
    record = ClassifierRecord.model_validate(
        {
            **facts,
            **summarise_answers(released.answers, facts["name"]),
            "protocols": described,
            "not_computed": judged.not_computed,
            "seconds": {part: round(value, 1) for part, value in seconds.items()},
            "weights": weights,
        }
    )
    save_record(files.record, record)
    return record


def save_curve(path: Path, points: Sequence[LogPoint]) -> None:
    """CSV of at most about 1,000 lines: several points become one, its loss the mean over their steps, its
    error that of the last validation among them.
    """
    lines = [",".join(CURVE_FIELDS)]
    n_together = -(-len(points) // CURVE_POINTS) or 1
    step_before = 0
    for first in range(0, len(points), n_together):
        group = points[first : first + n_together]
        n_steps = [b - a for a, b in pairwise([step_before, *(point.step for point in group)])]
        loss = sum(n * point.loss for n, point in zip(n_steps, group, strict=True)) / sum(n_steps)
        errors = [point.error for point in group if point.error is not None]
        error = f"{errors[-1]:.6g}" if errors else ""
        last = group[-1]
        step_before = last.step
        lines.append(f"{last.step},{last.n_seen},{loss:.6g},{error},{last.seconds:.2f}")
    with replacing(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
