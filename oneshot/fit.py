"""Training: one flat loop that can be killed at any moment and goes on as if it had not been."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from oneshot.batches import Batch
from oneshot.errors import TrainingError
from oneshot.feed import Feed
from oneshot.losses import SegmentationLoss
from oneshot.recipes import Recipe
from oneshot.speed import Speed
from oneshot.weights import load_tensors, save_tensors

PREPARE_SCENES = 128


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
    """How far a run has come, apart from its tensors."""

    recipe: str
    lr: float
    n_steps: int
    step: int = 0
    n_scenes: int = 0
    seconds: float = 0.0
    curve: list[LogPoint] = field(default_factory=list)


def fit(
    loss: SegmentationLoss,
    feed: Feed,
    recipe: Recipe,
    *,
    checkpoint: Path,
    n_epochs: int | None = None,
    log_every: int = 100,
    checkpoint_seconds: float = 60.0,
    on_log: Callable[[LogPoint], None] = lambda point: None,
    speed: Speed | None = None,
) -> Progress:
    """Train `loss.net` on everything the feed holds; go on from `checkpoint` if it is there.

    Nothing is read back from the device but every `log_every` steps. Then `on_log` is called (after a
    resumption first with the points reached before it), and a checkpoint is written, unless the last one is
    younger than `checkpoint_seconds`. On a CPU a resumed run equals an uninterrupted one bit for bit.
    `n_epochs` places the published halvings; without it they follow the steps.

    Raises:
        TrainingError: the loss or a weight is no longer finite (the last good checkpoint is kept), or the
            checkpoint is of another run.
        WeightsError: the checkpoint is damaged.
    """
    speed = speed or Speed()
    loss.to(speed.device).train()
    optimizers = recipe.optimizers(loss, recipe.lr)
    progress = Progress(recipe.name, recipe.lr, feed.n_steps)
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, loss, optimizers, progress)
        for point in progress.curve:
            on_log(point)
    elif recipe.prepare is not None:
        recipe.prepare(loss.net, feed.sample(PREPARE_SCENES))
    forward = cast(nn.Module, torch.compile(loss)) if speed.compiled else loss

    started = saved = time.monotonic()
    seconds_before = progress.seconds
    losses: list[Tensor] = []
    for batch in feed.batches(progress.step):
        factor = recipe.lr_factor(progress.step, feed.n_steps, n_epochs)
        losses.append(train_step(forward, batch, optimizers, factor, speed))
        progress.step += 1
        progress.n_scenes += len(batch)
        last = progress.step == feed.n_steps
        if progress.step % log_every == 0 or last:
            mean_loss = torch.stack(losses).mean().item()
            losses.clear()
            check_finite(mean_loss, loss, progress)
            progress.seconds = seconds_before + time.monotonic() - started
            lr = factor * recipe.lr
            progress.curve.append(LogPoint(progress.step, progress.n_scenes, mean_loss, lr, progress.seconds))
            on_log(progress.curve[-1])
            if last or time.monotonic() - saved >= checkpoint_seconds:
                save_checkpoint(checkpoint, loss, optimizers, progress)
                saved = time.monotonic()
    return progress


def train_step(
    forward: nn.Module, batch: Batch, optimizers: list[Optimizer], factor: float, speed: Speed
) -> Float[Tensor, ""]:
    """One update, at `factor` of every optimiser's top rate; the loss stays on the device."""
    with speed.autocast():
        batch_loss = forward(batch)
    batch_loss.backward()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * optimizer.defaults["lr"]
        optimizer.step()
    forward.zero_grad()
    return batch_loss.detach()


def check_finite(mean_loss: float, loss: nn.Module, progress: Progress) -> None:
    """The loss tells of the weights before the last update, hence the look at the weights themselves."""
    if math.isfinite(mean_loss) and all(bool(p.isfinite().all()) for p in loss.parameters()):
        return
    raise TrainingError(
        f"training with recipe {progress.recipe!r} diverged by step {progress.step} of {progress.n_steps} "
        f"(loss {mean_loss}); lower the learning rate from {progress.lr:g} (the last checkpoint is kept)."
    )


def save_checkpoint(path: Path, loss: nn.Module, optimizers: list[Optimizer], progress: Progress) -> None:
    """Parameters, the optimisers' state and the progress, in one file that is never unpickled."""
    tensors = {f"loss.{name}": tensor for name, tensor in loss.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{key}": tensor for key, tensor in state.items()}
    save_tensors(path, tensors, asdict(progress))


def load_checkpoint(path: Path, loss: nn.Module, optimizers: list[Optimizer], wanted: Progress) -> Progress:
    """Put the state of `save_checkpoint` back.

    Raises:
        TrainingError: the checkpoint is of another run than `wanted`.
        WeightsError: the file is damaged.
    """
    tensors, about = load_tensors(path)
    about["curve"] = [LogPoint(**point) for point in about["curve"]]
    progress = Progress(**about)
    for name in ("recipe", "lr", "n_steps"):
        found, expected = getattr(progress, name), getattr(wanted, name)
        if found != expected:
            raise TrainingError(
                f"the checkpoint {path} is of another run ({name} {found!r}, not {expected!r}); "
                "delete it to start afresh."
            )
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    parameters = {}
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
    return progress
