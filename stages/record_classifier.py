"""Record one long training run of the classification half: a network, its weights, and all its answers.

What cannot be computed again is kept beside the answers: what was asked for, what it ran on, how long it
took.
"""

# ruff: noqa: E402
import time

STARTED = time.monotonic()  # the clock of --minutes, before imports that take seconds

import argparse
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.classifiers import (
    build_net,
    choose_classifier_speed,
    describe_training,
    make_scorer,
)
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.scoring import Outside
from oneshot.errors import ParameterError
from oneshot.omniglot.download import md5
from oneshot.omniglot.drawings import Drawings
from oneshot.omniglot.mnist import IMAGES, LABELS
from oneshot.params import Params, load_params
from oneshot.published import read_facts
from oneshot.records.classification_release import (
    describe_answered,
    draw_once,
    measure_evaluation,
    pairs_to_judge,
    release,
)
from oneshot.records.classification_run import (
    ClassifierFiles,
    ClassifierRecord,
    flat_files,
    released_files,
)
from oneshot.records.run import RecordError
from stages.adopt_classifier import adopt, describe, refuse_to_replace
from stages.classifier_form import Judged, known_facts, save_curve, write_record
from stages.classifier_plan import Plan, build_parser, make_plan, run_folder
from stages.classifier_run import Run, begin, train
from stages.command import run
from stages.conditions import check_writable
from stages.images import read_digits
from stages.places import MNIST, RAW, RESULTS, WEIGHTS
from stages.record_data import find_drawings
from stages.record_plan import find_scale
from stages.revision import recorded_revision
from stages.slices import slice_file

# Evaluation is measured on a few batches; it gets a little more time than that says, and some for files.
RESERVE_FACTOR = 1.25
RESERVE_SECONDS = 10.0
LEAST_SECONDS = 30.0  # of training in a command that goes on, whatever earlier ones have taken


def main(words: Sequence[str] | None = None) -> None:
    arguments = build_parser().parse_args(words)
    params = load_params()
    revision = recorded_revision(arguments.revision, arguments.allow_dirty)
    plan = make_plan(arguments, params)
    speed = choose_classifier_speed(
        arguments.device or params.device, arguments.speed or params.speed, plan.classifier.recipe
    )
    drawings, _ = find_drawings(arguments.drawings, find_scale(params, plan.scale), params.seed)
    drawings_sha256 = drawings.sha256()
    folder = run_folder(plan, drawings_sha256)
    files = flat_files(arguments.out or folder, plan.name)
    refuse_before_it_is_late(arguments, plan, files, drawings_sha256)
    judged = find_judged(arguments, params, plan, drawings)
    described = describe_answered(judged.protocols, judged.outside, judged.pairs)  # draws every list, once
    ongoing = begin(plan, folder, files, judged.protocols, speed, STARTED)
    reserve = find_reserve(ongoing, judged)
    # The schedule is laid over all the minutes, of which this command may get but a part.
    planned = deadline_of(plan.minutes, reserve)
    limits = [minutes for minutes in (plan.minutes, plan.stop_after) if minutes is not None]
    deadline = deadline_of(min(limits, default=None), reserve)
    left = None
    if plan.minutes is not None:
        left = max(LEAST_SECONDS, planned - time.monotonic() - ongoing.seconds_before)
    ongoing.say(f"training; the checkpoint is kept in {ongoing.folder}")
    progress, stopped = train(ongoing, params.classification, judged.protocols, left, deadline)
    save_curve(files.curve, progress.curve)
    about = describe_training(plan.classifier, ongoing.net, ongoing.feed, progress)
    ongoing.keep_weights(about, sliced=arguments.out is not None)
    if stopped:
        raise KeyboardInterrupt
    ongoing.say(f"trained for {progress.step:,} of {progress.n_steps:,} steps; evaluating")
    facts = known_facts(plan, speed, revision, drawings_sha256) | about
    record = evaluate(ongoing, facts, about, judged, described, progress.seconds)
    end(arguments, ongoing, record)


def evaluate(
    ongoing: Run, facts: Mapping[str, Any], about: dict[str, Any], judged: Judged,
    described: Mapping[str, Any], training_seconds: float,
) -> ClassifierRecord:  # fmt: skip
    """Release the weights, answer with them, and write everything but the curve."""
    evaluating = time.monotonic()
    released = release(
        ongoing.net, about, ongoing.files.weights, judged.protocols, judged.outside, judged.pairs,
        device=ongoing.speed.device,
    )  # fmt: skip
    now = time.monotonic()
    seconds = {
        "training": training_seconds,
        "evaluation": now - evaluating,
        "total": now - STARTED + ongoing.seconds_before,
    }
    return write_record(ongoing.files, facts, judged, described, released, seconds)


def end(arguments: argparse.Namespace, ongoing: Run, record: ClassifierRecord) -> None:
    """Put the files where they belong, or into pieces that travel; a finished run's checkpoint goes."""
    if arguments.out is None:
        adopt(ongoing.folder, replace=arguments.replace)
    else:
        slice_file(ongoing.files.weights)
    ongoing.say(describe(record))
    if record.complete:
        shutil.rmtree(ongoing.folder)
    else:
        ongoing.say("the time was up before training ended: call the same command again to go on")


def refuse_before_it_is_late(
    arguments: argparse.Namespace, plan: Plan, files: ClassifierFiles, drawings_sha256: str
) -> None:
    """What would refuse the record after the training refuses it before.

    Raises:
        RecordError: the folder cannot be written into; or, without --out, there is a complete record already,
            or these are not Omniglot's drawings.
    """
    check_writable(files.record)
    if arguments.out is not None:
        return
    if drawings_sha256 != read_facts("omniglot")["drawings"]["sha256"]:
        raise RecordError(
            "these are not Omniglot's drawings; nothing computed on others is kept in results/: say where "
            "to put it by --out."
        )
    if not arguments.replace:
        refuse_to_replace(released_files(RESULTS, WEIGHTS, plan.name).record)


def find_judged(arguments: argparse.Namespace, params: Params, plan: Plan, drawings: Drawings) -> Judged:
    """All that the network is judged by; Lake's runs and MNIST if they are at hand."""
    protocols = draw_once(find_protocols(drawings, params.other_images))
    pairs = pairs_to_judge(protocols, plan.classifier.recipe)
    outside, not_computed = find_outside(arguments.all_runs, arguments.mnist, protocols)
    return Judged(protocols, outside, pairs, not_computed)


def find_outside(
    all_runs: Path | None, mnist: Path | None, protocols: Protocols
) -> tuple[dict[str, Outside], dict[str, str]]:
    """Lake's runs and MNIST, where named or in their places; and of what is not there the reason.

    Raises:
        RecordError, ArchiveError: a file that was named is missing, damaged, or not the published one.
    """
    if protocols.source != "omniglot":
        return {}, {}
    outside, not_computed = {}, {}
    path = all_runs or RAW / "all_runs.zip"
    if all_runs or path.exists():
        outside["all_runs"] = Outside(*read_all_runs(path))
        if md5(path) != read_facts("omniglot")["archives"]["all_runs.zip"]["md5"]:
            raise RecordError(f"{path} is not Lake's published archive (its MD5 is {md5(path)}).")
    else:
        not_computed["all_runs"] = f"there was no {path.name} on that machine"
    folder = mnist or MNIST
    if mnist or all((folder / name).exists() for name in (IMAGES, LABELS)):
        outside["mnist"] = read_digits(folder)
    else:
        not_computed["mnist"] = "MNIST's test set was not on that machine"
    return outside, not_computed


def find_reserve(ongoing: Run, judged: Judged) -> float:
    """Seconds to be left for evaluation and files, where time is limited."""
    plan = ongoing.plan
    if plan.minutes is None and plan.stop_after is None:
        return 0.0
    scorer = make_scorer(build_net(plan.classifier, judged.protocols), ongoing.speed.plain())
    seconds = measure_evaluation(scorer, judged.protocols, judged.outside, judged.pairs)
    reserve = RESERVE_SECONDS + RESERVE_FACTOR * seconds
    ongoing.say(f"evaluation will take about {reserve:.0f} s")
    return reserve


def deadline_of(minutes: float | None, reserve: float) -> float:
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
            f"and evaluation takes about {reserve:.0f} s; give more."
        )
    return deadline


if __name__ == "__main__":
    run(main)
