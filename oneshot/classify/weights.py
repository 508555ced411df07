"""Trained scorers as safetensors files that say what they hold: whole, in half precision, in 8 or 4 bits."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Int8, UInt8
from torch import Tensor

from oneshot.classify.nets.bases import BASES
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.training.tensors import WeightsError, load_tensors, save_tensors

Precision = Literal["float32", "float16", "int8", "int4"]
SCALE = ".scale"  # ends the name of an int8 or int4 weight's scales
LEVELS = 127
# Of int4: so many weights of a row share a scale, whose half precision makes them 4.25 bits each.
GROUP, GROUP_LEVELS = 64, 7
SMALLEST_HALF = 2.0**-24


@dataclass(frozen=True)
class ScorerInfo:
    """`net`: siamese_pair or protonet; `base`: what the former is built on; `settings`: of base or net.

    `training`: whatever is known of it, such as recipe, pairs seen and validation error.
    """

    net: str
    settings: dict[str, Any]
    base: str | None = None
    n_code: int = 0
    training: dict[str, Any] = field(default_factory=dict)


def describe_scorer(net: SiamesePair | ProtoNet, training: dict[str, Any] | None = None) -> ScorerInfo:
    """What a network is built of. Raises WeightsError if its base is not registered."""
    if isinstance(net, ProtoNet):
        return ScorerInfo("protonet", net.settings, None, net.n_code, training or {})
    base = net.base
    names = [name for name, kind in BASES.items() if kind is type(base)]
    if not names:
        raise WeightsError(f"the base {type(base).__name__} has no name: add it to classify/nets/bases.py.")
    return ScorerInfo("siamese_pair", base.settings, names[0], base.n_code, training or {})


def build_scorer(info: ScorerInfo) -> SiamesePair | ProtoNet:
    if info.net == "protonet":
        return ProtoNet(**info.settings)
    return SiamesePair(BASES[str(info.base)](**info.settings))


def save_scorer(
    path: Path,
    net: SiamesePair | ProtoNet,
    training: dict[str, Any] | None = None,
    precision: Precision = "float32",
) -> None:
    """Write a network, all or nothing; int8 and int4 are for weights of two and more axes, the rest stays
    float32.
    """
    tensors: dict[str, Tensor] = {}
    in_steps = {"int8": quantise, "int4": quantise_in_groups}.get(precision)
    for name, tensor in net.state_dict().items():
        if in_steps and tensor.ndim >= 2:
            tensors[name], tensors[name + SCALE] = in_steps(tensor)
        else:
            half = precision == "float16" and tensor.is_floating_point()
            tensors[name] = tensor.half() if half else tensor
    save_tensors(path, tensors, asdict(describe_scorer(net, training)))


def load_scorer(path: Path) -> tuple[SiamesePair | ProtoNet, ScorerInfo]:
    """Rebuild a trained network, on the CPU, in single precision, ready to evaluate.

    Raises:
        WeightsError: the file is missing or damaged, or holds another network than it says.
    """
    tensors, about = load_tensors(path)
    scales = {name.removesuffix(SCALE): tensors.pop(name) for name in [*tensors] if name.endswith(SCALE)}
    try:
        info = ScorerInfo(**about)
        net = build_scorer(info)
        shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
        for name, scale in scales.items():
            packed = tensors[name].dtype == torch.uint8
            tensors[name] = (
                restore_groups(tensors[name], scale, shapes[name])
                if packed
                else restore(tensors[name], scale)
            )
        net.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"the weights at {path} do not fit the network they name; fetch or train them again."
        ) from error
    return net.eval(), info


def quantise(
    weight: Float[Tensor, "n_out *rest"],
) -> tuple[Int8[Tensor, "n_out *rest"], Float[Tensor, " n_out"]]:
    """Every output channel in whole steps of its own scale, its largest at 127: at most half a step off."""
    rows = weight.detach().float().flatten(1)
    scale = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
    steps = (rows / scale[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return steps.view(weight.shape), scale


def restore(
    steps: Int8[Tensor, "n_out *rest"], scale: Float[Tensor, " n_out"]
) -> Float[Tensor, "n_out *rest"]:
    return steps.float() * scale.view(-1, *[1] * (steps.ndim - 1))


def quantise_in_groups(
    weight: Float[Tensor, "n_out *rest"],
) -> tuple[UInt8[Tensor, "n_out bytes"], Float16[Tensor, "n_out groups"]]:
    """Every 64 weights of a row in whole steps of their own scale, the largest at 7: at most half a step off.

    Two steps a byte, each plus 8, the first in the low half; a row of odd length ends in a step of 0.
    """
    rows = weight.detach().float().flatten(1)
    n = rows.shape[1]
    groups = F.pad(rows, (0, -n % GROUP)).unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(2) / GROUP_LEVELS).clamp(min=SMALLEST_HALF).half()
    # By the scale as it is kept, lest its rounding be added to the weights' own.
    steps = (groups / scale.float()[:, :, None]).round().clamp(-GROUP_LEVELS, GROUP_LEVELS)
    nibbles = (steps + 8).to(torch.uint8).flatten(1)[:, : n + n % 2]
    return nibbles[:, ::2] | nibbles[:, 1::2] << 4, scale


def restore_groups(
    packed: UInt8[Tensor, "n_out bytes"], scale: Float16[Tensor, "n_out groups"], shape: torch.Size
) -> Float[Tensor, "..."]:
    """The weights of `quantise_in_groups`, which do not tell their shape."""
    n = shape[1:].numel()
    nibbles = torch.stack([packed & 15, packed >> 4], 2).flatten(1)[:, :n]
    scales = scale.float().repeat_interleave(GROUP, 1)[:, :n]
    return ((nibbles.float() - 8) * scales).view(shape)
