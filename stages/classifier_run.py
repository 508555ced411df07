"""A recorded classifier under way: what it trains, what it goes on from, the files it keeps up to date."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oneshot.classify.classifiers import (
    BACKGROUND,
    Net,
    build_net,
    make_scorer,
    make_training,
    validation_error,
)
from oneshot.classify.protocols import Protocols
from oneshot.classify.recipes import Recipe
from oneshot.classify.training import Feed, LogPoint, LossOfNet, Progress, fit_pairs
from oneshot.classify.weights import save_scorer
from oneshot.params import Classification
from oneshot.records.classification_run import ClassifierFiles
from oneshot.training.speed import Speed
from oneshot.training.tensors import load_tensors
from stages.classifier_form import save_curve
from stages.classifier_plan import Plan
from stages.command import stopping_on_signals
from stages.conditions import compare_conditions, keep_conditions
from stages.fingerprint import code_sha256
from stages.record_form import list_versions, name_device
from stages.slices import remove_slices, slice_file

SPOKEN_SECONDS = 30  # between two lines of progress
CHECKPOINT_SECONDS = 180.0  # at least: Koch's network and what Adam keeps of it are 620 MB


@dataclass
class Run:
    """A run under way, begun at `started` by time.monotonic."""

    plan: Plan
    folder: Path
    files: ClassifierFiles
    net: Net
    loss: LossOfNet
    feed: Feed
    recipe: Recipe
    speed: Speed
    started: float
    n_steps_before: int = 0  # of earlier commands
    seconds_before: float = 0.0
    points: list[LogPoint] = field(default_factory=list)
    spoken: float = field(default_factory=time.monotonic)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def look_back(self) -> None:
        """How long earlier commands have trained, and up to which step."""
        if self.checkpoint.exists():
            _, about = load_tensors(self.checkpoint)
            self.n_steps_before, self.seconds_before = about["step"], about["seconds"]

    def note(self, point: LogPoint) -> None:
        """At every point of the curve: now and then a line of progress, and the curve so far."""
        self.points.append(point)
        now = time.monotonic()
        if point.step <= self.n_steps_before or now - self.spoken < SPOKEN_SECONDS:
            return
        self.spoken = now
        errors = [100 * before.error for before in self.points if before.error is not None]
        best = f", best validation error {min(errors):.1f} %" if errors else ""
        self.say(f"step {point.step:,}, {point.n_seen:,} seen, loss {point.loss:.4f}{best}")
        save_curve(self.files.curve, self.points)

    def keep_weights(self, about: dict[str, Any], *, sliced: bool) -> None:
        """In the smallest form, before anything else can go wrong."""
        remove_slices(self.files.weights)
        save_scorer(self.files.weights, self.net, about, "int4")
        if sliced:
            slice_file(self.files.weights)

    def put_best(self) -> None:
        """Into the network, of a run that has not ended, from its checkpoint; there are none before the end
        of the first epoch.
        """
        tensors, _ = load_tensors(self.checkpoint)
        best = {
            name.removeprefix("best."): tensor for name, tensor in tensors.items() if name.startswith("best.")
        }
        if best:
            self.net.load_state_dict(best)

    def say(self, sentence: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {sentence}", file=sys.stderr, flush=True)


def begin(
    plan: Plan, folder: Path, files: ClassifierFiles, protocols: Protocols, speed: Speed, started: float
) -> Run:
    """A run with a new network.

    Raises:
        ParameterError: a number of the recipe is impossible, or does not fit the network or the images.
        RecordError: the checkpoint in `folder` was written by other code, or under other conditions.
    """
    net = build_net(plan.classifier, protocols)
    loss, feed, recipe = make_training(plan.classifier, net, protocols)
    recipe.optimizer(net, fused=False)  # says whether its numbers fit the network's layers
    ongoing = Run(plan, folder, files, net, loss, feed, recipe, speed, started)
    conditions = {
        "code": code_sha256(),
        "torch": str(list_versions()["torch"]),
        "device": name_device(speed),
        "speed": ",".join(speed.parts) or "plain",
    }
    if ongoing.checkpoint.exists():
        compare_conditions(folder, conditions)
    keep_conditions(folder, conditions)
    ongoing.look_back()
    return ongoing


def train(
    ongoing: Run, settings: Classification, protocols: Protocols, seconds: float | None, deadline: float
) -> tuple[Progress, bool]:
    """Until the schedule ends, the deadline comes, or a signal does, which is told; then the network has the
    best weights so far. `seconds`: that a new run's schedule is cut to.
    """
    plan = ongoing.plan
    scorer = make_scorer(ongoing.net, ongoing.speed)
    recipe = plan.classifier.recipe
    with stopping_on_signals() as stopped:
        progress = fit_pairs(
            ongoing.loss, ongoing.feed, ongoing.recipe, checkpoint=ongoing.checkpoint,
            n_epochs=plan.classifier.training.n_epochs, seconds=seconds,
            validate=(lambda: validation_error(scorer, protocols, recipe)) if recipe != BACKGROUND else None,
            log_every=settings.log_every,
            checkpoint_seconds=max(settings.checkpoint_seconds, CHECKPOINT_SECONDS),
            deadline=deadline, on_log=ongoing.note, stop=stopped, speed=ongoing.speed,
        )  # fmt: skip
        if not progress.complete:
            ongoing.put_best()
        return progress, stopped()
