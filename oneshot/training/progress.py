"""The progress of a training: its curve, its checkpoint on disk, and the report that remains of it."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from oneshot.errors import TrainingError
from oneshot.training.tensors import NetworkInfo, WeightsError, load_tensors, save_tensors

PENDING = "pending_losses"  # in a checkpoint: losses since the last log point

State = dict[str, Tensor]


@dataclass(frozen=True)
class LogPoint:
    """The state of a training after a step.

    `n_seen` counts scenes, pairs or episodes; `loss` is the mean over the steps since the point before;
    `error` is the one on the validation trials, where they were scored.
    """

    step: int
    n_seen: int
    loss: float
    lr: float
    seconds: float
    error: float | None = None


@dataclass
class Progress:
    """The distance that a training has come, apart from its tensors; `identity` says which training it is.

    `seconds_waited` is the part of `seconds` spent without a batch; `n_worse` counts validations since the
    best one.
    """

    identity: dict[str, Any]
    n_steps: int
    step: int = 0
    n_seen: int = 0
    seconds: float = 0.0
    seconds_waited: float = 0.0
    curve: list[LogPoint] = field(default_factory=list)
    best_error: float | None = None
    best_step: int = 0
    n_worse: int = 0
    stopped_early: bool = False

    @property
    def complete(self) -> bool:
        return self.step == self.n_steps or self.stopped_early


@dataclass(frozen=True)
class TrainingReport:
    """One training of a run, after it: a MaskNet has two.

    `name` is segmentation, proposals, discriminator, pairs or episodes; `settings` are this training's own.
    """

    name: str
    settings: dict[str, Any]
    n_seen: int
    n_steps: int
    n_steps_planned: int
    stopped_early: bool
    best_step: int
    seconds: float
    seconds_waiting: float
    curve: list[LogPoint]

    @classmethod
    def of(cls, name: str, settings: dict[str, Any], progress: Progress) -> "TrainingReport":
        return cls(
            name, settings, progress.n_seen, progress.step, progress.n_steps, progress.stopped_early,
            progress.best_step, progress.seconds, progress.seconds_waited, progress.curve,
        )  # fmt: skip


@dataclass
class Trained:
    """A network after its trainings; `info` is what a file of its weights says of it."""

    net: nn.Module
    info: NetworkInfo
    trainings: list[TrainingReport]
    complete: bool


def checkpoint_of(folder: Path, name: str) -> Path:
    """Give the file from which a training of that name goes on."""
    return folder / f"{name}.safetensors"


def save_checkpoint(
    path: Path,
    loss: nn.Module,
    optimizers: list[Optimizer],
    progress: Progress,
    losses: list[Tensor],
    best: State,
) -> None:
    """Write parameters, the best ones, the optimisers' state and the progress, in a file never unpickled."""
    tensors = {f"loss.{name}": tensor for name, tensor in loss.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                if value is not None:
                    tensors[f"optimizer.{number}.{index}.{key}"] = value
    if losses:
        tensors[PENDING] = torch.stack(losses)
    save_tensors(path, tensors, asdict(progress))


def read_progress(path: Path) -> Progress:
    """Read the progress that a checkpoint holds.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    return read_checkpoint(path)[1]


def read_checkpoint(path: Path) -> tuple[State, Progress]:
    """Read the tensors and the progress that a checkpoint holds. Raises as `read_progress` does."""
    advice = "delete it to start afresh"
    tensors, about = load_tensors(path, advice)
    try:
        return tensors, TypeAdapter(Progress).validate_python(about)
    except ValidationError:
        raise WeightsError(f"{path} is no checkpoint: {advice}.") from None


def load_checkpoint(
    path: Path, loss: nn.Module, optimizers: list[Optimizer], wanted: Progress
) -> tuple[Progress, list[Tensor], State]:
    """Put the state of `save_checkpoint` back; also give the losses since the last log point, and the best.

    Raises:
        TrainingError: the checkpoint is of another run than `wanted`, or of another network.
        WeightsError: the file is damaged.
    """
    tensors, progress = read_checkpoint(path)
    found, expected = (one.identity | {"n_steps": one.n_steps} for one in (progress, wanted))
    for name in [*expected, *(found.keys() - expected.keys())]:
        if found.get(name) != expected.get(name):
            raise TrainingError(
                f"the checkpoint {path} is of another run ({name} {found.get(name)!r}, not "
                f"{expected.get(name)!r}); delete it to start afresh."
            )
    device = next(loss.parameters()).device
    losses = list(tensors.pop(PENDING, torch.empty(0)).to(device))
    owned: dict[str, State] = {"loss": {}, "best": {}}
    states: list[dict[int, State]] = [{} for _ in optimizers]
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner == "optimizer":
            number, index, key = rest.split(".")
            states[int(number)].setdefault(int(index), {})[key] = tensor
        else:
            owned[owner][rest] = tensor
    try:
        loss.load_state_dict(owned["loss"])
    except RuntimeError as error:
        raise TrainingError(
            f"the checkpoint {path} is of another network; delete it to start afresh."
        ) from error
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, losses, {name: tensor.to(device) for name, tensor in owned["best"].items()}
