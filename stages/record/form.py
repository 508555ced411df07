"""The files of a recorded run, filled in from what is known of it."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from oneshot.files import replacing
from oneshot.machine import describe_machine, find_processor, installed_version
from oneshot.records.release import Release
from oneshot.records.results import SUMMARISE, save_scores
from oneshot.records.run import (
    CURVE,
    CURVE_COLUMNS,
    SCORES,
    WEIGHTS,
    Released,
    Run,
    Seconds,
    Training,
    save_run,
)
from oneshot.training.distributed import World
from oneshot.training.initial_weights import DRAWN_BY
from oneshot.training.progress import LogPoint, TrainingReport
from oneshot.training.speed import Speed
from oneshot.training.tensors import file_sha256
from stages.record.plan import RunPlan

CURVE_POINTS = 1000


def name_device(speed: Speed) -> str:
    """Name the GPU, or else the processor."""
    return torch.cuda.get_device_name(speed.device) if speed.device_type == "cuda" else find_processor()


def known_facts(plan: RunPlan, speed: Speed, world: World) -> dict[str, Any]:
    """Give the fields of a record that do not depend on how the run went."""
    training = plan.training
    return {
        **{name: getattr(training, name) for name in ("task", "net", "recipe", "settings", "seed", "scale")},
        "name": plan.name,
        "network": training.name,
        "start_from": plan.start_from,
        "budget_minutes": plan.minutes,
        "n_processes": world.size,
        **describe_place(speed),
    }


def describe_place(speed: Speed) -> dict[str, Any]:
    """Give the fields of a record that say where and when it was made."""
    return {
        "device": name_device(speed),
        "machine": describe_machine(),
        "speed": speed.parts,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            **{package: installed_version(package) for package in ("numpy", "numba")},
        },
        "initial_weights": DRAWN_BY,
        "date": datetime.now(UTC).date().isoformat(),
    }


def write_run(
    folder: Path, facts: Mapping[str, Any], trainings: Sequence[TrainingReport | Training], released: Release,
    seconds: Mapping[str, float],
) -> Run:  # fmt: skip
    """Write the scores, then the record, with the weights' SHA-256; `seconds`: of the rest."""
    save_scores(folder / SCORES, released.scores)
    reports = []
    for report in trainings:
        fields = {name: getattr(report, name) for name in Training.model_fields}
        rounded = {name: round(fields[name], 1) for name in ("seconds", "seconds_waiting")}
        reports.append(Training.model_validate(fields | rounded))
    run = Run.model_validate(
        {
            **facts,
            "trainings": reports,
            "seconds": Seconds(
                training=round(sum(report.seconds for report in reports), 1),
                waiting=round(sum(report.seconds_waiting for report in reports), 1),
                **{part: round(value, 1) for part, value in seconds.items()},
            ),
            "weights": Released(
                sha256=file_sha256(folder / WEIGHTS),
                precision=released.precision,
                lost_points={name: round(points, 4) for name, points in released.lost_points.items()},
            ),
            "figures": SUMMARISE[facts["task"]](released.scores),
        }
    )
    save_run(folder, run)
    return run


def save_curve(folder: Path, curves: Mapping[str, Sequence[LogPoint]]) -> None:
    """Write a CSV of every k-th point, 1,000 a training, and besides the validations and the last."""
    lines = [",".join(CURVE_COLUMNS)]
    for training, points in curves.items():
        apart = -(-len(points) // CURVE_POINTS)
        for number, point in enumerate(points, 1):
            if number % apart == 0 or point.error is not None or point is points[-1]:
                error = "" if point.error is None else f"{point.error:.6g}"
                lines.append(
                    f"{training},{point.step},{point.n_seen},{point.loss:.6g},{point.lr:.6g},{error},"
                    f"{point.seconds:.2f}"
                )
    with replacing(folder / CURVE) as file:
        file.write(("\n".join(lines) + "\n").encode())
