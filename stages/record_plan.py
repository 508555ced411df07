"""What a command of stages.record asks for, and from which checkpoint it may go on."""

import argparse
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast, get_args

from oneshot.errors import ParameterError
from oneshot.params import Params, Scale
from oneshot.params import Phase as PhaseNumbers
from oneshot.published import CLUTTER_LEVELS
from oneshot.records.run import (
    JOINT,
    NetName,
    Start,
    flat_files,
    list_levels,
    released_files,
    run_name,
)
from oneshot.segment.feed import Phase
from oneshot.segment.recipes import METHODS, Recipe, make_recipe
from oneshot.segment.training import climb, widen
from oneshot.segment.training_steps import Step, checkpoint_of
from oneshot.segment.weights import load_weights
from oneshot.training.distributed import World
from oneshot.training.speed import Speed
from oneshot.training.tensors import WeightsError, file_sha256
from stages.conditions import compare_conditions, keep_conditions
from stages.fingerprint import code_sha256
from stages.places import RESULTS, RUNS, WEIGHTS

NET_NAMES = get_args(NetName)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stages.record",
        description="Train one network and record it: weights, scores on both test sets, and all that is "
        "known of the run. The same command goes on from where it was stopped.",
    )
    add = parser.add_argument
    add(
        "clutter_level",
        type=parse_level,
        choices=(*CLUTTER_LEVELS, JOINT),
        help="characters in a scene, or joint: one network for all seven levels",
    )
    add("--net", choices=NET_NAMES, default="siamese_unet", help="default: siamese_unet")
    add("--recipe", choices=tuple(METHODS), required=True)
    add("--minutes", type=float, help="for the whole command, evaluation included; the scenes are cut to fit")
    add(
        "--stop-after",
        type=float,
        metavar="MINUTES",
        help="end this command then, though the schedule is laid over --minutes or --scenes; it goes on when "
        "called again",
    )
    add("--scenes", type=int, help="to train on; of MaskNet, in each of its two trainings")
    add("--feature-maps", type=int)
    add("--batch-size", type=int, help="of MaskNet, in its first training, of proposals")
    add("--lr", type=float, help="Adam's; Muon's is ten times as much; of MaskNet, in its first training")
    add("--discriminator-batch-size", type=int, help="of MaskNet, in its second training")
    add("--discriminator-lr", type=float, help="of MaskNet, in its second training")
    add(
        "--lower-levels",
        type=float,
        metavar="SHARE",
        help="of the scenes, spent on lower clutter levels (joint: on fewer levels) first",
    )
    add("--seed", type=int, help="of initial weights and the order of scenes")
    add(
        "--start-from",
        type=Path,
        metavar="WEIGHTS",
        help="another net's weights instead of random ones; of MaskNet, a Siamese-U-Net's (default: the "
        "released one of this level and recipe)",
    )
    add("--scale", default="paper", help="block of params.yaml behind all options left out (default: paper)")
    add("--drawings", type=Path, metavar="FILE", help="packed drawings (default: the pipeline's)")
    add("--device", help="auto, cpu or cuda")
    add("--speed", metavar="PARTS", help="auto, plain, or parts of oneshot.training.speed joined by commas")
    add("--test-scenes", type=int, help="of each test set (default: all)")
    add(
        "--out", type=Path, metavar="FOLDER", help="put the four files here, instead of results/ and weights/"
    )
    add("--replace", action="store_true", help="a complete record of this level, recipe and seed")
    add("--revision", help="the commit, where this folder is a copy without Git")
    add("--allow-dirty", action="store_true", help="record a tree that differs from its commit; marked so")
    return parser


def parse_level(word: str) -> int | str:
    return int(word) if word.isdecimal() else word


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is trained, and how well it is evaluated; `name` tells runs apart.

    `clutter_level` may be joint, in place of a number.
    """

    net: str
    name: str
    scale: str
    clutter_level: int | str
    recipe: str
    steps: tuple[Step, ...]
    lower_levels: float
    proposals_share: float | None
    feature_maps: int
    n_epochs: int | None
    n_jobs: int
    seed: int
    minutes: float | None
    stop_after: float | None
    start_from: Start | None
    n_test_scenes: int

    @property
    def levels(self) -> tuple[int, ...]:
        """The clutter levels that it is evaluated at."""
        return list_levels(self.clutter_level)

    @property
    def n_scenes_before(self) -> int:
        return self.start_from.n_scenes_seen if self.start_from else 0

    @property
    def identity(self) -> dict[str, Any]:
        """What two commands must have in common for one to go on with the other's training."""
        return {
            "net": self.net,
            "name": self.name,
            "recipe": self.recipe,
            "steps": {
                step.name: {
                    "lr": step.recipe.lr,
                    "batch_size": step.recipe.batch_size,
                    "matching_weight": step.recipe.matching_weight,
                    "n_scenes": sum(phase.n_scenes for phase in step.phases),
                }
                for step in self.steps
            },
            "lower_levels": self.lower_levels,
            "proposals_share": self.proposals_share,
            "feature_maps": self.feature_maps,
            "n_epochs": self.n_epochs,
            "n_jobs": self.n_jobs,
            "minutes": self.minutes,
            "start_from": self.start_from and self.start_from.sha256,
        }


def make_plan(arguments: argparse.Namespace, params: Params) -> Plan:
    """Options where they are given, params.yaml elsewhere.

    Raises:
        ParameterError: a number is out of range, or the scale is unknown or says nothing of this level.
        WeightsError: the weights to start from are missing, damaged, or of another size.
    """
    scale = find_scale(params, arguments.scale)
    masknet = arguments.net == "masknet"
    if not masknet and given(arguments.discriminator_lr, arguments.discriminator_batch_size) is not None:
        raise ParameterError("only MaskNet has a discriminator: leave its options out, or say --net masknet.")
    seed = given(arguments.seed, params.seed)
    start = find_start(arguments)
    feature_maps = given(arguments.feature_maps, scale.siamese_unet.feature_maps)
    lower_levels = given(
        arguments.lower_levels, 0.0 if masknet else params.siamese_unet.recipes[arguments.recipe].lower_levels
    )
    plan = Plan(
        net=arguments.net,
        name=run_name(arguments.clutter_level, seed, params.seed),
        scale=arguments.scale,
        clutter_level=arguments.clutter_level,
        recipe=arguments.recipe,
        steps=tuple(plan_steps(arguments, params, scale, lower_levels)),
        lower_levels=lower_levels,
        proposals_share=params.masknet.proposals_share if masknet else None,
        feature_maps=feature_maps,
        n_epochs=(scale.masknet if masknet else scale.siamese_unet).n_epochs
        if arguments.scenes is None
        else None,
        n_jobs=scale.siamese_unet.n_jobs,
        seed=seed,
        minutes=arguments.minutes,
        stop_after=arguments.stop_after,
        start_from=None if start is None else read_start(start, feature_maps),
        n_test_scenes=given(
            arguments.test_scenes, scale.evaluate.n_masknet_scenes if masknet else scale.evaluate.n_scenes
        ),
    )
    check_plan(plan)
    return plan


def find_start(arguments: argparse.Namespace) -> Path | None:
    """The weights to start from: those named; of MaskNet else the released Siamese-U-Net of the same name.

    Raises:
        WeightsError: MaskNet has none to start from.
    """
    if arguments.start_from is not None or arguments.net != "masknet":
        return cast(Path | None, arguments.start_from)
    places = released_files(RESULTS, WEIGHTS, "siamese_unet", arguments.recipe, str(arguments.clutter_level))
    if not places.weights.is_file():
        raise WeightsError(
            f"MaskNet starts from a Siamese-U-Net, of which none is released at {places.weights}: record one "
            "first, or name another by --start-from."
        )
    return places.weights


def plan_steps(
    arguments: argparse.Namespace, params: Params, scale: Scale, lower_levels: float
) -> Iterator[Step]:
    """The trainings of the network, one of a Siamese-U-Net and two of a MaskNet."""
    key = JOINT if arguments.clutter_level == JOINT else f"level_{arguments.clutter_level}"
    if arguments.net == "siamese_unet":
        own = params.siamese_unet.recipes[arguments.recipe]
        # Weights that have learnt something need no preparation, which would overwrite some of them.
        recipe = make_recipe(
            arguments.recipe,
            given(arguments.lr, params.lr, own.lr),
            given(arguments.batch_size, own.batch_size),
            own.matching_weight,
            trained_before=arguments.start_from is not None,
        )
        n_scenes = count_scenes(arguments, scale.siamese_unet.nets.get(key, ()))
        yield Step("segmentation", recipe, make_phases(arguments, n_scenes, lower_levels, recipe))
        return
    options = {
        "proposals": (arguments.lr, arguments.batch_size),
        "discriminator": (arguments.discriminator_lr, arguments.discriminator_batch_size),
    }
    usual = scale.masknet.nets.get(key)
    for name, (lr, batch_size) in options.items():
        numbers = getattr(params.masknet.recipes[arguments.recipe], name)
        recipe = make_recipe(
            arguments.recipe, given(lr, numbers.lr), given(batch_size, numbers.batch_size),
            numbers.matching_weight, trained_before=True,
        )  # fmt: skip
        n_scenes = count_scenes(arguments, () if usual is None else getattr(usual, name))
        yield Step(name, recipe, make_phases(arguments, n_scenes, lower_levels, recipe))


def count_scenes(arguments: argparse.Namespace, usual: Sequence[PhaseNumbers]) -> int:
    """By --scenes, else as many as the scale trains this network on."""
    n_scenes: int = given(arguments.scenes, sum(phase.n_scenes for phase in usual))
    if n_scenes == 0 and arguments.scenes is None:
        raise ParameterError(
            f"scale {arguments.scale!r} trains no network for level {arguments.clutter_level}: say on how "
            "many scenes by --scenes."
        )
    return n_scenes


def make_phases(
    arguments: argparse.Namespace, n_scenes: int, lower_levels: float, recipe: Recipe
) -> tuple[Phase, ...]:
    """Up to one level, or for the joint network up to all of them."""
    if arguments.clutter_level == JOINT:
        return widen(n_scenes, lower_levels, recipe.batch_size)
    return climb(arguments.clutter_level, n_scenes, lower_levels, recipe.batch_size)


def given(*values: Any) -> Any:
    """The first value that is one; None if none is."""
    return next((value for value in values if value is not None), None)


def find_scale(params: Params, name: str) -> Scale:
    if name not in params.scales:
        raise ParameterError(f"--scale is {name!r}, which is none of {', '.join(params.scales)}.")
    return params.scales[name]


def check_plan(plan: Plan) -> None:
    for name, number, least in [
        ("--feature-maps", plan.feature_maps, 1),
        ("--scenes", sum(phase.n_scenes for step in plan.steps for phase in step.phases), 1),
        ("--test-scenes", plan.n_test_scenes, 2),
    ]:
        if number < least:
            raise ParameterError(f"{name} is {number}; it must be at least {least}.")
    check_seed_and_time(plan.seed, plan.minutes, plan.stop_after)


def check_seed_and_time(seed: int, minutes: float | None, stop_after: float | None) -> None:
    """Raise ParameterError if one is out of range."""
    if not 0 <= seed < 2**32:
        raise ParameterError(f"--seed is {seed}; it must be at least 0 and below 2**32.")
    for name, value in {"--minutes": minutes, "--stop-after": stop_after}.items():
        if value is not None and not 0 < value < math.inf:
            raise ParameterError(f"{name} is {value}; it must be a positive number.")


def read_start(path: Path, feature_maps: int) -> Start:
    _, info = load_weights(path)
    if (info.net, info.feature_maps) != ("siamese_unet", feature_maps):
        raise WeightsError(
            f"{path} holds a {info.net} of {info.feature_maps} feature maps, which cannot be the start of "
            f"one of {feature_maps}: say --feature-maps {info.feature_maps}, or start from others."
        )
    return Start(
        file=path.as_posix(),
        sha256=file_sha256(path),
        n_scenes_seen=info.n_scenes_before + info.n_scenes_seen,
    )


def run_folder(plan: Plan, drawings_sha256: str) -> Path:
    """Where a run's checkpoint lies: the same for the same command and drawings, else another."""
    identity = json.dumps({**plan.identity, "drawings": drawings_sha256}, sort_keys=True)
    stem = flat_files(Path(), plan.net, plan.recipe, plan.name).record.stem
    return RUNS / "record" / f"{stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def check_conditions(plan: Plan, folder: Path, speed: Speed, world: World, device: str) -> None:
    """Keep what a new run runs on; one that goes on must find the same, or its record would be wrong.

    Raises:
        RecordError: the checkpoint in `folder` was written by other code, or under other conditions.
    """
    found = {
        "code": code_sha256(),
        "torch": version("torch"),
        "device": device,
        "processes": world.size,
        "speed": ",".join(speed.parts) or "plain",
    }
    if any(checkpoint_of(folder, step.name).exists() for step in plan.steps):
        compare_conditions(folder, found)
    if world.rank == 0:
        keep_conditions(folder, found)
