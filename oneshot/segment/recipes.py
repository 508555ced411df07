"""Two ways to train the networks, never mixed: as published, and fast: off the plateau in minutes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from oneshot.errors import ParameterError
from oneshot.segment.batches import Batch
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import Objective
from oneshot.segment.nets.siamese_unet import Encoder, SiameseUNet, layer_norm
from oneshot.training.fit import scale_rates
from oneshot.training.muon import Muon
from oneshot.training.schedules import halvings, warm_up_and_cosine

MUON_RATE_PER_ADAM_RATE = 10
PREPARE_SCENES = 128
# The mask covers 1.3 % of a scene; twice 2.3 apart, the logits start at a foreground probability of 1 %.
BACKGROUND_LOGIT = 2.3


def learning(loss: Objective) -> list[Tensor]:
    """List the parameters that a training step changes."""
    return [parameter for parameter in loss.parameters() if parameter.requires_grad]


def plain_adam(loss: Objective, lr: float, fused: bool = False) -> list[Optimizer]:
    return [Adam(learning(loss), lr=lr, fused=fused or None)]


def muon_and_adam(loss: Objective, lr: float, fused: bool = False) -> list[Optimizer]:
    """Make Muon for the convolutions between the first layers and the last, Adam for those and all the rest.

    Gradients fall by a factor of 1,000 to 10,000 after the first steps: Adam's epsilon and slow second moment
    would swallow what is left, hence its own settings.
    """
    ends = loss.ends()
    weights = [block.weight for block in loss.trained().blocks() if block not in ends]
    inner = {id(weight) for weight in weights}
    others = [parameter for parameter in learning(loss) if id(parameter) not in inner]
    return [
        Adam(others, lr=lr, betas=(0.9, 0.95), eps=1e-15, fused=fused or None),
        Muon(weights, lr=MUON_RATE_PER_ADAM_RATE * lr),
    ]


@torch.no_grad()
def centre_codes(encoder: Encoder, images: Tensor) -> None:
    """Set every shift to minus the mean, over these images, of what it is added to.

    After ReLU and layer norm all codes share a large common part, which hides what tells them apart.
    """
    x = images
    for step, layer in enumerate(encoder.blocks()):
        layer.shift.copy_(-layer_norm(layer.convolve(x)).mean((0, 2, 3)))
        x = encoder.pool(step, layer(x))


@torch.no_grad()
def prepare_fast(net: SiameseUNet, batch: Batch) -> None:
    """Start from equal encoders, centred codes, and logits at the background's share."""
    net.target_encoder.load_state_dict(net.scene_encoder.state_dict())
    centre_codes(net.target_encoder, batch.targets)
    centre_codes(net.scene_encoder, batch.images)
    net.decoder.blocks()[-1].shift.copy_(torch.tensor([BACKGROUND_LOGIT, -BACKGROUND_LOGIT]))


@dataclass(frozen=True)
class Method:
    """Method of a recipe, apart from its numbers.

    `lr_factor(step, n_steps, n_epochs)` is the share of the top rate that a step gets; `prepare`, if any,
    sets an untrained network up from a batch; `corrected`: MaskNet's labels are mended (see
    oneshot.segment.masknet_losses).
    """

    optimizers: Callable[[Objective, float, bool], list[Optimizer]]
    lr_factor: Callable[[int, int, int | None], float]
    prepare: Callable[[SiameseUNet, Batch], None] | None = None
    corrected: bool = False


METHODS = {
    # Source: Michaelis, Bethge, Ecker 2018, section 4; github.com/michaelisc/cluttered-omniglot at 0cd38ba.
    "published": Method(plain_adam, halvings),
    "fast": Method(muon_and_adam, warm_up_and_cosine, prepare_fast, corrected=True),
}


@dataclass(frozen=True)
class SegmentationRecipe:
    """Training of a network, but for the data.

    `lr` is Adam's, at the schedule's top; Muon's is ten times as much. `n_epochs` places the published
    halvings. A network that was trained before needs no preparation: it would overwrite what it has learnt.

    Raises:
        ParameterError: there is no recipe of that name, or a number is out of range.
    """

    name: str
    lr: float
    batch_size: int
    matching_weight: float
    n_epochs: int | None = None
    trained_before: bool = False
    patience: int | None = None  # it is not validated

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise ParameterError(f"there is no recipe {self.name!r}; choose one of {', '.join(METHODS)}.")
        if not (0 < self.lr < math.inf):
            raise ParameterError(f"the learning rate is {self.lr}; it must be a positive number.")
        if self.batch_size < 1:
            raise ParameterError(f"batch_size is {self.batch_size}; it must be at least 1.")
        if self.matching_weight < 0:
            raise ParameterError(f"matching_weight is {self.matching_weight}; it cannot be negative.")

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    def optimizers(self, loss: Objective, fused: bool = False) -> list[Optimizer]:
        return self.method.optimizers(loss, self.lr, fused)

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: SceneFeed) -> float:
        factor = self.method.lr_factor(step, feed.n_steps, self.n_epochs)
        scale_rates(optimizers, factor)
        return factor * self.lr

    def prepare(self, loss: Objective, feed: SceneFeed) -> None:
        if self.method.prepare is not None and not self.trained_before:
            self.method.prepare(cast(SiameseUNet, loss.net), feed.sample(PREPARE_SCENES))
