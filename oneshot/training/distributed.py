"""Several processes that train one network together, each on its share of every batch (torchrun)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from oneshot.errors import TrainingError


@dataclass(frozen=True)
class World:
    """Processes of a run: how many there are, which one this is, and the device it computes on."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def share(self, module: nn.Module) -> nn.Module:
        """Give the module with its gradients averaged over all processes; alone it stays as it is."""
        if self.size == 1:
            return module
        ids = [torch.device(self.device)] if self.device.startswith("cuda") else None
        return DistributedDataParallel(module, device_ids=ids)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Give the mean of a scalar over all processes, the same on each."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value

    def agree(self, wish: bool) -> bool:
        """Say if any process wishes it; all must ask at the same step."""
        if self.size == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.device)
        dist.all_reduce(wishes, dist.ReduceOp.MAX)
        return bool(wishes.item())

    def same_for_all(self, value: float) -> float:
        """Give process 0's value."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return told.item()

    def wait_for_all(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Take part in what torchrun started; alone without it. `device`: cpu, or cuda (each gets its own).

    Raises:
        TrainingError: there are more processes on this machine than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield World(0, 1, device)
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    if device == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise TrainingError(
                f"process {local_rank} of this machine finds {torch.cuda.device_count()} GPUs; start as many "
                "processes as there are GPUs."
            )
        device = f"cuda:{local_rank}"
        torch.cuda.set_device(device)
    if device.startswith("cuda"):
        dist.init_process_group("nccl", device_id=torch.device(device))
    else:
        dist.init_process_group("gloo")
    yield World(dist.get_rank(), size, device)
    # Not after an error: others may be waiting for this process, and only its end releases them.
    dist.destroy_process_group()
