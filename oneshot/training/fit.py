"""Training: one flat loop for every network, which can be killed at any moment and goes on as if not."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from oneshot.errors import TrainingError
from oneshot.training.distributed import World
from oneshot.training.memory import naming_full_memory, pin
from oneshot.training.progress import LogPoint, Progress, State, load_checkpoint, save_checkpoint
from oneshot.training.speed import Speed


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


class Stepper:
    """Steps of one training: its loss as it is run, on the device, compiled and shared among processes.

    `part_size`: so many scenes or pairs of a batch are gone through at a time, whose gradients are summed up,
    where memory is too small for a whole one; None: it is not.
    """

    def __init__(self, shared: nn.Module, speed: Speed) -> None:
        """Prepare to run a module that `World.share` gave, which is to be called once for a loss."""
        self.shared, self.speed = shared, speed
        self.part_size: int | None = None
        self.forward = speed.compile(shared)

    def step(self, batch: Any, optimizers: list[Optimizer]) -> Float[Tensor, ""]:
        return train_step(self.forward, batch, optimizers, self.speed, self.part_size)


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
    stepper: Stepper | None = None,
) -> Progress:
    """Train what `loss` trains of its network on all that the feed holds; go on from `checkpoint` if there.

    Nothing is read back from the device but every `log_every` steps and after epochs. Then `on_log` is called
    (after a resumption first with the points reached before it), and a checkpoint is written, unless the last
    one is younger than `checkpoint_seconds`. On a CPU a resumed run equals an uninterrupted one bit for bit.
    `validate` gives the network's present error after every epoch: in the end the weights that validated best
    are in place; without it, the last ones. `identity` tells this training from others; it does not hold the
    precision unless the caller puts it there. Training ends early, with a checkpoint from which the same call
    goes on, once `stop` says so, or when the next log point would come after `deadline` (of
    `time.monotonic`). `stepper`: that of `oneshot.training.measure`, if it has measured this training, in
    place of `speed`.

    Raises:
        TrainingError: the loss or a weight is no longer finite, or memory ran out (the last good checkpoint
            is kept); or the checkpoint is of another run.
        WeightsError: the checkpoint is damaged.
    """
    world, speed = world or World(), (stepper.speed if stepper else speed) or Speed()
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
    stepper = stepper or Stepper(world.share(loss), speed)

    first_step, stopping, waited_before = progress.step, False, progress.seconds_waited
    last_reading = saved = time.monotonic()
    started = saved - progress.seconds  # earlier parts of an interrupted run included
    with speed.running(), naming_full_training(feed, speed):
        for batch in () if progress.complete else feed.batches(progress.step):
            lr = recipe.set_rates(optimizers, progress.step, feed)
            losses.append(stepper.step(batch, optimizers))
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


def train_step(
    forward: nn.Module,
    batch: Any,
    optimizers: list[Optimizer],
    speed: Speed,
    part_size: int | None = None,
) -> Float[Tensor, ""]:
    """Do one update at the rates that are set; the loss stays on the device."""
    batch_loss = go_back(forward, batch, speed, part_size)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return batch_loss


def go_back(forward: nn.Module, batch: Any, speed: Speed, part_size: int | None = None) -> Float[Tensor, ""]:
    """Compute a batch's loss, and add its gradients to those that are there."""
    losses = []
    for part, share in split_batch(batch, part_size):
        speed.begin_step()
        inputs = [to_device(tensor, speed) for tensor in part] if isinstance(part, tuple) else [part]
        loss = forward(*inputs) if share == 1.0 else share * forward(*inputs)
        loss.backward()
        losses.append(loss.detach().clone())  # a replayed CUDA graph writes the next loss over it
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def split_batch(batch: Any, size: int | None) -> Iterator[tuple[Any, float]]:
    """Give parts of a batch, and the share of it that each is."""
    n = len(batch[0]) if isinstance(batch, tuple) else len(batch)
    if size is None or size >= n:
        yield batch, 1.0
        return
    for start in range(0, n, size):
        which = slice(start, min(n, start + size))
        if isinstance(batch, tuple):
            part: Any = tuple(tensor[which] for tensor in batch)
        else:
            whole = {field.name: getattr(batch, field.name) for field in fields(batch)}
            part = replace(batch, **{k: v[which] for k, v in whole.items() if isinstance(v, Tensor)})
        yield part, (which.stop - start) / n


def naming_full_training(feed: Feed, speed: Speed) -> AbstractContextManager[None]:
    """Turn running out of memory, of a training, into one sentence."""
    advice = (
        f"at batches of {feed.batch_size}; lower batch_size or take a smaller network (the last checkpoint "
        "is kept)"
    )
    return naming_full_memory(speed.device, advice, TrainingError)


def to_device(tensor: Tensor, speed: Speed) -> Tensor:
    """Copy a tensor to the device; from pinned memory this does not wait for the work queued on a GPU."""
    if speed.device_type != "cuda":
        return tensor
    return pin(tensor).to(speed.device, non_blocking=True)


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
