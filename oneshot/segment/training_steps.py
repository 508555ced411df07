"""The trainings of a network, one after another: one of a Siamese-U-Net, two of a MaskNet."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import nn

from oneshot.params import MaskNetPhases, MaskNetRecipe
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.feed import Phase
from oneshot.segment.losses import Objective, SegmentationLoss
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.recipes import Recipe, make_recipe
from oneshot.segment.training import Outcome, train
from oneshot.segment.training_set import TrainingSet
from oneshot.training.fit import LogPoint, read_progress

MASKNET_STEPS = ("proposals", "discriminator")


@dataclass(frozen=True)
class Step:
    """One training: segmentation (Siamese-U-Net's), proposals or discriminator (MaskNet's)."""

    name: str
    recipe: Recipe
    phases: tuple[Phase, ...]


def make_masknet_steps(recipe: str, numbers: MaskNetRecipe, phases: MaskNetPhases) -> list[Step]:
    """Both of MaskNet's by a recipe's name and the numbers in params.yaml.

    Raises:
        ParameterError: as `oneshot.segment.recipes.make_recipe`.
    """
    return [
        Step(
            name,
            make_recipe(recipe, trained_before=True, **getattr(numbers, name).model_dump()),
            tuple(Phase(phase.clutter_levels, phase.n_scenes) for phase in getattr(phases, name)),
        )
        for name in MASKNET_STEPS
    ]


def list_levels_of(steps: Sequence[Step]) -> list[int]:
    """The clutter levels of all phases, in the order of training."""
    return [level for step in steps for phase in step.phases for level in phase.clutter_levels]


def make_objective(name: str, net: nn.Module, recipe: Recipe) -> Objective:
    """What a training makes small; making it settles which of the network's parameters learn."""
    if name == "segmentation":
        return SegmentationLoss(cast(SiameseUNet, net), recipe.matching_weight)
    if name == "proposals":
        return ProposalLoss(cast(MaskNet, net), recipe.matching_weight, corrected=recipe.corrected)
    return DiscriminatorLoss(cast(MaskNet, net), corrected=recipe.corrected)


def checkpoint_of(folder: Path, name: str) -> Path:
    """From which a training of that name goes on."""
    return folder / f"{name}.safetensors"


def train_steps(
    net: nn.Module,
    training_set: TrainingSet,
    steps: Sequence[Step],
    *,
    statistics: Mapping[int, PixelStatistics],
    folder: Path,
    seconds: float | None = None,
    first_share: float = 0.5,
    deadline: float = math.inf,
    on_log: Callable[[str, LogPoint], None] = lambda step, point: None,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> list[Outcome]:
    """Train one step after another, or go on from their checkpoints in `folder`.

    `seconds`: for all, from this call on; of two steps the first gets `first_share` of them, and is over then
    even if it was slower than measured. `on_log` gets a step's name with every point. After `deadline` or
    `stop` no further step is begun. `settings` are those of `segment.training.train`, which also says what it
    raises.
    """
    ends = math.inf if seconds is None else time.monotonic() + seconds
    outcomes: list[Outcome] = []
    for number, step in enumerate(steps):
        if any(checkpoint_of(folder, later.name).exists() for later in steps[number + 1 :]):
            # It is over, and the later one's checkpoint holds what it has left.
            progress = read_progress(checkpoint_of(folder, step.name))
            for point in progress.curve:
                on_log(step.name, point)
            outcomes.append(Outcome(progress, tuple(progress.phases)))
            continue
        if step.name == "discriminator":
            cast(MaskNet, net).start_discriminator()  # from the target encoder as it is by now
        left = None if seconds is None else ends - time.monotonic()
        own_deadline = deadline
        if left is not None and step is not steps[-1]:
            left *= first_share
            own_deadline = min(deadline, time.monotonic() + left)
        outcome = train(
            make_objective(step.name, net, step.recipe), training_set, step.recipe, step.phases,
            statistics=statistics, checkpoint=checkpoint_of(folder, step.name), seconds=left,
            deadline=own_deadline, on_log=partial(on_log, step.name), stop=stop, **settings,
        )  # fmt: skip
        outcomes.append(outcome)
        if not outcome.progress.complete and (stop() or own_deadline == deadline):
            break
    return outcomes
