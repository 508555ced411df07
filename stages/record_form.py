"""The files of a recorded run, filled in from what is known of it."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from oneshot.files import replacing
from oneshot.records.run import Record, Released, Seconds, Training
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.training import Outcome
from oneshot.segment.training_steps import Step
from oneshot.training.distributed import World
from oneshot.training.fit import LogPoint
from oneshot.training.speed import Speed
from stages.provenance import installed_version, machine, processor
from stages.record_plan import Plan

CURVE_POINTS = 1000
CURVE_FIELDS = ("training", "step", "n_scenes", "loss", "lr", "seconds")


@dataclass(frozen=True)
class Trained:
    """One training of a run: its step, what was asked for, what came of it."""

    step: Step
    n_epochs: int | None
    outcome: Outcome


def name_device(speed: Speed) -> str:
    """The GPU, or else the processor."""
    return torch.cuda.get_device_name(speed.device) if speed.device_type == "cuda" else processor()


def list_versions() -> dict[str, str | None]:
    """Of what a run's figures may depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        **{package: installed_version(package) for package in ("numpy", "numba")},
    }


def known_facts(
    plan: Plan, net: nn.Module, statistics: PixelStatistics, speed: Speed, world: World
) -> dict[str, Any]:
    """The fields of a record that do not depend on how the run went."""
    return {
        "net": plan.net,
        "recipe": plan.recipe,
        "clutter_level": plan.clutter_level,
        "name": plan.name,
        "scale": plan.scale,
        "feature_maps": plan.feature_maps,
        "n_parameters": sum(parameter.numel() for parameter in net.parameters()),
        "seed": plan.seed,
        "n_jobs": plan.n_jobs,
        "lower_levels": plan.lower_levels,
        "proposals_share": plan.proposals_share,
        "start_from": plan.start_from,
        "n_scenes_before": plan.n_scenes_before,
        "budget_minutes": plan.minutes,
        "device": name_device(speed),
        "machine": machine(),
        "n_processes": world.size,
        "speed": speed.parts,
        "versions": list_versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "pixel_mean": statistics.mean,
        "pixel_std": statistics.std,
    }


def make_record(
    facts: Mapping[str, Any],
    trained: Sequence[Trained],
    total_seconds: float,
    released: Released | None = None,
    scores: Mapping[str, Any] | None = None,
    evaluation_seconds: float = 0.0,
) -> Record:
    """The whole record; without a release that of a run which was interrupted, and has no scores."""
    training = tuple(map(describe_training, trained))
    return Record.model_validate(
        {
            **facts,
            "training": training,
            "seconds": Seconds(
                training=round(sum(step.seconds for step in training), 1),
                waiting=round(sum(step.seconds_waiting for step in training), 1),
                evaluation=round(evaluation_seconds, 1),
                total=round(total_seconds, 1),
            ),
            "weights": released,
            "scores": scores or {},
        }
    )


def describe_training(trained: Trained) -> Training:
    """As the record holds it; the halvings of phases that were cut follow the steps, not epochs."""
    recipe, outcome = trained.step.recipe, trained.outcome
    return Training.model_validate(
        {
            "name": trained.step.name,
            "batch_size": recipe.batch_size,
            "lr": recipe.lr,
            "matching_weight": recipe.matching_weight,
            "n_epochs": trained.n_epochs if outcome.phases == trained.step.phases else None,
            "phases": [{"clutter_levels": p.clutter_levels, "n_scenes": p.n_scenes} for p in outcome.phases],
            "n_scenes_seen": outcome.progress.n_scenes,
            "n_steps": outcome.progress.step,
            "n_steps_planned": outcome.progress.n_steps,
            "seconds": round(outcome.progress.seconds, 1),
            "seconds_waiting": round(outcome.progress.seconds_waited, 1),
        }
    )


def save_curve(path: Path, curves: Mapping[str, Sequence[LogPoint]]) -> None:
    """CSV of at most about 1,000 lines a training: several points become one, its loss the mean over their
    steps.
    """
    lines = [",".join(CURVE_FIELDS)]
    for training, points in curves.items():
        n_together = -(-len(points) // CURVE_POINTS) or 1
        step_before = 0
        for first in range(0, len(points), n_together):
            group = points[first : first + n_together]
            n_steps = [b - a for a, b in pairwise([step_before, *(point.step for point in group)])]
            loss = sum(n * point.loss for n, point in zip(n_steps, group, strict=True)) / sum(n_steps)
            last = group[-1]
            step_before = last.step
            lines.append(
                f"{training},{last.step},{last.n_scenes},{loss:.6g},{last.lr:.6g},{last.seconds:.2f}"
            )
    with replacing(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
