"""Training: one flat loop for every network, which can be killed at any moment and goes on as if not."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from oneshot.errors import TrainingError
from oneshot.training.distributed import World
from oneshot.training.progress import LogPoint, Progress, State, load_checkpoint, save_checkpoint
from oneshot.training.speed import Speed

WARM_UP_STEPS = 3
STEPS_A_READING = 5
MEASURED_SECONDS = 5.0


@runtime_checkable
class Feed(Protocol):
    """Batches in an order that does not depend on where training begins.

    A batch is what the loss takes: one object that lies on the device, or a tuple of tensors on the CPU.
    """

    n_steps: int
    batch_size: int
    seconds_waited: float  # grows while a batch is asked for and not there

    def batches(self, first_step: int = 0) -> Iterator[Any]: ...

    def count(self, batch: Any) -> int:
        """Count the scenes, pairs or episodes of a batch, those of all processes."""

    def ends_epoch(self, step: int) -> bool:
        """Say if the first `step` steps end with an epoch, after which a network is validated."""


@runtime_checkable
class Recipe(Protocol):
    """A way to train, apart from the data."""

    @property
    def name(self) -> str: ...

    @property
    def patience(self) -> int | None:
        """Validations without a better one before training stops; None: it does not."""

    def optimizers(self, loss: Any, fused: bool) -> list[Optimizer]: ...

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: Any) -> float:
        """Set what a step takes; give the learning rate, for the curve."""

    def prepare(self, loss: Any, feed: Any) -> None:
        """Set an untrained network up, in plain precision, before its first step."""


def fit(
    loss: nn.Module,
    feed: Feed,
    recipe: Recipe,
    *,
    checkpoint: Path,
    identity: Mapping[str, Any] | None = None,
    validate: Callable[[], float] | None = None,
    log_every: int = 100,
    checkpoint_seconds: float = 60.0,
    deadline: float = math.inf,
    on_log: Callable[[LogPoint], None] = lambda point: None,
    stop: Callable[[], bool] = lambda: False,
    speed: Speed | None = None,
    world: World | None = None,
) -> Progress:
    """Train what `loss` trains of its network on all that the feed holds; go on from `checkpoint` if there.

    Nothing is read back from the device but every `log_every` steps and after epochs. Then `on_log` is called
    (after a resumption first with the points reached before it), and a checkpoint is written, unless the last
    one is younger than `checkpoint_seconds`. On a CPU a resumed run equals an uninterrupted one bit for bit.
    `validate` gives the network's present error after every epoch: in the end the weights that validated best
    are in place; without it, the last ones. `identity` tells this training from others. Training ends early,
    with a checkpoint from which the same call goes on, once `stop` says so, or when the next log point would
    come after `deadline` (of `time.monotonic`).

    Raises:
        TrainingError: the loss or a weight is no longer finite, or memory ran out (the last good checkpoint
            is kept); or the checkpoint is of another run.
        WeightsError: the checkpoint is damaged.
    """
    speed, world = speed or Speed(), world or World()
    speed.place(loss).train()
    optimizers = recipe.optimizers(loss, speed.fused)
    whole = {"recipe": recipe.name} | dict(identity or {}) | {"n_processes": world.size}
    progress = Progress(json.loads(json.dumps(whole)), feed.n_steps)  # as a checkpoint holds it
    losses: list[Tensor] = []
    best: State = {}
    if checkpoint.exists():
        progress, losses, best = load_checkpoint(checkpoint, loss, optimizers, progress)
        if world.rank == 0:
            for point in progress.curve:
                on_log(point)
    else:
        with speed.plain().running():
            recipe.prepare(loss, feed)
    forward = speed.compile(world.share(loss))

    first_step, stopping, waited_before = progress.step, False, progress.seconds_waited
    last_reading = saved = time.monotonic()
    started = saved - progress.seconds  # earlier parts of an interrupted run included
    with speed.running(), naming_full_memory(feed, speed):
        for batch in () if progress.complete else feed.batches(progress.step):
            lr = recipe.set_rates(optimizers, progress.step, feed)
            losses.append(train_step(forward, batch, optimizers, speed))
            if progress.step == first_step:
                last_reading = time.monotonic()  # a network is compiled in its first step
            progress.step += 1
            progress.n_seen += feed.count(batch)
            stopping = stopping or stop()
            progress.seconds_waited = waited_before + feed.seconds_waited
            epoch_over = progress.complete or feed.ends_epoch(progress.step)
            if progress.step % log_every == 0 or epoch_over:
                mean_loss = world.mean(torch.stack(losses).mean()).item()
                losses.clear()
                check_finite(mean_loss, loss, progress, lr)
                error = validate() if validate and epoch_over else None
                best = keep_best(loss, best, error, recipe.patience, progress)
                interval = time.monotonic() - last_reading
                last_reading += interval
                progress.seconds = last_reading - started
                progress.curve.append(
                    LogPoint(progress.step, progress.n_seen, mean_loss, lr, progress.seconds, error)
                )
                if world.rank == 0:
                    on_log(progress.curve[-1])
                # Several processes must stop at the same step, and agree on it where they read back anyway.
                stopping = world.agree(stopping or time.monotonic() + interval > deadline)
            elif not stopping or world.size > 1:
                continue
            due = time.monotonic() - saved >= checkpoint_seconds
            if world.rank == 0 and (due or stopping or progress.complete):
                progress.seconds = time.monotonic() - started
                save_checkpoint(checkpoint, loss, optimizers, progress, losses, best)
                saved = time.monotonic()
            if stopping or progress.complete:
                break
    if best:
        loss.load_state_dict(best)
    world.wait_for_all()
    return progress


def measure_rate(
    loss: nn.Module,
    feed: Feed,
    recipe: Recipe,
    batches: Iterator[Any],
    *,
    seconds: float = MEASURED_SECONDS,
    speed: Speed,
    world: World,
) -> float:
    """Measure steps a second in so many seconds, compilation left out; the network stays as it was."""

    def step() -> Tensor:
        return train_step(forward, next(batches), optimizers, speed)

    speed.place(loss).train()
    before = copy_state(loss)
    optimizers = recipe.optimizers(loss, speed.fused)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = 0.0
    forward = speed.compile(world.share(loss))
    n_steps, measured = 0, 0.0
    with speed.running(), naming_full_memory(feed, speed):
        for _ in range(WARM_UP_STEPS):
            step().item()
        while measured < seconds:
            started = time.perf_counter()
            losses = [step() for _ in range(STEPS_A_READING)]
            losses[-1].item()
            measured += time.perf_counter() - started
            n_steps += STEPS_A_READING
            measured = world.same_for_all(measured)
    loss.load_state_dict(before)
    return n_steps / measured


@contextmanager
def naming_full_memory(feed: Feed, speed: Speed) -> Iterator[None]:
    """Turn running out of memory into one sentence."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not full and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"memory ran out on {speed.device} at batches of {feed.batch_size}; lower batch_size or take a "
            "smaller network (the last checkpoint is kept)."
        ) from error


def train_step(
    forward: nn.Module, batch: Any, optimizers: list[Optimizer], speed: Speed
) -> Float[Tensor, ""]:
    """Do one update at the rates that are set; the loss stays on the device."""
    speed.begin_step()
    inputs = [to_device(tensor, speed) for tensor in batch] if isinstance(batch, tuple) else [batch]
    batch_loss = forward(*inputs)
    batch_loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return batch_loss.detach().clone()  # a replayed CUDA graph writes the next loss over it


def to_device(tensor: Tensor, speed: Speed) -> Tensor:
    """Copy a tensor to the device; from pinned memory this does not wait for the work queued on a GPU."""
    if speed.device_type != "cuda":
        return tensor
    return tensor.pin_memory().to(speed.device, non_blocking=True)


def scale_rates(optimizers: list[Optimizer], factor: float) -> None:
    """Set every group's rate to so much of its optimiser's top rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]


def copy_state(loss: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in loss.state_dict().items()}


def keep_best(
    loss: nn.Module, best: State, error: float | None, patience: int | None, progress: Progress
) -> State:
    """Give the best weights so far, and say so in the progress; without errors there are none to keep."""
    if error is None:
        if not best:
            progress.best_step = progress.step
        return best
    if not best or progress.best_error is None or error < progress.best_error:
        progress.best_error, progress.best_step, progress.n_worse = error, progress.step, 0
        return copy_state(loss)
    progress.n_worse += 1
    progress.stopped_early = patience is not None and progress.n_worse >= patience
    return best


def check_finite(mean_loss: float, loss: nn.Module, progress: Progress, lr: float) -> None:
    """Look at the weights themselves, too: the loss is of those before the last update."""
    learning = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    finite = torch.stack([parameter.isfinite().all() for parameter in learning]).all()
    if math.isfinite(mean_loss) and finite.item():
        return
    raise TrainingError(
        f"training with recipe {progress.identity['recipe']!r} diverged by step {progress.step} of "
        f"{progress.n_steps} (loss {mean_loss}); lower the learning rate from {lr:g} (the last checkpoint is "
        "kept)."
    )
