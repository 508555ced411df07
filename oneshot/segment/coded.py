"""Tensors that hold coded scenes, one entry a scene: how they are joined and copied from device to device."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from oneshot.training.memory import pin


@dataclass(frozen=True)
class Coded:
    """Tensors on one device, whose first axes count the same scenes; subclasses name them."""

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    @property
    def n_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """Give by name those that are there."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    def to(self: "AnyCoded", device: str) -> "AnyCoded":
        """Copy to another device; the copy to a GPU neither waits for the work queued there nor delays it."""
        if torch.device(device).type != "cuda":
            moved = {name: tensor.to(device) for name, tensor in self.tensors().items()}
            return replace(self, **cast(Any, moved))
        if all(tensor.is_cuda for tensor in self.tensors().values()):
            return self
        stream = torch.cuda.Stream(device)
        with torch.cuda.stream(stream):
            moved = {
                name: tensor if tensor.is_cuda else pin(tensor).to(device, non_blocking=True)
                for name, tensor in self.tensors().items()
            }
        stream.synchronize()
        for tensor in moved.values():
            # Allocated beside the stream that will read them: not to be handed out again before that is done.
            tensor.record_stream(torch.cuda.default_stream(device))
        return replace(self, **cast(Any, moved))


AnyCoded = TypeVar("AnyCoded", bound=Coded)


def join_coded(parts: Sequence[AnyCoded]) -> AnyCoded:
    """Join several parts, of different clutter levels too; all on one device."""
    joined = {}
    for name in parts[0].tensors():
        tensors = [getattr(part, name) for part in parts]
        if name == "palette":
            n_labels = max(palette.shape[1] for palette in tensors)
            tensors = [widen(palette, n_labels) for palette in tensors]
        joined[name] = join_tensors(tensors)
    return replace(parts[0], **cast(Any, joined))


def join_tensors(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors as torch.cat does; on a CPU without the threads that torch would start.

    Called beside a training loop, torch.cat made every step take 330 ms instead of 138 (two cores, 8 feature
    maps): its pool of threads and that of the loop then wait for one another.
    """
    if tensors[0].is_cuda:
        return torch.cat(list(tensors), axis)
    return torch.from_numpy(np.concatenate([tensor.numpy() for tensor in tensors], axis))


def widen(palette: UInt8[Tensor, "n some_labels 3"], n_labels: int) -> UInt8[Tensor, "n {n_labels} 3"]:
    """Give a palette with room for more labels, which stay black."""
    n, n_before, _ = palette.shape
    black = torch.from_numpy(np.zeros((n, n_labels - n_before, 3), np.uint8)).to(palette.device)
    return join_tensors([palette, black], axis=1)
