"""A whole training run: the scenes that a recipe asks for, as many of them as fit into the time there is."""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor

from oneshot.clutter.scenes import JOB_SCENES
from oneshot.errors import ParameterError
from oneshot.published import CLUTTER_LEVELS
from oneshot.segment.batches import Batch, PixelStatistics
from oneshot.segment.feed import Feed, Phase
from oneshot.segment.losses import Objective
from oneshot.segment.recipes import Recipe
from oneshot.segment.render_ahead import Stock
from oneshot.segment.training_set import TrainingSet
from oneshot.training.distributed import World
from oneshot.training.fit import LogPoint, Progress, fit, naming_full_memory, read_progress, train_step
from oneshot.training.speed import Speed

N_WINDOW_JOBS = 4
MEMORY_SHARE = 0.4  # of what is free on a GPU, or else on the machine, for rendered scenes
BYTES_A_SCENE = 12_000  # at most, packed, with its characters
WARM_UP_STEPS = 3
STEPS_A_READING = 10
MEASURED_SECONDS = 5.0
MARGIN = 0.97  # of the time left, for what is slower than it was measured


@dataclass(frozen=True)
class Outcome:
    """What came of a training run, apart from the network itself."""

    progress: Progress
    phases: tuple[Phase, ...]


def train(
    loss: Objective,
    training_set: TrainingSet,
    recipe: Recipe,
    phases: Sequence[Phase],
    *,
    statistics: Mapping[int, PixelStatistics],
    checkpoint: Path,
    seed: int,
    n_jobs: int,
    n_epochs: int | None = None,
    seconds: float | None = None,
    deadline: float = math.inf,
    log_every: int = 100,
    checkpoint_seconds: float = 60.0,
    on_log: Callable[[LogPoint], None] = lambda point: None,
    stop: Callable[[], bool] = lambda: False,
    speed: Speed | None = None,
    world: World | None = None,
) -> Outcome:
    """Train what `loss` trains on the phases, or go on from `checkpoint`; a deadline or `stop` end it early.

    With `seconds`, from this call on, the phases are cut in proportion to what fits, by the speed of this
    recipe on this device, measured first; the rates follow the cut phases (1/2, 3/4, 7/8 for the published
    halvings). A run that goes on from a checkpoint keeps the phases that it began with. `deadline` is of
    `time.monotonic`.

    Raises:
        ParameterError: too little time for one step, or a number is out of range.
        TrainingError, WeightsError: as `oneshot.training.fit.fit`.
    """
    started = time.monotonic()
    speed, world = speed or Speed(), world or World()
    device, memory_bytes = choose_memory(phases[-1:], n_jobs, speed.device)

    def make_feed(phases: Sequence[Phase]) -> Feed:
        return Feed(
            stock, phases, statistics, batch_size=recipe.batch_size, seed=seed, n_jobs=n_jobs,
            n_window_jobs=N_WINDOW_JOBS, speed=speed, world=world, n_locations=loss.n_locations,
            render_targets=training_set.render_targets if loss.needs_others else None,
        )  # fmt: skip

    with Stock(
        training_set.render_job, memory_bytes=memory_bytes, n_ahead=2 * N_WINDOW_JOBS,
        n_threads=count_threads(speed.device), device=device,
    ) as stock:  # fmt: skip
        if checkpoint.exists():
            kept = tuple(read_progress(checkpoint).phases)
            n_epochs = n_epochs if kept == tuple(phases) else None
            phases = kept
        elif seconds is not None:
            feed = make_feed(phases)
            batches = feed.repeat(feed.load_first())
            # The last level's jobs take longest: their rendering starts while the network is compiled.
            stock.plan([(max(phases[-1].clutter_levels), job) for job in range(n_jobs)])
            rate = world.same_for_all(measure_rate(loss, recipe, batches, speed, world))
            left = MARGIN * (seconds - (time.monotonic() - started))
            n_scenes = int(world.same_for_all(rate * left))
            if n_scenes < recipe.batch_size * len(phases):
                raise ParameterError(
                    f"{seconds:.0f} s are too few to train in: {left:.0f} s are left after the start, at "
                    f"{rate:.1f} scenes a second."
                )
            if n_scenes < sum(phase.n_scenes for phase in phases):
                phases, n_epochs = cut(phases, n_scenes, recipe.batch_size), None
        stock.device, stock.memory_bytes = choose_memory(phases, n_jobs, speed.device, stock.n_bytes)
        progress = fit(
            loss, make_feed(phases), recipe, checkpoint=checkpoint, phases=phases, n_epochs=n_epochs,
            log_every=log_every, checkpoint_seconds=checkpoint_seconds, deadline=deadline, on_log=on_log,
            stop=stop, speed=speed, world=world,
        )  # fmt: skip
    return Outcome(progress, tuple(phases))


def climb(clutter_level: int, n_scenes: int, lower_share: float, unit: int = 1) -> tuple[Phase, ...]:
    """A share of the scenes at the lower clutter levels, as many at each, from 4 up; then the level itself.

    Each lower level gets a multiple of `unit`, such as the batch size, so that batches are of one size.

    Raises:
        ParameterError: the share is not within 0 and 1 (excluded).
    """
    lower = [(level,) for level in CLUTTER_LEVELS if level < clutter_level]
    return lead_up([*lower, (clutter_level,)], n_scenes, lower_share, unit)


def widen(n_scenes: int, lower_share: float, unit: int = 1) -> tuple[Phase, ...]:
    """A share of the scenes on growing mixes of clutter levels, as many on each: 4, then 4 and 8, and so on;
    the rest on all seven levels in turn.

    Raises:
        ParameterError: the share is not within 0 and 1 (excluded).
    """
    mixes = [CLUTTER_LEVELS[:n] for n in range(1, len(CLUTTER_LEVELS) + 1)]
    return lead_up(mixes, n_scenes, lower_share, unit)


def lead_up(
    mixes: Sequence[tuple[int, ...]], n_scenes: int, lower_share: float, unit: int
) -> tuple[Phase, ...]:
    """The share, in multiples of `unit`, over all mixes of clutter levels but the last; then the last."""
    if not 0 <= lower_share < 1:
        raise ParameterError(f"lower_levels is {lower_share}; it must be at least 0 and below 1.")
    *lower, last = mixes
    n_each = int(n_scenes * lower_share / len(lower) / unit) * unit if lower else 0
    if n_each == 0:
        return (Phase(last, n_scenes),)
    return (*(Phase(mix, n_each) for mix in lower), Phase(last, n_scenes - n_each * len(lower)))


def cut(phases: Sequence[Phase], n_scenes: int, batch_size: int) -> tuple[Phase, ...]:
    """The phases in proportion, `n_scenes` at most in all where each has its smallest part.

    Long phases end with a window, short ones with a batch: the sizes of batches do not change, for which a
    network would have to be compiled again.
    """
    share = n_scenes / sum(phase.n_scenes for phase in phases)
    window = N_WINDOW_JOBS * JOB_SCENES
    shortened = []
    for phase in phases:
        wanted = phase.n_scenes * share
        unit = window if wanted >= 10 * window else batch_size
        shortened.append(Phase(phase.clutter_levels, max(batch_size, int(wanted / unit) * unit)))
    return tuple(shortened)


def measure_rate(
    loss: Objective, recipe: Recipe, batches: Iterator[Batch], speed: Speed, world: World
) -> float:
    """Scenes a second that all processes train on, rendering left out; the network stays as it was."""

    def step() -> Tensor:
        return train_step(forward, next(batches), optimizers, 0.0, speed)

    speed.place(loss).train()
    before = {name: tensor.clone() for name, tensor in loss.state_dict().items()}
    optimizers = recipe.optimizers(loss, recipe.lr, speed.fused)
    forward = speed.compile(world.share(loss))
    n_steps, seconds = 0, 0.0
    with speed.running(), naming_full_memory(recipe, speed):
        for _ in range(WARM_UP_STEPS):
            step().item()
        while seconds < MEASURED_SECONDS:
            started = time.perf_counter()
            losses = [step() for _ in range(STEPS_A_READING)]
            losses[-1].item()
            seconds += time.perf_counter() - started
            n_steps += STEPS_A_READING
            seconds = world.same_for_all(seconds)
    loss.load_state_dict(before)
    return n_steps * recipe.batch_size / seconds


def choose_memory(
    phases: Sequence[Phase], n_jobs: int, device: str, n_bytes_held: int = 0
) -> tuple[str, int]:
    """Where rendered scenes are kept, and how many bytes of them: on the GPU if all fit, else beside it.

    `n_bytes_held` of them are there already.
    """
    n_visits: Counter[int] = Counter()
    for phase in phases:
        for level in phase.clutter_levels:
            n_visits[level] += math.ceil(phase.n_scenes / JOB_SCENES / len(phase.clutter_levels))
    n_kept = sum(min(n_jobs, n) for n in n_visits.values())
    needed = n_kept * JOB_SCENES * BYTES_A_SCENE
    if device.startswith("cuda"):
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        on_device = int(MEMORY_SHARE * (torch.cuda.mem_get_info(device)[0] + unused + n_bytes_held))
        if needed <= on_device:
            return device, on_device
    return "cpu", int(MEMORY_SHARE * psutil.virtual_memory().available / count_local_processes())


def count_threads(device: str) -> int:
    """Threads that render: beside a GPU this process's cores but one, which feeds it; on a CPU one."""
    if not device.startswith("cuda"):
        return 1
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, n_cores // count_local_processes() - 1)


def count_local_processes() -> int:
    """Processes that share this machine (torchrun says so)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))
