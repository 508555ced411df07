"""Two ways to train the networks, never mixed: as published, and fast: off the plateau in minutes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from oneshot.errors import ParameterError
from oneshot.segment.batches import Batch
from oneshot.segment.losses import Objective
from oneshot.segment.nets.siamese_unet import Encoder, SiameseUNet, layer_norm
from oneshot.training.muon import Muon

MUON_RATE_PER_ADAM_RATE = 10
WARM_UP = 0.1  # of all steps
# The mask covers 1.3 % of a scene; twice 2.3 apart, the logits start at a foreground probability of 1 %.
BACKGROUND_LOGIT = 2.3


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, but for the data.

    `lr` is Adam's, at the schedule's top; `lr_factor(step, n_steps, n_epochs)` is the share of it that a step
    gets. `prepare`, if any, sets the untrained network up from a first batch.
    """

    name: str
    lr: float
    batch_size: int
    matching_weight: float
    optimizers: Callable[[Objective, float, bool], list[Optimizer]]
    lr_factor: Callable[[int, int, int | None], float]
    prepare: Callable[[SiameseUNet, Batch], None] | None = None
    corrected: bool = False  # whether MaskNet's labels are mended (see oneshot.segment.masknet_losses)


def halvings(step: int, n_steps: int, n_epochs: int | None = None) -> float:
    """Halved at the start of epochs E//2, 3E//4, 7E//8; without epochs, after 1/2, 3/4, 7/8 of the steps."""
    if n_epochs is None:
        starts = [n_steps * eighths / 8 for eighths in (4, 6, 7)]
    else:
        starts = [n_steps * (n_epochs * eighths // 8) / n_epochs for eighths in (4, 6, 7)]
    return 0.5 ** sum(step >= start for start in starts)


def warm_up_and_cosine(step: int, n_steps: int, n_epochs: int | None = None) -> float:
    """Linear warm-up over the first tenth of the steps, then a cosine to zero."""
    n_warm = max(1, round(WARM_UP * n_steps))
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))


def learning(loss: Objective) -> list[Tensor]:
    """The parameters that a training step changes."""
    return [parameter for parameter in loss.parameters() if parameter.requires_grad]


def plain_adam(loss: Objective, lr: float, fused: bool = False) -> list[Optimizer]:
    return [Adam(learning(loss), lr=lr, fused=fused or None)]


def muon_and_adam(loss: Objective, lr: float, fused: bool = False) -> list[Optimizer]:
    """Muon for the convolutions between the first layers and the last; Adam for those and all the rest.

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
    """What makes a recipe, apart from its numbers."""

    optimizers: Callable[[Objective, float, bool], list[Optimizer]]
    lr_factor: Callable[[int, int, int | None], float]
    prepare: Callable[[SiameseUNet, Batch], None] | None = None
    corrected: bool = False


METHODS = {
    # Source: Michaelis, Bethge, Ecker 2018, section 4; github.com/michaelisc/cluttered-omniglot at 0cd38ba.
    "published": Method(plain_adam, halvings),
    "fast": Method(muon_and_adam, warm_up_and_cosine, prepare_fast, corrected=True),
}


def make_recipe(
    name: str, lr: float, batch_size: int, matching_weight: float, *, trained_before: bool = False
) -> Recipe:
    """A recipe by its name and numbers; the learning rate is Adam's, Muon's is ten times as much.

    A network that was trained before needs no preparation, which would overwrite what it has learnt.

    Raises:
        ParameterError: there is no such recipe, or a number is out of range.
    """
    if name not in METHODS:
        raise ParameterError(f"there is no recipe {name!r}; choose one of {', '.join(METHODS)}.")
    if not (0 < lr < math.inf):
        raise ParameterError(f"the learning rate is {lr}; it must be a positive number.")
    if batch_size < 1:
        raise ParameterError(f"batch_size is {batch_size}; it must be at least 1.")
    if matching_weight < 0:
        raise ParameterError(f"matching_weight is {matching_weight}; it cannot be negative.")
    method = METHODS[name]
    return Recipe(
        name, lr, batch_size, matching_weight, method.optimizers, method.lr_factor,
        None if trained_before else method.prepare, method.corrected,
    )  # fmt: skip
