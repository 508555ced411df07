"""Measurements before a training begins: how it runs fastest, and how much of a batch memory holds."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from oneshot.errors import ParameterError, TrainingError
from oneshot.training.distributed import World
from oneshot.training.fit import Feed, Recipe, Stepper, copy_state, go_back, naming_full_training
from oneshot.training.memory import is_full, notice
from oneshot.training.speed import Speed

WARM_UP_STEPS = 3
STEPS_A_READING = 5
MEASURED_SECONDS = 5.0
TRIAL_SHARE = 0.05  # of the seconds there are: at most so much to compile as CUDA graphs, or to measure


@dataclass(frozen=True)
class Measured:
    """Steps of a training, how many it takes a second, and the seconds until the first: compilation."""

    stepper: Stepper
    steps_a_second: float
    start_seconds: float = 0.0


def measure_training(
    loss: nn.Module,
    feed: Feed,
    recipe: Recipe,
    batches: Iterator[Any],
    *,
    seconds: float = MEASURED_SECONDS,
    budget: float = math.inf,
    speed: Speed,
    world: World,
) -> Measured:
    """Measure a training for so many seconds, compilation left out; the network stays as it was.

    Where `speed` leaves it open, other ways to run are measured, too, and the fastest is taken; as CUDA
    graphs only if compiling again takes a small share of the `budget`, the seconds that there are. A batch
    that memory does not hold is gone through in parts.

    Raises:
        TrainingError: memory does not hold a batch, which cannot be gone through in parts, either.
    """
    speed.place(loss).train()
    before, shared = copy_state(loss), world.share(loss)

    def measure_at(speed: Speed, seconds: float) -> Measured:
        stepper = Stepper(shared, speed)
        optimizers = recipe.optimizers(loss, speed.fused)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = 0.0
        with speed.running(), naming_full_training(feed, speed):
            return measure_steps(stepper, batches, optimizers, seconds, world)

    first = best = measure_at(speed.decided(speed.parts), seconds)
    most = TRIAL_SHARE * budget
    # Several processes would wait for one another if one of them ran out of memory.
    for other in speed.others() if world.size == 1 else []:
        if other.cuda_graphs and not may_try_graphs(first, most):
            continue
        try:
            found = measure_at(other, min(seconds, most))
        except TrainingError:
            continue  # it needs more memory
        if found.steps_a_second > best.steps_a_second:
            best = found
    loss.load_state_dict(before)
    return best


def may_try_graphs(compiled: Measured, seconds: float) -> bool:
    """Say if CUDA graphs can be tried: they take as long to compile, and as much memory, once more."""
    if compiled.stepper.part_size is not None or compiled.start_seconds > seconds:
        return False
    device = compiled.stepper.speed.device
    return torch.cuda.mem_get_info(device)[0] > torch.cuda.max_memory_allocated(device)


def measure_steps(
    stepper: Stepper, batches: Iterator[Any], optimizers: list[Optimizer], seconds: float, world: World
) -> Measured:
    """Measure steps at one speed, at least once however few the seconds are."""
    started = time.perf_counter()
    fit_into_memory(stepper, next(batches), world)
    for optimizer in optimizers:
        optimizer.zero_grad()
    for _ in range(WARM_UP_STEPS):
        stepper.step(next(batches), optimizers).item()
    start_seconds = time.perf_counter() - started
    n_steps, measured = 0, 0.0
    while not n_steps or measured < seconds:
        started = time.perf_counter()
        losses = [stepper.step(next(batches), optimizers) for _ in range(STEPS_A_READING)]
        losses[-1].item()
        measured += time.perf_counter() - started
        n_steps += STEPS_A_READING
        measured = world.same_for_all(measured)
    return Measured(stepper, n_steps / measured, world.same_for_all(start_seconds))


def fit_into_memory(stepper: Stepper, batch: Any, world: World) -> None:
    """Find how much of a batch memory holds forwards and backwards: all of it, or an equal part.

    Only of a loss that is a mean over its scenes or pairs (`splits`), so that parts add up to the same; batch
    norm would take its statistics from a part. CUDA graphs would write one part's gradients over another's.
    """
    n = len(batch[0]) if isinstance(batch, tuple) else len(batch)
    loss = getattr(stepper.shared, "module", stepper.shared)
    normed = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in loss.modules())
    may_split = loss.splits and not normed and not stepper.speed.cuda_graphs and world.size == 1
    for size in [size for size in range(n, 0, -1) if n % size == 0]:
        stepper.part_size = None if size == n else size
        try:
            go_back(stepper.forward, batch, stepper.speed, stepper.part_size)
        except (MemoryError, RuntimeError) as error:
            if not is_full(error) or not may_split or size == 1:
                raise
        else:
            if size < n:
                notice(f"memory holds {size} of a batch of {n} at a time: their gradients are summed up")
            return
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def check_budget(seconds: float, left: float, needed: float, rate: str) -> None:
    """Raise ParameterError if the seconds that are left of a budget are fewer than are needed."""
    if left < needed:
        raise ParameterError(
            f"{seconds:.0f} s are too few to train in: {max(0.0, left):.0f} s are left after the start, "
            f"compilation included, at {rate}."
        )
