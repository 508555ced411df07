"""Record one long training run: a network, its weights, and their scores on the test sets.

What cannot be computed again is kept beside the scores: what was asked for, what it ran on, how long it took.
"""

# ruff: noqa: E402
import time

STARTED = time.monotonic()  # the clock of --minutes, before imports that take seconds

import argparse
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

from oneshot.errors import ParameterError
from oneshot.params import load_params
from oneshot.records.release import LevelSets, count_evaluated, measure_evaluation
from oneshot.records.run import (
    RecordError,
    RecordFiles,
    flat_files,
    list_strange_sets,
    released_files,
    save_record,
)
from oneshot.segment.training_set import TrainingSet
from oneshot.segment.training_steps import train_steps
from oneshot.training.distributed import join_world
from oneshot.training.speed import Speed, choose_speed
from stages.adopt import adopt, describe, refuse_to_replace
from stages.command import run, stopping_on_signals
from stages.conditions import check_writable
from stages.places import RESULTS, WEIGHTS
from stages.record_data import find_drawings, keep_drawings, render_levels
from stages.record_form import Trained, known_facts, make_record, name_device
from stages.record_plan import (
    Plan,
    build_parser,
    check_conditions,
    find_scale,
    find_start,
    make_plan,
    run_folder,
)
from stages.record_run import Run, begin
from stages.record_scores import finish
from stages.revision import recorded_revision

# Evaluation is measured on a few batches; it gets a little more time than that says, and some for files.
RESERVE_FACTOR = 1.25
RESERVE_SECONDS = 5.0
LEAST_SECONDS = 30.0  # of training in a command that goes on, whatever earlier ones have taken
N_TEST_SCENES = 10_000  # of a published test set
CPU_BATCH_SIZE = 25  # of evaluation: twice as fast as 100, which leave a CPU's cache (LOG.md)


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
        check_conditions(plan, folder, speed, world, name_device(speed))
        training_set = TrainingSet(keep_drawings(path, drawings, folder))
        files = flat_files(arguments.out or folder, plan.net, plan.recipe, plan.name)
        if world.rank == 0:
            refuse_before_it_is_late(arguments, plan, files)
        ongoing = begin(plan, folder, files, training_set, find_start(arguments), STARTED)
        seconds_before = ongoing.look_back()
        reserve = 0.0
        if world.rank == 0:
            ongoing.say(
                "rendering the test sets (compiled first where this is new here, which takes a minute)"
            )
            test_sets, as_published = render_levels(drawings, plan.levels, plan.n_test_scenes)
            if arguments.out is None:
                refuse_strange_scenes(as_published)
            reserve = find_reserve(ongoing, test_sets, speed, batch_size)
        # The schedule is laid over all the minutes, of which this command may get but a part.
        planned = deadline_of(plan.minutes, reserve, plan)
        limits = [minutes for minutes in (plan.minutes, plan.stop_after) if minutes is not None]
        deadline = deadline_of(min(limits, default=None), reserve, plan)
        with stopping_on_signals() as stopped:
            if plan.start_from is not None:
                ongoing.say(
                    f"starting from {plan.start_from.file}: {plan.feature_maps} feature maps, "
                    f"{plan.start_from.n_scenes_seen:,} scenes seen"
                )
            ongoing.say(f"training; the checkpoint is kept in {folder}")
            outcomes = train_steps(
                ongoing.net, ongoing.training_set, plan.steps, statistics=ongoing.statistics, folder=folder,
                seed=plan.seed, n_jobs=plan.n_jobs, n_epochs=plan.n_epochs, deadline=deadline,
                seconds=left_to_train(plan, planned, seconds_before),
                first_share=plan.proposals_share or 1.0, log_every=params.siamese_unet.log_every,
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
    # The last one of a run that ended early is not among them.
    trained = [
        Trained(step, plan.n_epochs, outcome) for step, outcome in zip(plan.steps, outcomes, strict=False)
    ]
    earlier = STARTED - seconds_before
    n_scenes = sum(outcome.progress.n_scenes for outcome in outcomes)
    ongoing.keep(n_scenes)
    if stopped() or len(outcomes) < len(plan.steps):
        save_record(ongoing.files.record, make_record(facts, trained, time.monotonic() - earlier))
        if stopped():
            raise KeyboardInterrupt
        ongoing.say(
            f"the time is up before {plan.steps[-1].name} began: call the same command again to go on"
        )
        return
    info = ongoing.describe_weights(n_scenes)
    ongoing.say(f"trained on {n_scenes:,} scenes; evaluating on {plan.n_test_scenes:,} of each test set")
    record = finish(
        ongoing.net, info, files, facts, trained, earlier, test_sets, speed.device, batch_size
    )  # fmt: skip
    if arguments.out is None:
        adopt(ongoing.folder, replace=arguments.replace)
    ongoing.say(describe(record))
    if record.complete:
        shutil.rmtree(ongoing.folder)


def refuse_before_it_is_late(arguments: argparse.Namespace, plan: Plan, files: RecordFiles) -> None:
    """What would refuse the record after the training refuses it before.

    Raises:
        RecordError: the folder cannot be written into; or, without --out, there is a complete record already,
            or too few scenes are to be evaluated.
    """
    check_writable(files.record)
    if arguments.out is not None:
        return
    places = released_files(RESULTS, WEIGHTS, plan.net, plan.recipe, plan.name)
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


def find_reserve(ongoing: Run, test_sets: Mapping[int, LevelSets], speed: Speed, batch_size: int) -> float:
    """Seconds to be left for evaluation and files, where time is limited."""
    plan = ongoing.plan
    if plan.minutes is None and plan.stop_after is None:
        return 0.0
    # Images are of one size at every level, so that one level tells of all; MaskNet's oracles look at every
    # character, of which the last level has most.
    sets = test_sets[plan.levels[-1]]
    a_scene = measure_evaluation(ongoing.net, sets, device=speed.device, batch_size=batch_size)
    reserve = RESERVE_SECONDS + RESERVE_FACTOR * count_evaluated(ongoing.net, test_sets) * a_scene
    ongoing.say(f"evaluation will take about {reserve:.0f} s")
    return reserve


def left_to_train(plan: Plan, planned: float, seconds_before: float) -> float | None:
    """Seconds of all the minutes that are left, less what earlier commands have trained; None: no limit."""
    if plan.minutes is None:
        return None
    return max(LEAST_SECONDS, planned - time.monotonic() - seconds_before)


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
