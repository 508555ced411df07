"""The order of training scenes: visits to jobs, in windows whose scenes are shuffled.

The training set of a clutter level is its jobs (2,000 scenes each; job j from the split's j-th seed). An
epoch visits every scene of the first `n_jobs` jobs once: jobs in a new order (epoch 0: as they come), cut
into windows, the scenes of a window shuffled. The order depends on seeds and positions only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from oneshot.clutter.scenes import JOB_SCENES
from oneshot.segment.phases import Phase

# What a random stream is for, so that no two share their numbers.
JOB_ORDER, SCENE_ORDER, OTHERS, LOCATIONS = range(4)


@dataclass(frozen=True)
class Slot:
    """One visit to a job."""

    clutter_level: int
    epoch: int
    job: int


@dataclass(frozen=True)
class Window:
    """Jobs whose scenes are shuffled together; of the shuffled ones, `n_scenes` are trained on.

    They are every `stride`-th one, from the `first` on.
    """

    slots: tuple[Slot, ...]
    n_scenes: int
    first: int = 0
    stride: int = 1


@lru_cache(maxsize=16)
def epoch_order(seed: int, epoch: int, n_jobs: int) -> Int[np.ndarray, " n_jobs"]:
    """Order an epoch's jobs: as they come in epoch 0, so that short runs see the same scenes."""
    if epoch == 0:
        return np.arange(n_jobs)
    return np.random.default_rng([seed, JOB_ORDER, epoch]).permutation(n_jobs)


def window_order(seed: int, window: int, n_scenes: int) -> Int[np.ndarray, " n_scenes"]:
    """Order a window's scenes."""
    return np.random.default_rng([seed, SCENE_ORDER, window]).permutation(n_scenes)


def deal_windows(windows: Sequence[Window], rank: int, size: int) -> list[Window]:
    """Give one process its share of every window, as large as any other's: whole jobs where possible.

    Otherwise every process renders all of the window's jobs and takes its share of their scenes. Up to
    `size` - 1 scenes of a window are left out.
    """
    shares = []
    for window in windows:
        n_scenes = window.n_scenes // size
        if len(window.slots) % size == 0:
            shares.append(Window(window.slots[rank::size], n_scenes))
        else:
            shares.append(Window(window.slots, n_scenes, first=rank, stride=size))
    return [share for share in shares if share.n_scenes]


def plan_windows(
    phases: Sequence[Phase], *, seed: int, n_jobs: int, n_window_jobs: int, n_job_scenes: int = JOB_SCENES
) -> list[Window]:
    """Lay out all windows of a training run. A level goes on through its jobs from phase to phase."""
    windows = []
    n_visits = {level: 0 for phase in phases for level in phase.clutter_levels}
    for phase in phases:
        slots = []
        for turn in range(math.ceil(phase.n_scenes / n_job_scenes)):
            level = phase.clutter_levels[turn % len(phase.clutter_levels)]
            epoch, place = divmod(n_visits[level], n_jobs)
            n_visits[level] += 1
            slots.append(Slot(level, epoch, int(epoch_order(seed, epoch, n_jobs)[place])))
        left = phase.n_scenes
        for together in cut_windows(slots, n_window_jobs):
            windows.append(Window(tuple(together), min(left, len(together) * n_job_scenes)))
            left -= windows[-1].n_scenes
    return windows


def cut_windows(slots: Sequence[Slot], n_window_jobs: int) -> list[list[Slot]]:
    """Cut runs of at most `n_window_jobs` slots, none of which holds a level in two of its epochs."""
    windows: list[list[Slot]] = [[]]
    for slot in slots:
        another_epoch = any(
            other.clutter_level == slot.clutter_level and other.epoch != slot.epoch for other in windows[-1]
        )
        if another_epoch or len(windows[-1]) == n_window_jobs:
            windows.append([])
        windows[-1].append(slot)
    return windows
