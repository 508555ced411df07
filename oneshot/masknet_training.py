"""MaskNet's training: encoders and decoder first, then the discriminator of what they propose."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oneshot.batches import PixelStatistics
from oneshot.feed import Phase
from oneshot.fit import LogPoint
from oneshot.losses import Objective
from oneshot.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.nets.masknet import MaskNet
from oneshot.params import MaskNetPhases, MaskNetRecipe
from oneshot.recipes import Recipe, make_recipe
from oneshot.training import Outcome, train
from oneshot.training_set import TrainingSet

STEPS = ("proposals", "discriminator")


@dataclass(frozen=True)
class Step:
    """One of the two: how it is trained, and on what."""

    name: str
    recipe: Recipe
    phases: tuple[Phase, ...]


def make_steps(recipe: str, numbers: MaskNetRecipe, phases: MaskNetPhases) -> list[Step]:
    """Both steps by a recipe's name and the numbers in params.yaml.

    Raises:
        ParameterError: as `oneshot.recipes.make_recipe`.
    """
    return [
        Step(
            name,
            make_recipe(recipe, trained_before=True, **getattr(numbers, name).model_dump()),
            tuple(Phase(phase.clutter_levels, phase.n_scenes) for phase in getattr(phases, name)),
        )
        for name in STEPS
    ]


def make_objective(name: str, net: MaskNet, recipe: Recipe) -> Objective:
    """What a step makes small; making it settles which of the network's parameters learn."""
    if name == "proposals":
        return ProposalLoss(net, recipe.matching_weight, corrected=recipe.corrected)
    return DiscriminatorLoss(net, corrected=recipe.corrected)


def train_masknet(
    net: MaskNet,
    training_set: TrainingSet,
    steps: Sequence[Step],
    *,
    statistics: Mapping[int, PixelStatistics],
    folder: Path,
    seconds: float | None = None,
    proposals_share: float = 0.5,
    on_log: Callable[[str, LogPoint], None] = lambda step, point: None,
    **settings: Any,
) -> list[Outcome]:
    """Train both steps, or go on from their checkpoints in `folder`; only the first if that ends early.

    `seconds`: for both, from this call on; `proposals_share` of them are the first step's. `on_log` gets a
    step's name with every point. `settings` are those of `oneshot.training.train`, which also says what it
    raises.
    """
    ends = math.inf if seconds is None else time.monotonic() + seconds
    outcomes = []
    for step in steps:
        if step.name == "discriminator":
            net.start_discriminator()  # from the target encoder as it is by now
        left = None if seconds is None else ends - time.monotonic()
        if left is not None and step.name == "proposals":
            left *= proposals_share
        outcome = train(
            make_objective(step.name, net, step.recipe), training_set, step.recipe, step.phases,
            statistics=statistics, checkpoint=folder / f"{step.name}.safetensors", seconds=left,
            on_log=partial(on_log, step.name), **settings,
        )  # fmt: skip
        outcomes.append(outcome)
        if not outcome.progress.complete:
            break
    return outcomes
