"""Ways to train the networks, never mixed: as published; fast, off the plateau in minutes; and our own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import Objective
from oneshot.segment.nets.siamese_unet import Blocks
from oneshot.training.fit import scale_rates
from oneshot.training.muon import Muon
from oneshot.training.schedules import halvings, warm_up_and_cosine

MUON_RATE_PER_ADAM_RATE = 10
PREPARE_SCENES = 128


def learning(loss: Objective) -> list[Tensor]:
    """List the parameters that a training step changes."""
    return [parameter for parameter in loss.parameters() if parameter.requires_grad]


def plain_adam(loss: Objective, recipe: "SegmentationRecipe", fused: bool = False) -> list[Optimizer]:
    return [Adam(learning(loss), lr=recipe.lr, fused=fused or None)]


def decaying_adam(loss: Objective, recipe: "SegmentationRecipe", fused: bool = False) -> list[Optimizer]:
    """Make Adam with decoupled weight decay, which scales, shifts and biases are spared."""
    groups = [
        {"params": [p for p in learning(loss) if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learning(loss) if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [AdamW(groups, lr=recipe.lr, fused=fused or None)]


def muon_and_adam(loss: Objective, recipe: "SegmentationRecipe", fused: bool = False) -> list[Optimizer]:
    """Make Muon for the convolutions between the first layers and the last, Adam for those and all the rest.

    Gradients fall by a factor of 1,000 to 10,000 after the first steps: Adam's epsilon and slow second moment
    would swallow what is left, hence its own settings.
    """
    ends = loss.ends()
    weights = [block.weight for block in cast(Blocks, loss.trained()).blocks() if block not in ends]
    inner = {id(weight) for weight in weights}
    others = [parameter for parameter in learning(loss) if id(parameter) not in inner]
    return [
        Adam(others, lr=recipe.lr, betas=(0.9, 0.95), eps=1e-15, fused=fused or None),
        Muon(weights, lr=MUON_RATE_PER_ADAM_RATE * recipe.lr),
    ]


@dataclass(frozen=True)
class Method:
    """Method of a recipe, apart from its numbers.

    `lr_factor(step, n_steps, n_epochs)` is the share of the top rate that a step gets; `prepared`: the
    objective sets an untrained network up from a batch; `corrected`: MaskNet's labels are mended (see
    oneshot.segment.masknet_losses).
    """

    optimizers: Callable[[Objective, "SegmentationRecipe", bool], list[Optimizer]]
    lr_factor: Callable[[int, int, int | None], float]
    prepared: bool = False
    corrected: bool = False


METHODS = {
    # Source: Michaelis, Bethge, Ecker 2018, section 4; github.com/michaelisc/cluttered-omniglot at 0cd38ba.
    "published": Method(plain_adam, halvings),
    "fast": Method(muon_and_adam, warm_up_and_cosine, prepared=True, corrected=True),
    "own": Method(decaying_adam, warm_up_and_cosine),
}


@dataclass(frozen=True)
class SegmentationRecipe:
    """Training of a network, but for the data.

    `lr` is Adam's, at the schedule's top; Muon's is ten times as much; `weight_decay` is recipe own's.
    `n_epochs` places the published halvings; `n_views` is of oneshot.segment.group_batches, `covered_share`
    of oneshot.segment.training_set. A network that was trained before needs no preparation: it would
    overwrite what it has learnt.
    """

    name: str
    lr: float
    batch_size: int
    matching_weight: float
    n_epochs: int | None = None
    trained_before: bool = False
    weight_decay: float = 0.0
    n_views: int = 1
    covered_share: float = 0.0
    patience: int | None = None  # it is not validated

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    def optimizers(self, loss: Objective, fused: bool = False) -> list[Optimizer]:
        return self.method.optimizers(loss, self, fused)

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: SceneFeed) -> float:
        factor = self.method.lr_factor(step, feed.n_steps, self.n_epochs)
        scale_rates(optimizers, factor)
        return factor * self.lr

    def prepare(self, loss: Objective, feed: SceneFeed) -> None:
        if self.method.prepared and not self.trained_before:
            loss.prepare(feed.sample(PREPARE_SCENES))
