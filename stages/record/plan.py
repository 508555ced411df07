"""Plans of what a command of stages.record asks for, and from which checkpoint it may go on."""

import argparse
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml

from oneshot.classify import training as classify_training
from oneshot.classify.training import ClassificationPlan
from oneshot.errors import ParameterError
from oneshot.params import CLASSIFICATION, SEGMENTATION, Params, load_params
from oneshot.records.run import RUN, WEIGHTS, Start, load_run
from oneshot.segment import training as segment_training
from oneshot.segment.training import SegmentationPlan
from oneshot.training.plan import TrainingPlan
from oneshot.training.speed import Speed, choose_speed
from oneshot.training.tensors import WeightsError, file_sha256, load_tensors
from stages.places import RECORDED, RUNS

WANTED = RECORDED / "wanted.yaml"
CHECKPOINT_SECONDS = 180.0  # of classification, at least: those of the largest network are 620 MB
USUAL_BASE = "koch"  # whose runs are named by their network alone
PLANNERS = {SEGMENTATION: segment_training.plan_training, CLASSIFICATION: classify_training.plan_training}


def common_parser(*, makes_record: bool) -> argparse.ArgumentParser:
    """Build the options that the recorder's commands share, those of making a record among them or not."""
    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    add("--device", help="auto, cpu, cuda or mps (default: that of params.yaml)")
    add("--drawings", type=Path, metavar="FILE", help="packed drawings (default: the pipeline's)")
    add("--revision", help="the commit, where this folder is a copy without Git")
    add("--allow-dirty", action="store_true", help="a tree that differs from its commit; marked so")
    if makes_record:
        add(
            "--all-runs",
            type=Path,
            metavar="FILE",
            help="Lake's all_runs.zip (default: the pipeline's, if any)",
        )
        add(
            "--mnist",
            type=Path,
            metavar="FOLDER",
            help="of MNIST's test set (default: the pipeline's, if any)",
        )
        add("--out", type=Path, metavar="FOLDER", help="put the four files here, instead of into recorded/")
        add("--replace", action="store_true", help="a complete record of this name")
    return parser


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stages.record", parents=[common_parser(makes_record=True)],
        description="Train one network and record it: weights, every score, and all that is known of it. The "
        "same command goes on from where it was stopped.",
    )  # fmt: skip
    add = parser.add_argument
    add("network", nargs="?", metavar="TASK/NETWORK", help="such as segmentation/siamese_unet-joint")
    add("--next", action="store_true", help=f"the topmost line of {WANTED} without a complete record")
    add(
        "-S", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
        help="replace a number of params.yaml, as in `dvc exp run -S`",
    )  # fmt: skip
    add("--minutes", type=float, help="for the whole command, evaluation included; training is cut to fit")
    add(
        "--stop-after", type=float, metavar="MINUTES",
        help="end this command then, though the schedule is laid over --minutes or all of the training; it "
        "goes on when called again",
    )  # fmt: skip
    add("--seed", type=int, help="of initial weights and of the order of what is trained on")
    add("--name", help="of the record (default: network and recipe, or base)")
    add("--scale", default="paper", help="block of params.yaml that applies (default: paper)")
    add("--speed", metavar="PARTS", help="auto, plain, or parts of oneshot.training.speed joined by commas")
    add(
        "--start-from", type=Path, metavar="WEIGHTS",
        help="another network's weights instead of random ones; of a MaskNet, a Siamese-U-Net's (default: "
        "the recorded one that its section of params.yaml names)",
    )  # fmt: skip
    add("--test-scenes", type=int, metavar="N", help="of each test set (default: all of the scale's)")
    return parser


def read_params(arguments: argparse.Namespace) -> Params:
    """Read params.yaml at the scale that the command names, with its overrides."""
    return load_params(overrides=[f"scale={arguments.scale}", *arguments.overrides])


@dataclass(frozen=True)
class RunPlan:
    """Everything that decides what is trained, and how well it is evaluated; `name` tells runs apart."""

    training: TrainingPlan
    name: str
    minutes: float | None
    stop_after: float | None
    start: Path | None
    start_from: Start | None
    n_test_scenes: int

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels that a segmentation network is evaluated at: those that its training ends with."""
        return cast(SegmentationPlan, self.training).trainings[-1].phases[-1].clutter_levels

    def choose_speed(self, device: str, parts: str) -> Speed:
        if isinstance(self.training, ClassificationPlan):
            return classify_training.choose_plan_speed(device, parts, self.training)
        return choose_speed(device, parts)

    @property
    def identity(self) -> dict[str, Any]:
        """Give what two commands must share for one to go on with the other's training."""
        return self.training.identity | {
            "name": self.name,
            "minutes": self.minutes,
            "start_from": self.start_from and self.start_from.sha256,
        }


def make_plan(arguments: argparse.Namespace, params: Params) -> RunPlan:
    """Plan what a command asks for.

    Raises:
        ParameterError: there is no such network, or it is not trained at this scale; or a number is out of
            range.
        WeightsError: the weights to start from are missing, or of another network.
    """
    task, _, network = (arguments.network or "").partition("/")
    if task not in PLANNERS or not network:
        raise ParameterError(
            f"{arguments.network!r} is no TASK/NETWORK, such as {SEGMENTATION}/siamese_unet-joint or "
            f"{CLASSIFICATION}/own."
        )
    check_numbers(arguments)
    training = PLANNERS[task](params, network, arguments.seed)
    start = find_start(arguments, params, training)
    start_from = None
    if start is not None:  # from weights that have learnt something: preparation would overwrite some
        before = load_tensors(start)[1].get("training", {})
        n_seen = before.get("n_seen", 0) + before.get("n_seen_before", 0)
        start_from = Start(file=start.as_posix(), sha256=file_sha256(start), n_seen=n_seen)
        assert isinstance(training, SegmentationPlan)
        skip = (replace(one, recipe=replace(one.recipe, trained_before=True)) for one in training.trainings)
        training = replace(training, trainings=tuple(skip))
    if task == CLASSIFICATION:
        seconds = max(training.checkpoint_seconds, CHECKPOINT_SECONDS)
        training = replace(training, checkpoint_seconds=seconds)
    sizes = params.scale.evaluate
    n_scenes = sizes.n_masknet_scenes if training.net == "masknet" else sizes.n_scenes
    return RunPlan(
        training=training,
        name=arguments.name or name_run(training, params.seed),
        minutes=arguments.minutes,
        stop_after=arguments.stop_after,
        start=start,
        start_from=start_from,
        n_test_scenes=arguments.test_scenes or n_scenes,
    )


def check_name(what: str, name: str) -> None:
    """Raise ParameterError if a record cannot have this name; what: names it in the message."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ParameterError(f"{what} is {name!r}; it may hold letters, digits, _ . and -.")


def check_numbers(arguments: argparse.Namespace) -> None:
    """Raise ParameterError if a number is out of range."""
    if arguments.seed is not None and not 0 <= arguments.seed < 2**32:
        raise ParameterError(f"--seed is {arguments.seed}; it must be at least 0 and below 2**32.")
    if arguments.test_scenes is not None and arguments.test_scenes < 2:
        raise ParameterError(f"--test-scenes is {arguments.test_scenes}; it must be at least 2.")
    if arguments.name is not None:
        check_name("--name", arguments.name)
    for name, value in {"--minutes": arguments.minutes, "--stop-after": arguments.stop_after}.items():
        if value is not None and not 0 < value < math.inf:
            raise ParameterError(f"{name} is {value}; it must be a positive number.")


def name_run(training: TrainingPlan, usual_seed: int) -> str:
    """Name a run by its network and recipe, or base; and by its seed, if that is not the usual one."""
    name = training.name
    if training.task == SEGMENTATION:
        name += f"-{training.recipe}"
    elif training.settings["base"] not in (None, USUAL_BASE):
        name += f"-{training.settings['base']}"
    return name if training.seed == usual_seed else f"{name}-seed-{training.seed}"


def find_start(arguments: argparse.Namespace, params: Params, training: TrainingPlan) -> Path | None:
    """Find the weights to start from: those named, else the recorded ones that params.yaml asks for.

    Raises:
        WeightsError: there are none.
        ParameterError: a classification network starts from no others.
    """
    if training.task == CLASSIFICATION:
        if arguments.start_from is not None:
            raise ParameterError(
                "a network for classification starts from no others: leave --start-from out."
            )
        return None
    needed = params.find_network(training.task, training.name).starts_from
    if arguments.start_from is not None or needed is None:
        return arguments.start_from
    path = RECORDED / training.task / f"{needed}-{training.recipe}" / WEIGHTS
    if not path.is_file():
        raise WeightsError(
            f"{training.name} starts from the weights of {needed}, of which there are none at {path}: record "
            "them first, or name others by --start-from."
        )
    return path


def run_folder(plan: RunPlan, drawings_sha256: str) -> Path:
    """Name the folder of a run's checkpoint: the same for the same command and drawings, else another."""
    identity = json.dumps({**plan.identity, "drawings": drawings_sha256}, sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return RUNS / "record" / f"{plan.training.task}-{plan.name}-{digest}"


def find_next(device: str) -> list[str]:
    """Give the words of the topmost wanted command on a device (cpu or gpu) that has no complete record.

    Raises:
        ParameterError: the list is damaged, or there is none left.
    """
    for words, task, name in name_wanted(device):
        place = RECORDED / task / name
        if not (place / RUN).exists() or not load_run(place).complete:
            return words
    raise ParameterError(
        f"every run that {WANTED} wants on a {device} has a complete record, or is refused by params.yaml."
    )


def name_wanted(device: str) -> Iterator[tuple[list[str], str, str]]:
    """Give the words of every wanted command on a device, the task and the name of its record.

    Commands that params.yaml refuses, such as of a network that it no longer has, are left out, with a
    line on stderr.
    """
    for words in read_wanted(device):
        arguments = build_parser().parse_args(words)
        task, _, network = arguments.network.partition("/")
        try:
            params = read_params(arguments)
            name = arguments.name or name_run(PLANNERS[task](params, network, arguments.seed), params.seed)
        except ParameterError as error:
            print(f"left out: {arguments.network}, which {WANTED} wants: {error}", file=sys.stderr)
            continue
        yield words, task, name


def read_wanted(device: str) -> list[list[str]]:
    """Read the wanted commands on a device (cpu or gpu), as words."""
    try:
        lines = yaml.safe_load(WANTED.read_text(encoding="utf-8"))[device]
        return [list(list_words(line)) for line in lines]
    except (OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterError(f"{WANTED} lists no runs for a {device} ({error!r}).") from error


def list_words(line: Mapping[str, Any]) -> Iterator[str]:
    """Turn a line of the list into the words of a command."""
    known = ("run", "set", "minutes", "name", "seed", "start_from")
    if unknown := [key for key in line if key not in known]:
        raise ParameterError(f"{WANTED} has a line with {unknown[0]!r}, which is none of {', '.join(known)}.")
    if line["run"].partition("/")[0] not in PLANNERS:
        raise ParameterError(f"{WANTED} wants {line['run']!r}, which is no TASK/NETWORK.")
    yield line["run"]
    for key, value in line["set"].items():
        yield from ("-S", f"{key}={json.dumps(value)}")
    for name in known[2:]:
        if name in line:
            yield from (f"--{name.replace('_', '-')}", str(line[name]))
