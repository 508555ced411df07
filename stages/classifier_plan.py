"""What a command of stages.record_classifier asks for, and from which checkpoint it may go on."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from oneshot.classify.classifiers import PROTONET, ClassifierPlan
from oneshot.classify.nets.bases import BASES
from oneshot.errors import ParameterError
from oneshot.params import Classifiers, Params, Section, describe
from oneshot.records.classification_run import KIND, run_name
from stages.places import RUNS
from stages.record_plan import check_seed_and_time, find_scale, given

NUMBERS = {
    "lr": float, "weight_decay": float, "batch_size": int, "patience": int, "n_way": int, "n_shot": int,
    "n_query": int,
}  # fmt: skip
LISTS = ("lrs", "momenta", "l2s")  # a number for each layer
FLAGS = ("within_alphabets", "turned", "distorted")
AMOUNTS = {"n_episodes": "in an epoch", "n_epochs": "cut to what fits into --minutes"}

AnySection = TypeVar("AnySection", bound=Section)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stages.record_classifier",
        description="Train one network of the classification half and record it: weights, every answer on "
        "every protocol, and all that is known of the run. The same command goes on from where it was "
        "stopped.",
    )
    add = parser.add_argument
    names = tuple(Classifiers.model_fields)
    add("net", metavar="NAME", choices=names, help=f"one of {', '.join(names)}")
    add("--minutes", type=float, help="for the whole command, evaluation included; the epochs are cut to fit")
    add(
        "--stop-after",
        type=float,
        metavar="MINUTES",
        help="end this command then, though the schedule is laid over --minutes or all epochs; it goes on "
        "when called again",
    )
    add("--base", help=f"of the siamese network: {', '.join(BASES)} (default: the scale's)")
    add("--seed", type=int, help="of initial weights and of what is drawn to train on")
    recipe = parser.add_argument_group("numbers of the recipe, in place of those in params.yaml")
    for name, kind in NUMBERS.items():
        recipe.add_argument(option(name), type=kind, metavar="NUMBER")
    for name in LISTS:
        recipe.add_argument(
            option(name), type=float, nargs="+", metavar="NUMBER", help="one a layer, or one for all"
        )
    for name in FLAGS:
        recipe.add_argument(option(name), action=argparse.BooleanOptionalAction)
    for name, meaning in AMOUNTS.items():
        recipe.add_argument(option(name), type=int, metavar="NUMBER", help=meaning)
    add("--scale", default="paper", help="block of params.yaml behind all options left out (default: paper)")
    add("--drawings", type=Path, metavar="FILE", help="packed drawings (default: the pipeline's)")
    add("--all-runs", type=Path, metavar="FILE", help="Lake's all_runs.zip (default: the pipeline's, if any)")
    add("--mnist", type=Path, metavar="FOLDER", help="of MNIST's test set (default: the pipeline's, if any)")
    add("--device", help="auto, cpu or cuda")
    add("--speed", metavar="PARTS", help="auto, plain, or parts of oneshot.training.speed joined by commas")
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="put the files here, large ones in slices, instead of into results/ and weights/",
    )
    add("--replace", action="store_true", help="a complete record of this name")
    add("--revision", help="the commit, where this folder is a copy without Git")
    add("--allow-dirty", action="store_true", help="record a tree that differs from its commit; marked so")
    return parser


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is trained; `name` tells runs apart."""

    classifier: ClassifierPlan
    name: str
    scale: str
    minutes: float | None
    stop_after: float | None

    @property
    def numbers(self) -> dict[str, Any]:
        """All of the recipe's."""
        recipe: Section = getattr(self.classifier.recipes, self.classifier.recipe)
        return recipe.model_dump(mode="json")

    @property
    def identity(self) -> dict[str, Any]:
        """What two commands must have in common for one to go on with the other's training."""
        return {
            "name": self.name,
            "numbers": self.numbers,
            "training": self.classifier.training.model_dump(),
            "minutes": self.minutes,
        }


def make_plan(arguments: argparse.Namespace, params: Params) -> Plan:
    """Options where they are given, params.yaml elsewhere.

    Raises:
        ParameterError: a number is out of range or none of the recipe's, or the scale is unknown or does not
            train this network.
    """
    scale = find_scale(params, arguments.scale).classification
    training = getattr(scale.nets, arguments.net)
    if training is None:
        trained = [name for name in Classifiers.model_fields if getattr(scale.nets, name) is not None]
        raise ParameterError(
            f"scale {arguments.scale!r} does not train {arguments.net}, but {', '.join(trained)}."
        )
    base = given(arguments.base, scale.base)
    if arguments.net == PROTONET and arguments.base is not None:
        raise ParameterError("a protonet is built on no base: leave --base out.")
    if base not in BASES:
        raise ParameterError(f"--base is {base!r}; there are {', '.join(BASES)}.")
    seed = given(arguments.seed, params.seed)
    check_seed_and_time(seed, arguments.minutes, arguments.stop_after)
    usual = ClassifierPlan(arguments.net, base, seed, training, params.classification.recipes)
    recipe = getattr(usual.recipes, usual.recipe)
    numbers = asked_numbers(arguments, recipe, training, usual.recipe)
    changed = change(recipe, {name: value for name, value in numbers.items() if name not in AMOUNTS})
    classifier = ClassifierPlan(
        arguments.net, base, seed,
        change(training, {name: value for name, value in numbers.items() if name in AMOUNTS}),
        usual.recipes.model_copy(update={usual.recipe: changed}),
    )  # fmt: skip
    name = run_name(arguments.net, None if arguments.net == PROTONET else base, seed, params.seed)
    return Plan(classifier, name, arguments.scale, arguments.minutes, arguments.stop_after)


def asked_numbers(
    arguments: argparse.Namespace, recipe: Section, training: Section, recipe_name: str
) -> dict[str, Any]:
    """The numbers that options give. Raises ParameterError if one is none of the recipe's."""
    known = [*type(recipe).model_fields, *(name for name in AMOUNTS if name in type(training).model_fields)]
    asked = {}
    for name in (*NUMBERS, *LISTS, *FLAGS, *AMOUNTS):
        value = getattr(arguments, name)
        if value is None:
            continue
        if name not in known:
            raise ParameterError(
                f"recipe {recipe_name} has no {option(name)}; it has {', '.join(map(option, known))}."
            )
        asked[name] = value * len(getattr(recipe, name)) if name in LISTS and len(value) == 1 else value
    return asked


def change(section: AnySection, changes: Mapping[str, Any]) -> AnySection:
    """With other numbers, checked as those in params.yaml are."""
    try:
        return type(section).model_validate(section.model_dump() | changes)
    except ValidationError as error:
        raise ParameterError(f"the options give impossible numbers: {describe(error)}.") from None


def run_folder(plan: Plan, drawings_sha256: str) -> Path:
    """Where a run's checkpoint lies: the same for the same command and drawings, else another."""
    identity = json.dumps({**plan.identity, "drawings": drawings_sha256}, sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return RUNS / "record" / f"{KIND}-{plan.name}-{digest}"
