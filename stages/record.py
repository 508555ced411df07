"""Record one long training run: a Siamese-U-Net, its weights, and their scores on the test sets.

What cannot be computed again is kept beside the scores: what was asked for, what it ran on, how long it took.
"""

# ruff: noqa: E402
import time

STARTED = time.monotonic()  # the clock of --minutes, before imports that take seconds

import argparse
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from oneshot.batches import PixelStatistics
from oneshot.distributed import join_world
from oneshot.errors import ParameterError
from oneshot.files import replacing
from oneshot.fit import LogPoint, read_progress
from oneshot.losses import SegmentationLoss
from oneshot.nets.siamese_unet import SiameseUNet
from oneshot.params import load_params
from oneshot.records import (
    RecordError,
    RecordFiles,
    flat_files,
    list_strange_sets,
    released_files,
    save_record,
)
from oneshot.release import LevelSets, measure_evaluation
from oneshot.speed import Speed, choose_speed
from oneshot.training import train
from oneshot.training_set import TrainingSet
from oneshot.weights import WeightsInfo, load_weights, save_weights
from stages.adopt import adopt, describe, refuse_to_replace
from stages.command import run, stopping_on_signals
from stages.places import RESULTS, WEIGHTS
from stages.record_data import find_drawings, keep_drawings, render_levels
from stages.record_form import Trained, known_facts, make_record, name_device, save_curve
from stages.record_plan import (
    CHECKPOINT,
    NET,
    STEP,
    Plan,
    build_parser,
    check_conditions,
    find_scale,
    make_plan,
    run_folder,
)
from stages.record_scores import finish
from stages.revision import recorded_revision

WEIGHTS_SECONDS = 120  # between two states of the weights that are kept while training goes on
SPOKEN_SECONDS = 30  # between two lines of progress
# Evaluation is measured on a few batches; it gets a little more time than that says, and some for files.
RESERVE_FACTOR = 1.25
RESERVE_SECONDS = 5.0
N_TEST_SCENES = 10_000  # of a published test set
CPU_BATCH_SIZE = 25  # of evaluation: twice as fast as 100, which leave a CPU's cache (LOG.md)


@dataclass
class Run:
    """A run under way: what it trains on, and the files that it keeps up to date."""

    plan: Plan
    folder: Path
    files: RecordFiles
    net: SiameseUNet
    training_set: TrainingSet
    statistics: Mapping[int, PixelStatistics]  # of every clutter level that it trains on
    n_steps_before: int = 0
    curve: list[LogPoint] = field(default_factory=list)
    kept: float = field(default_factory=time.monotonic)
    spoken: float = field(default_factory=time.monotonic)

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def last_statistics(self) -> PixelStatistics:
        """Of the level with most clutter, which training ends with: the one that records name."""
        return self.statistics[self.plan.levels[-1]]

    def look_back(self) -> float:
        """How long earlier commands have trained, and up to which step."""
        if not self.checkpoint.exists():
            return 0.0
        progress = read_progress(self.checkpoint)
        self.n_steps_before = progress.step
        return progress.seconds

    def note(self, point: LogPoint) -> None:
        """At every point of the curve: a line of progress now and then, and weights that survive anything."""
        self.curve.append(point)
        if point.step <= self.n_steps_before:
            return  # told again of what an earlier command did
        now = time.monotonic()
        if now - self.spoken >= SPOKEN_SECONDS:
            self.spoken = now
            rate = point.n_scenes / point.seconds
            say(
                f"step {point.step:,}, {point.n_scenes:,} scenes, {rate:,.0f} a second, loss {point.loss:.4f}"
            )
        if now - self.kept >= WEIGHTS_SECONDS:
            self.kept = now
            self.keep(point.n_scenes)

    def keep(self, n_scenes_seen: int) -> None:
        save_weights(self.files.weights, self.net, self.describe_weights(n_scenes_seen))
        save_curve(self.files.curve, {STEP: self.curve})

    def describe_weights(self, n_scenes_seen: int) -> WeightsInfo:
        plan = self.plan
        return WeightsInfo(
            NET,
            plan.feature_maps,
            plan.recipe.name,
            self.last_statistics,
            n_scenes_seen,
            plan.n_scenes_before,
        )


def main(words: Sequence[str] | None = None) -> None:
    arguments = build_parser().parse_args(words)
    params = load_params()
    revision = recorded_revision(arguments.revision, arguments.allow_dirty)
    plan = make_plan(arguments, params)
    scale = find_scale(params, plan.scale)
    speed = choose_speed(arguments.device or params.device, arguments.speed or params.speed)
    batch_size = scale.evaluate.batch_size
    if speed.device_type == "cpu":
        batch_size = min(batch_size, CPU_BATCH_SIZE)
    with join_world(speed.device) as world:
        speed = replace(speed, device=world.device)
        drawings, path = find_drawings(arguments.drawings, scale, params.seed)
        drawings_sha256 = drawings.sha256()
        folder = run_folder(plan, drawings_sha256)
        check_conditions(folder, speed, world, name_device(speed))
        training_set = TrainingSet(keep_drawings(path, drawings, folder))
        files = flat_files(arguments.out or folder, NET, plan.recipe.name, plan.name)
        if world.rank == 0:
            refuse_before_it_is_late(arguments, plan, files)
        ongoing = begin(plan, folder, files, training_set, arguments.start_from)
        seconds_before = ongoing.look_back()
        reserve = 0.0
        if world.rank == 0:
            say("rendering the test sets (compiled first where this is new here, which takes a minute)")
            test_sets, as_published = render_levels(drawings, plan.levels, plan.n_test_scenes)
            if arguments.out is None:
                refuse_strange_scenes(as_published)
            reserve = find_reserve(plan, ongoing.net, test_sets, speed, batch_size)
        # The schedule is laid over all the minutes, of which this command may get but a part.
        planned = deadline_of(plan.minutes, reserve, plan)
        limits = [minutes for minutes in (plan.minutes, plan.stop_after) if minutes is not None]
        deadline = deadline_of(min(limits, default=None), reserve, plan)
        with stopping_on_signals() as stopped:
            say(f"training; the checkpoint is kept in {folder}")
            outcome = train(
                SegmentationLoss(ongoing.net, plan.recipe.matching_weight), ongoing.training_set, plan.recipe,
                plan.phases, statistics=ongoing.statistics, checkpoint=ongoing.checkpoint,
                seed=plan.seed, n_jobs=plan.n_jobs, n_epochs=plan.n_epochs, deadline=deadline,
                seconds=None if plan.minutes is None else planned - time.monotonic(),
                log_every=params.siamese_unet.log_every,
                checkpoint_seconds=params.siamese_unet.checkpoint_seconds,
                on_log=ongoing.note, stop=stopped, speed=speed, world=world,
            )  # fmt: skip
    if world.rank > 0:
        return
    facts = known_facts(plan, ongoing.net, ongoing.last_statistics, speed, world) | {
        "git_revision": revision,
        "drawings_sha256": drawings_sha256,
        "test_sets_as_published": as_published,
    }
    trained = [Trained(STEP, plan.recipe, plan.phases, plan.n_epochs, outcome)]
    earlier = STARTED - seconds_before
    ongoing.keep(outcome.progress.n_scenes)
    if stopped():
        save_record(ongoing.files.record, make_record(facts, trained, time.monotonic() - earlier))
        raise KeyboardInterrupt
    n_scenes = outcome.progress.n_scenes
    say(f"trained on {n_scenes:,} scenes; evaluating on {plan.n_test_scenes:,} of each test set")
    info = ongoing.describe_weights(n_scenes)
    record = finish(
        ongoing.net, info, files, facts, trained, earlier, test_sets, speed.device, batch_size
    )  # fmt: skip
    if arguments.out is None:
        adopt(ongoing.folder, replace=arguments.replace)
    say(describe(record))
    if record.complete:
        shutil.rmtree(ongoing.folder)


def begin(
    plan: Plan, folder: Path, files: RecordFiles, training_set: TrainingSet, start_from: Path | None
) -> Run:
    """A run with a new network, or with the weights that it starts from."""
    if start_from is None:
        net = SiameseUNet(plan.feature_maps).initialise(torch.Generator().manual_seed(plan.seed))
    else:
        net = cast(SiameseUNet, load_weights(start_from)[0])
    levels = {level for phase in plan.phases for level in phase.clutter_levels}
    statistics = training_set.statistics(levels)
    return Run(plan, folder, files, net, training_set, statistics)


def say(sentence: str) -> None:
    print(f"{time.monotonic() - STARTED:6.0f} s  {sentence}", file=sys.stderr, flush=True)


def refuse_before_it_is_late(arguments: argparse.Namespace, plan: Plan, files: RecordFiles) -> None:
    """What would refuse the record after the training refuses it before.

    Raises:
        RecordError: the folder cannot be written into; or, without --out, there is a complete record already,
            or too few scenes are to be evaluated.
    """
    try:
        with replacing(files.record.with_name(".writable")):
            pass
        files.record.with_name(".writable").unlink()
    except OSError as error:
        raise RecordError(f"cannot write into {files.record.parent} ({error.strerror}).") from None
    if arguments.out is not None:
        return
    places = released_files(RESULTS, WEIGHTS, NET, plan.recipe.name, plan.name)
    if not arguments.replace:
        refuse_to_replace(places.record)
    if plan.scale == "paper" and plan.n_test_scenes < N_TEST_SCENES:
        raise RecordError(
            f"what is kept in results/ is evaluated on all {N_TEST_SCENES:,} scenes of a test set, not on "
            f"{plan.n_test_scenes:,}: leave --test-scenes out, or say where to put the run by --out."
        )


def refuse_strange_scenes(as_published: dict[str, dict[str, str]]) -> None:
    if strangers := list_strange_sets(as_published):
        raise RecordError(
            f"these drawings do not give the published test sets ({', '.join(strangers)}); nothing computed "
            "on others is kept in results/: say where to put it by --out."
        )


def find_reserve(
    plan: Plan, net: nn.Module, test_sets: Mapping[int, LevelSets], speed: Speed, batch_size: int
) -> float:
    """Seconds to be left for evaluation and files, where time is limited."""
    if plan.minutes is None and plan.stop_after is None:
        return 0.0
    # Images are of one size at every level, so that one level tells of all.
    sets = test_sets[plan.levels[0]]
    a_scene = measure_evaluation(net, sets, device=speed.device, batch_size=batch_size)
    n_scenes = sum(len(scenes) for sets in test_sets.values() for scenes in sets.scenes.values())
    # Every test set twice: in single precision, and in half.
    reserve = RESERVE_SECONDS + RESERVE_FACTOR * 2 * n_scenes * a_scene
    say(f"evaluation will take about {reserve:.0f} s")
    return reserve


def deadline_of(minutes: float | None, reserve: float, plan: Plan) -> float:
    """When training must end, so that the whole command takes so many minutes, by `time.monotonic`.

    Raises:
        ParameterError: the minutes do not even suffice for the evaluation.
    """
    if minutes is None:
        return math.inf
    deadline = STARTED + 60 * minutes - reserve
    if deadline <= time.monotonic():
        raise ParameterError(
            f"{minutes:g} minutes leave nothing to train in: {time.monotonic() - STARTED:.0f} s have passed, "
            f"and evaluation on {2 * len(plan.levels)} times {plan.n_test_scenes:,} scenes takes about "
            f"{reserve:.0f} s; give more, or ask for fewer by --test-scenes."
        )
    return deadline


if __name__ == "__main__":
    run(main)
