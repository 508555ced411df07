"""Training scenes in the order of `oneshot.segment.windows`: rendered ahead, decoded on the device.

The order never depends on how many threads render or how much is kept in memory, so that training can go on
from any step.
"""

import math
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int, UInt16
from torch import Tensor

from oneshot.clutter.scenes import JOB_SCENES, Targets
from oneshot.errors import ParameterError
from oneshot.segment.batches import (
    LOCATION,
    CodedScenes,
    PixelStatistics,
    SceneStatistics,
    characters_behind,
    decode,
    pick_locations,
    pick_others,
    statistics_of_scenes,
    with_others,
)
from oneshot.segment.coded import Coded, join_coded
from oneshot.segment.phases import Phase
from oneshot.segment.render_ahead import Job, Stock
from oneshot.segment.windows import (
    LOCATIONS,
    OTHERS,
    Slot,
    Window,
    deal_windows,
    plan_windows,
    window_order,
)
from oneshot.training.distributed import World
from oneshot.training.fit import to_device
from oneshot.training.speed import Speed

N_DISTRACTORS = 3  # of a scene, with a target image each, for the matching loss
Decode = Callable[[Any, Tensor, SceneStatistics, torch.memory_format], Any]
RenderTargets = Callable[[int, UInt16[np.ndarray, "n k"], int], Targets]  # (level, characters, seed)


class SceneFeed:
    """The batches of a training run, from any step on.

    Scenes come from a stock of rendered jobs. Two windows of them lie on the device (11 kB a scene): one that
    is trained on, one that a thread puts together meanwhile. `statistics` are one's for all, or by clutter
    level: every scene is normalised with those of its level, as in evaluation. With `render_targets`, every
    batch brings what the matching loss needs; with `n_locations`, so many random locations of every scene,
    for MaskNet. `batch_size` is shared by all processes of `world`, each of which gets as many scenes of its
    own. `seconds_waited` grows while a batch is asked for and not there.
    """

    def __init__(
        self,
        stock: Stock,
        phases: Sequence[Phase],
        statistics: PixelStatistics | Mapping[int, PixelStatistics],
        *,
        batch_size: int,
        seed: int,
        n_jobs: int,
        n_job_scenes: int = JOB_SCENES,
        n_window_jobs: int = 4,
        decode: Decode = decode,
        render_targets: RenderTargets | None = None,
        n_locations: int = 0,
        speed: Speed | None = None,
        world: World | None = None,
    ) -> None:
        """
        Raises:
            ParameterError: the processes cannot share a batch evenly, or are more than the scenes.
        """
        world = world or World()
        if batch_size % world.size:
            raise ParameterError(
                f"batch_size is {batch_size}, which {world.size} processes cannot share evenly."
            )
        self.stock = stock
        self.decode_scenes = decode
        self.render_targets = render_targets
        levels = {level for phase in phases for level in phase.clutter_levels}
        if isinstance(statistics, PixelStatistics):
            statistics = dict.fromkeys(levels, statistics)
        self.statistics = statistics
        self.batch_size = batch_size // world.size
        self.seed = seed
        self.rank, self.n_processes = world.rank, world.size
        self.n_locations = n_locations
        self.speed = speed or Speed()
        self.seconds_waited = 0.0
        # The same number for all levels, so that batches can mix them.
        self.n_others = min(N_DISTRACTORS, min(levels) - 1)
        windows = plan_windows(
            phases, seed=seed, n_jobs=n_jobs, n_window_jobs=n_window_jobs, n_job_scenes=n_job_scenes
        )
        self.windows = deal_windows(windows, world.rank, world.size)
        if not self.windows:
            raise ParameterError(f"{phases!r} holds too few scenes for {world.size} processes.")
        steps = [math.ceil(window.n_scenes / self.batch_size) for window in self.windows]
        self.first_steps = [0, *accumulate(steps)]
        self.n_steps = self.first_steps[-1]
        self.n_scenes = world.size * sum(window.n_scenes for window in self.windows)

    def batches(self, first_step: int = 0) -> Iterator[Any]:
        """Give batches from a step on; a window that does not fill its last one ends on a smaller one."""
        first_window = bisect_right(self.first_steps, first_step) - 1
        places = self.plan_stock(first_window)
        helpers, ahead = ThreadPoolExecutor(len(self.stock.threads)), ThreadPoolExecutor(1)
        try:
            # Submitting the next window before handing out this one keeps exactly one window ahead.
            loading: deque[Future[Coded]] = deque()
            for number in range(first_window, len(self.windows) + 1):
                if number < len(self.windows):
                    first_place = places[number - first_window]
                    loading.append(ahead.submit(self.load, self.windows[number], first_place, helpers))
                if number > first_window:
                    n_done = max(0, first_step - self.first_steps[number - 1])
                    started = time.perf_counter()
                    scenes = loading.popleft().result()
                    self.seconds_waited += time.perf_counter() - started
                    yield from self.window_batches(number - 1, scenes, n_done)
        finally:
            ahead.shutdown(cancel_futures=True)
            helpers.shutdown(cancel_futures=True)

    def count(self, batch: Any) -> int:
        return len(batch) * self.n_processes

    def ends_epoch(self, step: int) -> bool:
        """Say no: a network for segmentation is not validated while it trains."""
        return False

    def plan_stock(self, first_window: int) -> list[int]:
        """Tell the stock what is needed from a window on; where in its plan every window begins."""
        windows = self.windows[first_window:]
        self.stock.plan([(slot.clutter_level, slot.job) for window in windows for slot in window.slots])
        return [0, *accumulate(len(window.slots) for window in windows)]

    def window_batches(self, number: int, scenes: Coded, n_done: int) -> Iterator[Any]:
        which = to_device(torch.from_numpy(self.order(number, len(scenes))), self.speed)
        locations = to_device(torch.from_numpy(self.pick_locations(number, scenes)), self.speed)
        statistics = self.statistics_of(number, len(scenes))
        size = self.batch_size
        for chosen, places in list(zip(which.split(size), locations.split(size), strict=True))[n_done:]:
            yield self.decode(scenes, chosen, statistics, places)

    def statistics_of(self, number: int, n_loaded: int) -> SceneStatistics:
        """Give those of a window's loaded scenes, which are of several clutter levels maybe."""
        slots = self.windows[number].slots
        parts = [self.statistics[slot.clutter_level] for slot in slots]
        return statistics_of_scenes(parts, n_loaded // len(slots), self.speed.device)

    def pick_locations(self, number: int, scenes: Any) -> Int[np.ndarray, "n n_locations_plus_1"]:
        """Pick random locations, for MaskNet, of all scenes of a window; else no numbers at all."""
        n_scenes = self.windows[number].n_scenes
        if not self.n_locations:
            return np.empty((n_scenes, 0), np.int64)
        h, w = scenes.labels.shape[1:]
        generator = np.random.default_rng([self.seed, LOCATIONS, number, self.rank])
        return pick_locations(n_scenes, self.n_locations, (h // LOCATION) * (w // LOCATION), generator)

    def decode(
        self,
        scenes: Coded,
        chosen: Int[Tensor, " b"],
        statistics: SceneStatistics,
        places: Int[Tensor, "b n_locations_plus_1"],
    ) -> Any:
        """Make the batch of some scenes, with what was picked for them; statistics of all scenes."""
        batch = self.decode_scenes(scenes, chosen, statistics.of(chosen), self.speed.memory_format)
        if not self.n_locations:
            return batch
        return replace(batch, locations=places[:, :-1], corners=places[:, -1])

    def order(self, number: int, n_loaded: int) -> Int[np.ndarray, " n_scenes"]:
        """Choose which of a window's loaded scenes are trained on, in order."""
        window = self.windows[number]
        shuffled = window_order(self.seed, number, n_loaded)
        return shuffled[window.first :: window.stride][: window.n_scenes]

    def load_first(self) -> Coded:
        """Load the first window's scenes, not yet shuffled; to be asked for before `batches`."""
        first_place = self.plan_stock(0)[0]
        with ThreadPoolExecutor(len(self.stock.threads)) as helpers:
            return self.load(self.windows[0], first_place, helpers)

    def sample(self, n_scenes: int) -> Any:
        """Give the first scenes that training will see, in one batch; to be asked for before `batches`."""
        scenes = self.load_first()
        which = torch.from_numpy(self.order(0, len(scenes))[:n_scenes]).to(self.speed.device)
        statistics = self.statistics_of(0, len(scenes)).of(which)
        return self.decode_scenes(scenes, which, statistics, self.speed.memory_format)

    def repeat(self, scenes: Coded) -> Iterator[Any]:
        """Give the same batch of the first window's scenes, decoded again and again, to measure with."""
        which = torch.arange(self.batch_size, device=self.speed.device)
        places = to_device(torch.from_numpy(self.pick_locations(0, scenes)), self.speed)
        statistics = self.statistics_of(0, len(scenes))
        while True:
            yield self.decode(scenes, which % len(scenes), statistics, places[which % len(places)])

    def load(self, window: Window, first_place: int, helpers: ThreadPoolExecutor) -> Coded:
        """Put a window's jobs together on the device; `first_place`: of the first one in the stock's plan."""

        def fetch(number: int) -> Coded:
            job = self.stock.take(first_place + number)
            return self.complete(job, window.slots[number])

        return join_coded(list(helpers.map(fetch, range(len(window.slots)))))

    def complete(self, job: Job, slot: Slot) -> Coded:
        """Put a job on the device, with targets of some of its distractors: other ones in every epoch."""
        if self.render_targets is None:
            return job.scenes.to(self.speed.device)
        generator = np.random.default_rng([self.seed, OTHERS, slot.clutter_level, slot.epoch, slot.job])
        labels = pick_others(len(job.scenes), slot.clutter_level, self.n_others, generator)
        characters = characters_behind(job.characters, labels)
        targets = self.render_targets(slot.clutter_level, characters, int(generator.integers(2**32)))
        coded = with_others(cast(CodedScenes, job.scenes), slot.clutter_level, labels, targets)
        return coded.to(self.speed.device)
