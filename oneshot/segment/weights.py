"""Segmentation networks as safetensors files that say what they hold."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from oneshot.segment.batches import PixelStatistics
from oneshot.segment.nets import NETS
from oneshot.training.tensors import WeightsError, load_tensors, save_tensors


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


def save_weights(path: Path, net: nn.Module, info: WeightsInfo, dtype: torch.dtype = torch.float32) -> None:
    """Write a network; torch.float16 halves the file. `load_weights` gives single precision again."""
    save_tensors(path, {name: tensor.to(dtype) for name, tensor in net.state_dict().items()}, asdict(info))


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
