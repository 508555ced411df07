"""Training: one flat loop that can be killed at any moment and goes on as if it had not been."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from oneshot.errors import TrainingError
from oneshot.segment.batches import Batch
from oneshot.segment.feed import Feed, Phase
from oneshot.segment.losses import Objective
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.recipes import Recipe
from oneshot.training.distributed import World
from oneshot.training.speed import Speed
from oneshot.training.tensors import load_tensors, save_tensors

PREPARE_SCENES = 128
PENDING = "pending_losses"  # in a checkpoint: losses since the last log point


@dataclass(frozen=True)
class LogPoint:
    """The state of training after a step; `loss` is the mean over the steps since the point before."""

    step: int
    n_scenes: int
    loss: float
    lr: float
    seconds: float


@dataclass
class Progress:
    """How far a run has come, apart from its tensors.

    `phases` are what the feed was made of; `seconds_waited` is the part of `seconds` spent without a batch.
    """

    recipe: str
    lr: float
    n_steps: int
    n_processes: int = 1
    phases: list[Phase] = field(default_factory=list)
    step: int = 0
    n_scenes: int = 0
    seconds: float = 0.0
    seconds_waited: float = 0.0
    curve: list[LogPoint] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return self.step == self.n_steps


def fit(
    loss: Objective,
    feed: Feed,
    recipe: Recipe,
    *,
    checkpoint: Path,
    phases: Sequence[Phase] = (),
    n_epochs: int | None = None,
    log_every: int = 100,
    checkpoint_seconds: float = 60.0,
    deadline: float = math.inf,
    on_log: Callable[[LogPoint], None] = lambda point: None,
    stop: Callable[[], bool] = lambda: False,
    speed: Speed | None = None,
    world: World | None = None,
) -> Progress:
    """Train what `loss` trains of its network on all that the feed holds; go on from `checkpoint` if there.

    Nothing is read back from the device but every `log_every` steps. Then `on_log` is called (after a
    resumption first with the points reached before it), and a checkpoint is written, unless the last one is
    younger than `checkpoint_seconds`. On a CPU a resumed run equals an uninterrupted one bit for bit.
    `n_epochs` places the published halvings; without it they follow the steps. Training ends early, with a
    checkpoint from which the same call goes on, once `stop` says so, or when the next log point would come
    after `deadline` (of `time.monotonic`).

    Raises:
        TrainingError: the loss or a weight is no longer finite, or memory ran out (the last good checkpoint
            is kept); or the checkpoint is of another run.
        WeightsError: the checkpoint is damaged.
    """
    speed, world = speed or Speed(), world or World()
    speed.place(loss).train()
    optimizers = recipe.optimizers(loss, recipe.lr, speed.fused)
    progress = Progress(recipe.name, recipe.lr, feed.n_steps, world.size, list(phases))
    losses: list[Tensor] = []
    if checkpoint.exists():
        progress, losses = load_checkpoint(checkpoint, loss, optimizers, progress)
        if world.rank == 0:
            for point in progress.curve:
                on_log(point)
    elif recipe.prepare is not None:
        with speed.plain().running():
            recipe.prepare(cast(SiameseUNet, loss.net), feed.sample(PREPARE_SCENES))
    forward = speed.compile(world.share(loss))

    clock = Clock(feed, progress.seconds, progress.seconds_waited)
    first_step, saved, stopping = progress.step, time.monotonic(), False
    with speed.running(), naming_full_memory(recipe, speed):
        for batch in feed.batches(progress.step):
            factor = recipe.lr_factor(progress.step, feed.n_steps, n_epochs)
            losses.append(train_step(forward, batch, optimizers, factor, speed))
            if progress.step == first_step:
                clock.begin_interval()  # a network is compiled in its first step
            progress.step += 1
            progress.n_scenes += len(batch) * world.size
            stopping = stopping or stop()
            if progress.step % log_every == 0 or progress.complete:
                mean_loss = world.mean(torch.stack(losses).mean()).item()
                losses.clear()
                check_finite(mean_loss, loss, progress)
                interval = clock.read(progress)
                lr = factor * recipe.lr
                progress.curve.append(
                    LogPoint(progress.step, progress.n_scenes, mean_loss, lr, progress.seconds)
                )
                if world.rank == 0:
                    on_log(progress.curve[-1])
                # Several processes must stop at the same step, and agree on it where they read back anyway.
                stopping = world.agree(stopping or time.monotonic() + interval > deadline)
            elif not stopping or world.size > 1:
                continue
            due = time.monotonic() - saved >= checkpoint_seconds
            if world.rank == 0 and (due or stopping or progress.complete):
                clock.read(progress)
                save_checkpoint(checkpoint, loss, optimizers, progress, losses)
                saved = time.monotonic()
            if stopping:
                break
    world.wait_for_all()
    return progress


class Clock:
    """Tells a run's progress how long it has taken, earlier parts of an interrupted run included."""

    def __init__(self, feed: Feed, seconds_before: float, waited_before: float) -> None:
        self.feed = feed
        self.started = time.monotonic() - seconds_before
        self.waited_before = waited_before
        self.last_reading = time.monotonic()

    def begin_interval(self) -> None:
        self.last_reading = time.monotonic()

    def read(self, progress: Progress) -> float:
        """Set both times of `progress`; gives the seconds since the reading before."""
        now = time.monotonic()
        progress.seconds = now - self.started
        progress.seconds_waited = self.waited_before + self.feed.seconds_waited
        interval, self.last_reading = now - self.last_reading, now
        return interval


@contextmanager
def naming_full_memory(recipe: Recipe, speed: Speed) -> Iterator[None]:
    """Turn running out of memory into one sentence."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        out_of_memory = not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError)
        if not out_of_memory and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"memory ran out on {speed.device} at batches of {recipe.batch_size} scenes; lower batch_size or "
            "feature_maps (the last checkpoint is kept)."
        ) from error


def train_step(
    forward: nn.Module, batch: Batch, optimizers: list[Optimizer], factor: float, speed: Speed
) -> Float[Tensor, ""]:
    """One update, at `factor` of every optimiser's top rate; the loss stays on the device."""
    speed.begin_step()
    batch_loss = forward(batch)
    batch_loss.backward()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]
        optimizer.step()
        optimizer.zero_grad()
    return batch_loss.detach().clone()  # a replayed CUDA graph writes the next loss over it


def check_finite(mean_loss: float, loss: nn.Module, progress: Progress) -> None:
    """The loss tells of the weights before the last update, hence the look at the weights themselves."""
    learning = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    finite = torch.stack([parameter.isfinite().all() for parameter in learning]).all()
    if math.isfinite(mean_loss) and finite.item():
        return
    raise TrainingError(
        f"training with recipe {progress.recipe!r} diverged by step {progress.step} of {progress.n_steps} "
        f"(loss {mean_loss}); lower the learning rate from {progress.lr:g} (the last checkpoint is kept)."
    )


def save_checkpoint(
    path: Path, loss: nn.Module, optimizers: list[Optimizer], progress: Progress, losses: list[Tensor]
) -> None:
    """Parameters, the optimisers' state and the progress, in one file that is never unpickled."""
    tensors = {f"loss.{name}": tensor for name, tensor in loss.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{key}": tensor for key, tensor in state.items()}
    if losses:
        tensors[PENDING] = torch.stack(losses)
    save_tensors(path, tensors, asdict(progress))


def read_progress(path: Path) -> Progress:
    """The progress that a checkpoint holds.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    return parse_progress(load_tensors(path)[1])


def parse_progress(about: dict[str, Any]) -> Progress:
    about["curve"] = [LogPoint(**point) for point in about["curve"]]
    about["phases"] = [Phase(tuple(phase["clutter_levels"]), phase["n_scenes"]) for phase in about["phases"]]
    return Progress(**about)


def load_checkpoint(
    path: Path, loss: nn.Module, optimizers: list[Optimizer], wanted: Progress
) -> tuple[Progress, list[Tensor]]:
    """Put the state of `save_checkpoint` back; also the losses since the last log point.

    Raises:
        TrainingError: the checkpoint is of another run than `wanted`.
        WeightsError: the file is damaged.
    """
    tensors, about = load_tensors(path)
    progress = parse_progress(about)
    for name in ("recipe", "lr", "n_steps", "n_processes", "phases"):
        found, expected = getattr(progress, name), getattr(wanted, name)
        if found != expected:
            raise TrainingError(
                f"the checkpoint {path} is of another run ({name} {found!r}, not {expected!r}); "
                "delete it to start afresh."
            )
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    parameters = {}
    device = next(loss.parameters()).device
    losses = list(tensors.pop(PENDING, torch.empty(0)).to(device))
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner == "loss":
            parameters[rest] = tensor
        else:
            number, index, key = rest.split(".")
            states[int(number)].setdefault(int(index), {})[key] = tensor
    loss.load_state_dict(parameters)
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, losses
