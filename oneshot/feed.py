"""Training scenes in their order: rendered as they are needed, one window ahead of the training.

The training set of a clutter level is its jobs (2,000 scenes each; job j from the split's j-th seed). An
epoch visits every scene of the first `n_jobs` jobs once: jobs in a new order (epoch 0: as they come), cut
into windows, the scenes of a window shuffled. The order depends on seeds and positions only, never on how
many threads render, so training can go on from any step.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Int, UInt16

from oneshot.batches import (
    Batch,
    CodedScenes,
    Others,
    PixelStatistics,
    characters_behind,
    code,
    decode,
    pick_others,
)
from oneshot.errors import ParameterError
from oneshot.scenes import JOB_SCENES, Scenes, Targets
from oneshot.speed import Speed

RenderJob = Callable[[int, int], Scenes]  # (clutter level, job index) -> its scenes
RenderTargets = Callable[[int, UInt16[np.ndarray, "n k"], int], Targets]  # (level, characters, seed)

# What a random stream is for, so that no two share their numbers.
JOB_ORDER, SCENE_ORDER, OTHERS = range(3)


@dataclass(frozen=True)
class Phase:
    """So many scenes to train on, from jobs of these levels in turn (a level listed twice: twice as many)."""

    clutter_levels: tuple[int, ...]
    n_scenes: int


@dataclass(frozen=True)
class Slot:
    """One visit to a job."""

    clutter_level: int
    epoch: int
    job: int


@dataclass(frozen=True)
class Window:
    """Jobs whose scenes are shuffled together; the first `n_scenes` of the shuffled ones are trained on."""

    slots: tuple[Slot, ...]
    n_scenes: int


def epoch_order(seed: int, epoch: int, n_jobs: int) -> Int[np.ndarray, " n_jobs"]:
    """The order of an epoch's jobs: as they come in epoch 0, so that short runs see the same scenes."""
    if epoch == 0:
        return np.arange(n_jobs)
    return np.random.default_rng([seed, JOB_ORDER, epoch]).permutation(n_jobs)


def window_order(seed: int, window: int, n_scenes: int) -> Int[np.ndarray, " n_scenes"]:
    """The order of a window's scenes."""
    return np.random.default_rng([seed, SCENE_ORDER, window]).permutation(n_scenes)


def plan_windows(
    phases: Sequence[Phase], *, seed: int, n_jobs: int, n_window_jobs: int, n_job_scenes: int = JOB_SCENES
) -> list[Window]:
    """All windows of a training run. A level goes on through its jobs from phase to phase."""
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
    """Runs of at most `n_window_jobs` slots, none of which holds a level in two of its epochs."""
    windows: list[list[Slot]] = [[]]
    for slot in slots:
        another_epoch = any(
            other.clutter_level == slot.clutter_level and other.epoch != slot.epoch for other in windows[-1]
        )
        if another_epoch or len(windows[-1]) == n_window_jobs:
            windows.append([])
        windows[-1].append(slot)
    return windows


class Feed:
    """The batches of a training run, from any step on.

    Holds two windows of palette-coded scenes on the device (about 22 kB a scene): one that is trained on, one
    that `n_threads` threads render meanwhile (the rendering kernels release Python's lock). With
    `render_targets`, every batch brings what the matching loss needs.
    """

    def __init__(
        self,
        render_job: RenderJob,
        phases: Sequence[Phase],
        statistics: PixelStatistics,
        *,
        batch_size: int,
        seed: int,
        n_jobs: int,
        n_job_scenes: int = JOB_SCENES,
        n_window_jobs: int = 4,
        render_targets: RenderTargets | None = None,
        n_others: int = 3,
        n_threads: int = 1,
        speed: Speed | None = None,
    ) -> None:
        """
        Raises:
            ParameterError: a phase is empty, or a count is not positive.
        """
        for name, count in {
            "batch_size": batch_size,
            "n_jobs": n_jobs,
            "n_window_jobs": n_window_jobs,
        }.items():
            if count < 1:
                raise ParameterError(f"{name} is {count}; it must be at least 1.")
        if not phases or any(phase.n_scenes < 1 or not phase.clutter_levels for phase in phases):
            raise ParameterError(
                f"every phase of training needs clutter levels and scenes, unlike {phases!r}."
            )
        self.render_job = render_job
        self.render_targets = render_targets
        self.statistics = statistics
        self.batch_size = batch_size
        self.seed = seed
        self.n_threads = n_threads
        self.speed = speed or Speed()
        # The same number for all levels, so that batches can mix them.
        lowest = min(level for phase in phases for level in phase.clutter_levels)
        self.n_others = min(n_others, lowest - 1)
        self.windows = plan_windows(
            phases, seed=seed, n_jobs=n_jobs, n_window_jobs=n_window_jobs, n_job_scenes=n_job_scenes
        )
        steps = [math.ceil(window.n_scenes / batch_size) for window in self.windows]
        self.first_steps = [0, *accumulate(steps)]
        self.n_steps = self.first_steps[-1]
        self.n_scenes = sum(window.n_scenes for window in self.windows)

    def batches(self, first_step: int = 0) -> Iterator[Batch]:
        """Batches from a step on. A window whose scenes do not fill its last batch ends on a smaller one."""
        first_window = bisect_right(self.first_steps, first_step) - 1
        renderers, ahead = ThreadPoolExecutor(self.n_threads), ThreadPoolExecutor(1)
        try:
            # Submitting the next window before handing out this one keeps exactly one window ahead.
            loading: deque[Future[CodedScenes]] = deque()
            for number in range(first_window, len(self.windows) + 1):
                if number < len(self.windows):
                    loading.append(ahead.submit(self.load, self.windows[number], renderers))
                if number > first_window:
                    n_done = max(0, first_step - self.first_steps[number - 1])
                    yield from self.window_batches(number - 1, loading.popleft().result(), n_done)
        finally:
            ahead.shutdown(cancel_futures=True)
            renderers.shutdown(cancel_futures=True)

    def window_batches(self, number: int, scenes: CodedScenes, n_done: int) -> Iterator[Batch]:
        order = window_order(self.seed, number, len(scenes))[: self.windows[number].n_scenes]
        for which in torch.from_numpy(order).to(self.speed.device).split(self.batch_size)[n_done:]:
            yield decode(scenes, which, self.statistics, self.speed.memory_format)

    def sample(self, n_scenes: int) -> Batch:
        """The first scenes that training will see, in one batch."""
        with ThreadPoolExecutor(self.n_threads) as renderers:
            scenes = self.load(self.windows[0], renderers)
        order = window_order(self.seed, 0, len(scenes))[:n_scenes]
        which = torch.from_numpy(order).to(self.speed.device)
        return decode(scenes, which, self.statistics, self.speed.memory_format)

    def load(self, window: Window, renderers: ThreadPoolExecutor) -> CodedScenes:
        """Render a window's jobs and move them to the device."""
        parts = list(renderers.map(self.render, window.slots))
        levels = [slot.clutter_level for slot in window.slots]
        others = [other for _, other in parts if other is not None]
        return code([scenes for scenes, _ in parts], levels, others, self.speed.device)

    def render(self, slot: Slot) -> tuple[Scenes, Others | None]:
        """One job, and target images of some of its distractors: other ones in every epoch."""
        scenes = self.render_job(slot.clutter_level, slot.job)
        if self.render_targets is None:
            return scenes, None
        generator = np.random.default_rng([self.seed, OTHERS, slot.clutter_level, slot.epoch, slot.job])
        labels = pick_others(len(scenes), slot.clutter_level, self.n_others, generator)
        characters = characters_behind(scenes, labels)
        targets = self.render_targets(slot.clutter_level, characters, int(generator.integers(2**32)))
        return scenes, Others(labels, targets)
