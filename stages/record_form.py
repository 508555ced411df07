"""The files of a recorded run, filled in from what is known of it."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from oneshot.batches import PixelStatistics
from oneshot.distributed import World
from oneshot.files import replacing
from oneshot.fit import LogPoint
from oneshot.nets.siamese_unet import SiameseUNet
from oneshot.records import Record, Released, Seconds, released_files
from oneshot.release import Release, summarise
from oneshot.speed import Speed
from oneshot.training import Outcome
from stages.places import RESULTS, WEIGHTS
from stages.provenance import installed_version, machine, processor
from stages.record_plan import NET, Plan

CURVE_POINTS = 1000
CURVE_FIELDS = ("step", "n_scenes", "loss", "lr", "seconds")


def name_device(speed: Speed) -> str:
    """The GPU, or else the processor."""
    return torch.cuda.get_device_name(speed.device) if speed.device_type == "cuda" else processor()


def known_facts(
    plan: Plan, net: SiameseUNet, outcome: Outcome, statistics: PixelStatistics, speed: Speed, world: World
) -> dict[str, Any]:
    """The fields of a record that do not depend on how the run ended."""
    recipe = plan.recipe
    return {
        "net": NET,
        "recipe": recipe.name,
        "clutter_level": plan.clutter_level,
        "name": plan.name,
        "scale": plan.scale,
        "feature_maps": plan.feature_maps,
        "n_parameters": sum(parameter.numel() for parameter in net.parameters()),
        "seed": plan.seed,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "matching_weight": recipe.matching_weight,
        "lower_levels": plan.lower_levels,
        "n_epochs": plan.n_epochs if outcome.phases == plan.phases else None,
        "n_jobs": plan.n_jobs,
        "phases": [{"clutter_levels": p.clutter_levels, "n_scenes": p.n_scenes} for p in outcome.phases],
        "start_from": plan.start_from,
        "n_scenes_before": plan.n_scenes_before,
        "budget_minutes": plan.minutes,
        "device": name_device(speed),
        "machine": machine(),
        "n_processes": world.size,
        "speed": speed.parts,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            **{package: installed_version(package) for package in ("numpy", "numba")},
        },
        "date": datetime.now(UTC).date().isoformat(),
        "pixel_mean": statistics.mean,
        "pixel_std": statistics.std,
    }


def make_record(
    facts: dict[str, Any],
    outcome: Outcome,
    total_seconds: float,
    released: Release | None = None,
    weights_sha256: str = "",
    evaluation_seconds: float = 0.0,
) -> Record:
    """The whole record; without a release that of a run which was interrupted, and has no scores."""
    progress = outcome.progress
    places = released_files(RESULTS, WEIGHTS, facts["net"], facts["recipe"], facts["name"])
    weights = released and Released(
        file=places.weights.as_posix(),
        sha256=weights_sha256,
        dtype=released.dtype,
        iou_lost_points={split: round(points, 4) for split, points in released.lost_points.items()},
    )
    scores = {split: summarise(found) for split, found in released.evaluations.items()} if released else {}
    return Record.model_validate(
        facts
        | {
            "n_scenes_seen": progress.n_scenes,
            "n_steps": progress.step,
            "n_steps_planned": progress.n_steps,
            "complete": progress.complete,
            "seconds": Seconds(
                training=round(progress.seconds, 1),
                waiting=round(progress.seconds_waited, 1),
                evaluation=round(evaluation_seconds, 1),
                total=round(total_seconds, 1),
            ),
            "scenes_per_second": round(progress.n_scenes / max(progress.seconds, 1e-9), 1),
            "waiting_share": round(progress.seconds_waited / max(progress.seconds, 1e-9), 4),
            "weights": weights,
            "test-train": scores.get("test-train"),
            "test-one-shot": scores.get("test-one-shot"),
        }
    )


def save_curve(path: Path, points: Sequence[LogPoint]) -> None:
    """At most about 1,000 lines of CSV: several points become one, its loss the mean over their steps."""
    n_together = -(-len(points) // CURVE_POINTS) or 1
    lines = [",".join(CURVE_FIELDS)]
    step_before = 0
    for first in range(0, len(points), n_together):
        group = points[first : first + n_together]
        n_steps = [b - a for a, b in pairwise([step_before, *(point.step for point in group)])]
        loss = sum(n * point.loss for n, point in zip(n_steps, group, strict=True)) / sum(n_steps)
        last = group[-1]
        step_before = last.step
        lines.append(f"{last.step},{last.n_scenes},{loss:.6g},{last.lr:.6g},{last.seconds:.2f}")
    with replacing(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
