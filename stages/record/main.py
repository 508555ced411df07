"""Record one long training run: a network, its weights, and all scores by which it is evaluated.

What cannot be computed again is kept beside the scores: what was asked for, what it ran on, how long it took.
"""

# ruff: noqa: E402
import time

STARTED = time.monotonic()  # the clock of --minutes, before imports that take seconds

import argparse
import hashlib
import math
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from oneshot.errors import ParameterError
from oneshot.files import replacing
from oneshot.params import CLASSIFICATION, SEGMENTATION, Params, load_params
from oneshot.records.check import N_TEST_SCENES
from oneshot.records.release import release
from oneshot.records.run import WEIGHTS, RecordError, check_index, list_strange_sets
from oneshot.training.distributed import World, join_world
from oneshot.training.progress import Trained
from oneshot.training.speed import Speed, choose_speed
from oneshot.training.tensors import save_network
from stages.command import alone_in, stopping_on_signals
from stages.places import RECORDED, RUNS
from stages.record.adopt import adopt, describe, place_of, refuse_shared_name, refuse_to_replace
from stages.record.data import find_drawings, refuse_other_drawings
from stages.record.form import known_facts, save_curve, write_run
from stages.record.plan import RunPlan, build_parser, find_next, make_plan, read_params, run_folder
from stages.record.revision import recorded_revision
from stages.record.run import OngoingRun, begin_classification, begin_segmentation, render_test_scenes

# Evaluation is measured on a few batches; it gets a little more time than that says, and some for files.
RESERVE_FACTOR = 1.25
RESERVE_SECONDS = 10.0
LEAST_SECONDS = 30.0  # of training in a command that goes on, whatever earlier ones have taken


def main(words: Sequence[str] | None = None) -> None:
    arguments = parse(sys.argv[1:] if words is None else words)
    params = read_params(arguments)
    revision = recorded_revision(arguments.revision, arguments.allow_dirty)
    plan = make_plan(arguments, params)
    speed = plan.choose_speed(arguments.device or params.device, arguments.speed or params.speed)
    with ExitStack() as held:
        with join_world(speed.device) as world:
            speed = replace(speed, device=world.device)
            ongoing, drawings_sha256 = begin(arguments, params, plan, speed, world, held)
            seconds, deadline = share_out(ongoing)
            with stopping_on_signals() as stopped:
                ongoing.say(f"training {plan.name}; checkpoints are kept in {ongoing.folder}")
                trained = ongoing.train(
                    folder=ongoing.folder, seconds=seconds, deadline=deadline, on_log=ongoing.note,
                    stop=stopped, speed=speed,
                )  # fmt: skip
        if world.rank > 0:
            return
        save_network(ongoing.files / WEIGHTS, trained.net, trained.info)
        save_curve(ongoing.files, {report.name: report.curve for report in trained.trainings})
        if stopped():
            raise KeyboardInterrupt
        if len(trained.trainings) < len(ongoing.trainings):
            ongoing.say(
                f"the time was up before {ongoing.trainings[-1]} began: call the same command again to go on"
            )
            return
        finish(arguments, ongoing, trained, {"git_revision": revision, "drawings_sha256": drawings_sha256})


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command; of --next, the command that is next, with the options that were given besides."""
    arguments = build_parser().parse_args(words)
    if arguments.next == (arguments.network is not None):
        raise ParameterError("name either a TASK/NETWORK or --next.")
    if not arguments.next:
        return arguments
    device = arguments.device or load_params().device
    wanted = find_next("gpu" if choose_speed(device, "plain").device_type == "cuda" else "cpu")
    print(f"next: python -m stages.record {shlex.join(wanted)}", file=sys.stderr)
    return build_parser().parse_args([*wanted, *(word for word in words if word != "--next")])


def begin(
    arguments: argparse.Namespace, params: Params, plan: RunPlan, speed: Speed, world: World, held: ExitStack
) -> tuple[OngoingRun, str]:
    """Prepare the run, refusing what would refuse its record; also give the checksum of the drawings.

    Until `held` is closed no other command works in the same folders.

    Raises:
        ParameterError, RecordError: the record would be refused.
        BusyError: another command is at it.
    """
    if plan.training.task == CLASSIFICATION and world.size > 1:
        raise ParameterError("a network for classification is trained by one process: leave torchrun out.")
    drawings, path = find_drawings(arguments.drawings, params.scale, params.seed)
    drawings_sha256 = drawings.sha256()
    folder = run_folder(plan, drawings_sha256)
    files = arguments.out or folder
    if world.rank == 0:
        refuse_before_it_is_late(arguments, plan, files, drawings_sha256)
        held.enter_context(alone_in(folder))
        if arguments.out is not None:
            held.enter_context(alone_in(lock_folder(arguments.out), arguments.out))
    common: dict[str, Any] = {
        "folder": folder, "files": files, "speed": speed, "world": world, "started": STARTED,
    }  # fmt: skip
    if plan.training.task == SEGMENTATION:
        ongoing = begin_segmentation(plan, drawings, path, **common)
    else:
        ongoing = begin_classification(plan, drawings, params, arguments.all_runs, arguments.mnist, **common)
    ongoing.look_back()
    if plan.training.task == SEGMENTATION and world.rank == 0:
        render_test_scenes(ongoing, drawings, params.scale.evaluate.batch_size)
        strange = list_strange_sets(ongoing.body["test_sets_as_published"])
        if strange and arguments.out is None:
            raise RecordError(
                f"these drawings do not give the published test sets ({', '.join(strange)}); nothing "
                "computed on others is kept in recorded/: say where to put it by --out."
            )
    return ongoing, drawings_sha256


def lock_folder(out: Path) -> Path:
    """Name a folder for the lock of `out`, which itself holds the files of a record and nothing else."""
    return RUNS / "out" / hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:12]


def refuse_before_it_is_late(
    arguments: argparse.Namespace, plan: RunPlan, files: Path, drawings_sha256: str
) -> None:
    """Refuse before the training what would refuse the record after it.

    Raises:
        RecordError: the folder cannot be written into, or holds a complete record; or, without --out, these
            are not Omniglot's drawings, or too few scenes are to be evaluated.
    """
    try:
        with replacing(files / ".writable"):
            pass
        (files / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot write into {files} ({error.strerror}).") from None
    if not arguments.replace:
        refuse_to_replace(arguments.out or place_of(plan.training.task, plan.name))
    if arguments.out is not None:
        return
    refuse_shared_name(place_of(plan.training.task, plan.name))
    check_index(RECORDED)
    refuse_other_drawings(drawings_sha256)
    if plan.training.task == SEGMENTATION and plan.n_test_scenes < N_TEST_SCENES:
        raise RecordError(
            f"what is kept in recorded/ is evaluated on all {N_TEST_SCENES:,} scenes of a test set, not on "
            f"{plan.n_test_scenes:,}: leave --test-scenes out, or say where to put the run by --out."
        )


def share_out(ongoing: OngoingRun) -> tuple[float | None, float]:
    """Share out the minutes: seconds that a new training is cut to, and when this command's must end.

    The schedule is laid over all the minutes, of which this command may get but a part.
    """
    plan, reserve = ongoing.plan, 0.0
    limits = [minutes for minutes in (plan.minutes, plan.stop_after) if minutes is not None]
    if limits and ongoing.evaluator is not None:
        reserve = RESERVE_SECONDS + RESERVE_FACTOR * ongoing.evaluator.measure_seconds(ongoing.net)
        ongoing.say(f"evaluation will take about {reserve:.0f} s")
    planned = deadline_of(plan.minutes, reserve)
    deadline = deadline_of(min(limits, default=None), reserve)
    if plan.minutes is None:
        return None, deadline
    return max(LEAST_SECONDS, planned - time.monotonic() - ongoing.seconds_before), deadline


def deadline_of(minutes: float | None, reserve: float) -> float:
    """Tell when training must end, so that the whole command takes so many minutes, by `time.monotonic`.

    Raises:
        ParameterError: the minutes do not even suffice for the evaluation.
    """
    if minutes is None:
        return math.inf
    deadline = STARTED + 60 * minutes - reserve
    if deadline <= time.monotonic():
        raise ParameterError(
            f"{minutes:g} minutes leave nothing to train in: {time.monotonic() - STARTED:.0f} s have passed, "
            f"and evaluation takes about {reserve:.0f} s; give more, or evaluate less by --test-scenes."
        )
    return deadline


def finish(
    arguments: argparse.Namespace, ongoing: OngoingRun, trained: Trained, facts: dict[str, str]
) -> None:
    """Release the weights, score them, write everything, and put it where it belongs."""
    assert ongoing.evaluator is not None
    n_seen = sum(report.n_seen for report in trained.trainings)
    ongoing.say(f"trained on {n_seen:,} scenes, pairs or episodes; evaluating")
    evaluating = time.monotonic()
    released = release(trained.net, trained.info, ongoing.files / WEIGHTS, ongoing.evaluator)
    now = time.monotonic()
    parts = trained.trainings[-1].settings.get("speed", ongoing.speed.parts)  # on a GPU they are measured
    whole = known_facts(ongoing.plan, ongoing.speed.decided(parts), ongoing.world) | facts | {
        "n_parameters": sum(parameter.numel() for parameter in trained.net.parameters()),
        "body": ongoing.body,
    }  # fmt: skip
    seconds = {"evaluation": now - evaluating, "total": now - STARTED + ongoing.seconds_before}
    run = write_run(ongoing.files, whole, trained.trainings, released, seconds)
    if arguments.out is None:
        adopt(ongoing.files, replace=arguments.replace)
    ongoing.say(describe(run))
    if run.complete:
        shutil.rmtree(ongoing.folder)
    else:
        ongoing.say("the time was up before training ended: call the same command again to go on")
