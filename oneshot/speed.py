"""How a network is run, apart from what it computes: device, precision, memory order, compilation."""

from dataclasses import dataclass

import torch

from oneshot.errors import TrainingError


@dataclass(frozen=True)
class Speed:
    """Settings laid over the plain float32 path from outside; tests compare them with it."""

    device: str = "cpu"
    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16)


def choose_speed(device: str) -> Speed:
    """The settings for a device: cpu, cuda, or auto (a GPU if there is one).

    Float32 everywhere: on a CPU without units for bfloat16 (AMD Zen 3) that ran at a tenth of the speed.

    Raises:
        TrainingError: a GPU is asked for, and there is none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is 'cuda', but PyTorch finds no GPU here; set it to auto or cpu.")
    return Speed(device=device)
