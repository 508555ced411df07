"""Room and threads for rendered scenes: what this machine, or its GPU, has to spare."""

import math
import os
from collections import Counter
from collections.abc import Sequence

import psutil
import torch

from oneshot.clutter.scenes import JOB_SCENES
from oneshot.segment.phases import Phase

MEMORY_SHARE = 0.4  # of what is free on a GPU, or else on the machine, for rendered scenes
BYTES_A_SCENE = 12_000  # at most, packed, with its characters


def choose_memory(
    phases: Sequence[Phase], n_jobs: int, device: str, n_bytes_held: int = 0
) -> tuple[str, int]:
    """Choose where rendered scenes are kept, and how many bytes: on the GPU if all fit, else beside it.

    `n_bytes_held` of them are there already. What training has taken of a GPU at its most is left to it.
    """
    n_visits: Counter[int] = Counter()
    for phase in phases:
        for level in phase.clutter_levels:
            n_visits[level] += math.ceil(phase.n_scenes / JOB_SCENES / len(phase.clutter_levels))
    n_kept = sum(min(n_jobs, n) for n in n_visits.values())
    needed = n_kept * JOB_SCENES * BYTES_A_SCENE
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) + n_bytes_held
        on_device = int(MEMORY_SHARE * max(0, free - torch.cuda.max_memory_allocated(device)))
        if needed <= on_device:
            return device, on_device
    return "cpu", int(MEMORY_SHARE * psutil.virtual_memory().available / count_local_processes())


def count_threads(device: str) -> int:
    """Count threads to render: beside a GPU this process's cores but one, which feeds it; on a CPU one."""
    if not device.startswith("cuda"):
        return 1
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, n_cores // count_local_processes() - 1)


def count_local_processes() -> int:
    """Count the processes that share this machine (torchrun says so)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))
