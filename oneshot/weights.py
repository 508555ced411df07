"""Trained networks as safetensors files that say what they hold."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from oneshot.batches import PixelStatistics
from oneshot.errors import OneshotError
from oneshot.files import replacing
from oneshot.nets import NETS


class WeightsError(OneshotError):
    """A file of weights is missing, damaged, or does not fit the network it names."""


@dataclass(frozen=True)
class WeightsInfo:
    """What a file of weights holds, and how the network was trained.

    `statistics` are those of the training set; scenes to be evaluated bring their own. `n_scenes_before` were
    seen by the weights that this training began from, if any, and are not among `n_scenes_seen`.
    """

    net: str
    feature_maps: int
    recipe: str
    statistics: PixelStatistics
    n_scenes_seen: int
    n_scenes_before: int = 0


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description of them, all or nothing."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as file:
        file.write(safetensors.torch.save(whole, {"about": json.dumps(about)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote.

    Raises:
        WeightsError: the file is missing or damaged, or was written by something else.
    """
    if not path.is_file():
        raise WeightsError(f"there are no weights at {path}; train the network first, or fetch the file.")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118, not a dict
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise WeightsError(f"the weights at {path} are damaged or not this project's ({error}).") from error


def save_weights(path: Path, net: nn.Module, info: WeightsInfo, dtype: torch.dtype = torch.float32) -> None:
    """Write a network; torch.float16 halves the file. `load_weights` gives single precision again."""
    save_tensors(path, {name: tensor.to(dtype) for name, tensor in net.state_dict().items()}, asdict(info))


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes. Raises WeightsError if it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise WeightsError(
            f"there are no weights at {path}; train the network first, or fetch the file."
        ) from None


def load_weights(path: Path) -> tuple[nn.Module, WeightsInfo]:
    """Rebuild a trained network, on the CPU, in single precision, ready to evaluate.

    Raises:
        WeightsError: the file is missing or damaged, or holds another network than it says.
    """
    tensors, about = load_tensors(path)
    try:
        statistics = PixelStatistics(**about.pop("statistics"))
        info = WeightsInfo(**about, statistics=statistics)
        net = NETS[info.net](info.feature_maps)
        net.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"the weights at {path} do not fit the network they name; fetch or train them again."
        ) from error
    return net.eval(), info
