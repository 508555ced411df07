"""Trained networks as safetensors files that say what they hold."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
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

    `statistics` are those of the training set; scenes to be evaluated bring their own.
    """

    net: str
    feature_maps: int
    recipe: str
    statistics: PixelStatistics
    n_scenes_seen: int


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


def save_weights(path: Path, net: nn.Module, info: WeightsInfo) -> None:
    save_tensors(path, net.state_dict(), asdict(info))


def load_weights(path: Path) -> tuple[nn.Module, WeightsInfo]:
    """Rebuild a trained network, on the CPU, ready to evaluate.

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
