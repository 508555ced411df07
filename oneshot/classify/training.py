"""Training on pairs or episodes: one flat loop that goes on after being killed as if it had not been."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from oneshot.classify.nets.koch import set_order
from oneshot.classify.recipes import Plan, Recipe, describe
from oneshot.errors import ParameterError, TrainingError
from oneshot.training.speed import Speed
from oneshot.training.tensors import load_tensors, save_tensors

PENDING = "pending_losses"  # in a checkpoint: losses since the last log point
WARM_UP_STEPS = 3
STEPS_A_READING = 5
MEASURED_SECONDS = 3.0
MARGIN = 0.95  # of the time left, for what is slower than it was measured, and for checkpoints

State = dict[str, Tensor]


class LossOfNet(nn.Module):
    """The loss of a network on what a feed gives; only the network is trained and kept."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


@runtime_checkable
class Feed(Protocol):
    """Batches that depend on the step alone, as tensors on the CPU that the loss takes."""

    batch_size: int
    n_epoch: int  # as many pairs (or episodes) are an epoch

    def batch(self, step: int) -> tuple[Tensor, ...]: ...

    def about(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class LogPoint:
    """After a step: `loss` is the mean since the point before, `error` that on validation trials, if any."""

    step: int
    n_seen: int
    loss: float
    seconds: float
    error: float | None = None


@dataclass
class Progress:
    """How far a run has come, apart from its tensors; `run` says which run it is."""

    run: dict[str, Any]
    n_steps: int
    step: int = 0
    seconds: float = 0.0
    best_error: float | None = None
    best_step: int = 0
    n_worse: int = 0  # validations since the best
    curve: list[LogPoint] = field(default_factory=list)
    stopped_early: bool = False

    @property
    def complete(self) -> bool:
        return self.step == self.n_steps or self.stopped_early


def fit_pairs(
    loss: LossOfNet,
    feed: Feed,
    recipe: Recipe,
    *,
    checkpoint: Path,
    n_epochs: int = 200,
    seconds: float | None = None,
    validate: Callable[[], float] | None = None,
    log_every: int = 100,
    checkpoint_seconds: float = 300.0,
    deadline: float = math.inf,
    on_log: Callable[[LogPoint], None] = lambda point: None,
    stop: Callable[[], bool] = lambda: False,
    speed: Speed | None = None,
) -> Progress:
    """Train `loss.net`, or go on from `checkpoint`; in the end it has the weights that validated best.

    `validate` gives the network's present error, after every epoch; without it the last weights are kept.
    With `seconds`, from this call on, training is cut to what fits, by the speed of this device, measured
    first; the rates follow. A run that goes on keeps its plan. Nothing is read back from the device but every
    `log_every` steps and after epochs. Training ends early, to be gone on with, when `stop` says so, or when
    the next log point would come after `deadline` (of `time.monotonic`).

    Raises:
        ParameterError: too little time for one step.
        TrainingError: the loss or a weight is no longer finite, or memory ran out (the last good checkpoint
            is kept); or the checkpoint is of another run.
        WeightsError: the checkpoint is damaged.
    """
    started = time.monotonic()
    speed = speed or Speed()
    set_order(loss, speed.memory_format)
    speed.place(loss).train()
    forward = speed.compile(loss)
    optimizer = recipe.optimizer(loss.net, speed.fused)
    run = describe(recipe) | {"feed": feed.about(), "n_epochs": n_epochs, "timed": seconds is not None}
    losses: list[Tensor] = []
    best: State = {}
    with speed.running(), naming_full_memory(feed, speed):
        if checkpoint.exists():
            progress, losses, best = load_checkpoint(checkpoint, loss.net, optimizer, run)
            for point in progress.curve:
                on_log(point)
        else:
            n_steps = count_steps(feed, n_epochs)
            if seconds is not None:
                fitting = measure_steps(forward, loss.net, feed, recipe, speed, validate, seconds, started)
                n_steps = min(n_steps, fitting)
            progress = Progress(run, n_steps)
        plan = Plan(progress.n_steps, feed.batch_size, feed.n_epoch)
        began = last = saved = time.monotonic()
        before, stopping = progress.seconds, False
        while not progress.complete and not stopping:
            recipe.set_rates(optimizer, progress.step, plan)
            losses.append(train_step(forward, feed.batch(progress.step), optimizer, speed))
            progress.step += 1
            stopping = stop()
            epoch_over = progress.complete or plan.epoch(progress.step) > plan.epoch(progress.step - 1)
            if progress.step % log_every == 0 or epoch_over:
                mean_loss = torch.stack(losses).mean().item()
                losses.clear()
                check_finite(mean_loss, loss.net, progress)
                error = validate() if validate and epoch_over else None
                if epoch_over:
                    best = keep_best(loss.net, best, error, recipe.patience, progress)
                progress.seconds = before + time.monotonic() - began
                n_seen = progress.step * feed.batch_size
                progress.curve.append(LogPoint(progress.step, n_seen, mean_loss, progress.seconds, error))
                on_log(progress.curve[-1])
                now = time.monotonic()
                stopping, last = stopping or now + (now - last) > deadline, now
            elif not stopping:
                continue
            if stopping or progress.complete or time.monotonic() - saved >= checkpoint_seconds:
                progress.seconds = before + time.monotonic() - began
                save_checkpoint(checkpoint, loss.net, optimizer, progress, losses, best)
                saved = time.monotonic()
    if progress.complete:
        loss.net.load_state_dict(best)
    return progress


def train_step(
    forward: nn.Module, batch: tuple[Tensor, ...], optimizer: Optimizer, speed: Speed
) -> Float[Tensor, ""]:
    """One update; the loss stays on the device."""
    speed.begin_step()
    batch_loss = forward(*(to_device(tensor, speed) for tensor in batch))
    batch_loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return batch_loss.detach().clone()  # a replayed CUDA graph writes the next loss over it


def to_device(tensor: Tensor, speed: Speed) -> Tensor:
    """From pinned memory a copy to a GPU does not wait for the work queued there."""
    if speed.device_type != "cuda":
        return tensor
    return tensor.pin_memory().to(speed.device, non_blocking=True)


def count_steps(feed: Feed, n_epochs: int) -> int:
    return math.ceil(n_epochs * feed.n_epoch / feed.batch_size)


def measure_steps(
    forward: nn.Module, net: nn.Module, feed: Feed, recipe: Recipe, speed: Speed,
    validate: Callable[[], float] | None, seconds: float, started: float,
) -> int:  # fmt: skip
    """How many steps, and validations after epochs, fit into what is left; the network stays as it was."""
    before = copy_state(net)
    optimizer = recipe.optimizer(net, speed.fused)
    for step in range(WARM_UP_STEPS):
        train_step(forward, feed.batch(step), optimizer, speed).item()
    n_steps, measured = 0, 0.0
    while measured < min(MEASURED_SECONDS, seconds / 10):
        begun = time.perf_counter()
        for step in range(n_steps, n_steps + STEPS_A_READING):
            last = train_step(forward, feed.batch(step), optimizer, speed)
        last.item()
        measured += time.perf_counter() - begun
        n_steps += STEPS_A_READING
    net.load_state_dict(before)
    seconds_a_step = measured / n_steps
    if validate:
        validate()  # once for what is compiled or allocated the first time
        begun = time.perf_counter()
        validate()
        seconds_a_step += (time.perf_counter() - begun) * feed.batch_size / feed.n_epoch
    left = MARGIN * (seconds - (time.monotonic() - started))
    if left < seconds_a_step:
        raise ParameterError(
            f"{seconds:.0f} s are too few to train in: {left:.0f} s are left after the start, at "
            f"{seconds_a_step:.2g} s a step."
        )
    return int(left / seconds_a_step)


def copy_state(net: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def keep_best(
    net: nn.Module, best: State, error: float | None, patience: int | None, progress: Progress
) -> State:
    """The best weights so far, and what that says of the progress; without an error, the last ones."""
    if error is None or progress.best_error is None or error < progress.best_error:
        progress.best_error, progress.best_step, progress.n_worse = error, progress.step, 0
        return copy_state(net)
    progress.n_worse += 1
    progress.stopped_early = patience is not None and progress.n_worse >= patience
    return best


def check_finite(mean_loss: float, net: nn.Module, progress: Progress) -> None:
    """The loss tells of the weights before the last update, hence the look at the weights themselves."""
    finite = torch.stack([parameter.isfinite().all() for parameter in net.parameters()]).all()
    if not (math.isfinite(mean_loss) and finite.item()):
        raise TrainingError(
            f"training with recipe {progress.run['recipe']!r} diverged by step {progress.step} of "
            f"{progress.n_steps} (loss {mean_loss}); lower the learning rate (the last checkpoint is kept)."
        )


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
            "smaller base (the last checkpoint is kept)."
        ) from error


def save_checkpoint(
    path: Path, net: nn.Module, optimizer: Optimizer, progress: Progress, losses: list[Tensor], best: State
) -> None:
    """Weights, the best ones, the optimiser's state and the progress, in one file that is never unpickled."""
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items() if value is not None}
    if losses:
        tensors[PENDING] = torch.stack(losses)
    save_tensors(path, tensors, asdict(progress))


def load_checkpoint(
    path: Path, net: nn.Module, optimizer: Optimizer, run: dict[str, Any]
) -> tuple[Progress, list[Tensor], State]:
    """Put the state of `save_checkpoint` back; also the losses since the last log point, and the best."""
    tensors, about = load_tensors(path)
    progress = Progress(**about | {"curve": [LogPoint(**point) for point in about["curve"]]})
    for name in run.keys() | progress.run.keys():
        found, expected = progress.run.get(name), run.get(name)
        if found != expected:
            raise TrainingError(
                f"the checkpoint {path} is of another run ({name} {found!r}, not {expected!r}); "
                "delete it to start afresh."
            )
    device = next(net.parameters()).device
    losses = list(tensors.pop(PENDING, torch.empty(0)).to(device))
    owned: dict[str, State] = {"net": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        owned[owner][rest] = tensor
    try:
        net.load_state_dict(owned["net"])
    except RuntimeError as error:
        raise TrainingError(
            f"the checkpoint {path} is of another network; delete it to start afresh."
        ) from error
    state: dict[int, State] = {}
    for name, tensor in owned["optimizer"].items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, losses, {name: tensor.to(device) for name, tensor in owned["best"].items()}
