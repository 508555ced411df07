"""How a network is run, apart from what it computes: device, precision, memory order, compilation."""

from dataclasses import dataclass

import torch


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
