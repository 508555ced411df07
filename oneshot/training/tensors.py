"""Trained networks as safetensors files that say what they hold, in single or half precision or 8 bits."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import safetensors.torch
import torch
from jaxtyping import Float, Int8
from pydantic import TypeAdapter
from torch import Tensor, nn

from oneshot.errors import OneshotError
from oneshot.files import find_sha256, load_safetensors, replacing

Precision = Literal["float32", "float16", "int8"]
SCALE = ".scale"  # ends the name of an int8 weight's scales
LARGEST_STEP = 127
TRAIN_AGAIN = "train the network again, or fetch the file"


class WeightsError(OneshotError):
    """A file of weights is missing, damaged, or does not fit the network it names."""


@dataclass(frozen=True)
class NetworkInfo:
    """The description of a network in a file of weights.

    `net` is its name in the task's registry, `settings` are its constructor's arguments; `training` is what
    is known of its training, such as name, recipe, n_seen, n_seen_before and seed. `statistics`: mean and std
    of the pixels that it was trained on, where images are normalised.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    task: str
    net: str
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, float] | None = None


def save_network(path: Path, net: nn.Module, info: NetworkInfo, dtype: Precision = "float32") -> None:
    """Write a network, all or nothing; int8 is for weights of two and more axes, the rest stays float32."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in net.state_dict().items():
        if dtype == "int8" and tensor.ndim >= 2:
            tensors[name], tensors[name + SCALE] = quantise(tensor)
        else:
            half = dtype == "float16" and tensor.is_floating_point()
            tensors[name] = tensor.half() if half else tensor
    save_tensors(path, tensors, asdict(info))


def load_network(path: Path, registry: Mapping[str, Callable[..., nn.Module]]) -> tuple[Any, NetworkInfo]:
    """Rebuild a trained network, on the CPU, in single precision, ready to evaluate.

    Raises:
        WeightsError: the file is missing or damaged, or holds another network than it says.
    """
    tensors, about = load_tensors(path)
    try:
        info = TypeAdapter(NetworkInfo).validate_python(about)
        for name in [name for name in tensors if name.endswith(SCALE)]:
            weight = name.removesuffix(SCALE)
            shape = (-1, *[1] * (tensors[weight].ndim - 1))
            tensors[weight] = tensors[weight].float() * tensors.pop(name).view(shape)
        net = registry[info.net](**info.settings)
        net.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"the weights at {path} do not fit the network they name; fetch or train them again."
        ) from error
    return net.eval(), info


def quantise(
    weight: Float[Tensor, "n_out *rest"],
) -> tuple[Int8[Tensor, "n_out *rest"], Float[Tensor, " n_out"]]:
    """Round every output channel to steps of its own scale, its largest at 127: at most half a step off."""
    rows = weight.detach().float().flatten(1)
    scale = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST_STEP
    steps = (rows / scale[:, None]).round().clamp(-LARGEST_STEP, LARGEST_STEP).to(torch.int8)
    return steps.view(weight.shape), scale


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description of them, all or nothing."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    described = about | {"sha256": content_sha256(whole, about)}
    with replacing(path) as file:
        file.write(safetensors.torch.save(whole, {"about": json.dumps(described)}))


def content_sha256(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """Give the hexadecimal SHA-256 of tensors, their names, kinds and shapes, and what describes them."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_tensors(path: Path, advice: str = TRAIN_AGAIN) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; advice: what to do about a damaged file, for the message.

    Raises:
        WeightsError: the file is missing or damaged, or was written by something else.
    """
    tensors, metadata = load_safetensors(path, "pt", advice, WeightsError)
    try:
        about = json.loads(metadata["about"])
    except (KeyError, ValueError):
        about = None
    if not isinstance(about, dict):
        raise WeightsError(f"{path} does not say what it holds, as this project's files do: {advice}.")
    # Released weights that are older have no sum; the record beside them has one of the whole file.
    if "sha256" in about and about.pop("sha256") != content_sha256(tensors, about):
        raise WeightsError(f"{path} is damaged (its SHA-256 is another): {advice}.")
    return tensors, about


def file_sha256(path: Path) -> str:
    """Give the hexadecimal SHA-256 of a file's bytes. Raises WeightsError if it is missing."""
    return find_sha256(path, TRAIN_AGAIN, WeightsError)
