"""Ways to train networks that compare drawings: Koch's as published, our own, and prototypical networks'."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from oneshot.errors import ParameterError
from oneshot.segment.recipes import warm_up_and_cosine

FIRST_MOMENTUM = 0.5
EPOCH_FACTOR = 0.99  # of the rate, every epoch
INPUTS = 2304  # of the widest layer that Own's rates were found with
RANGES = {"lrs": (1e-4, 1e-1), "momenta": (0.0, 1.0), "l2s": (0.0, 0.1)}  # that the paper searched in


@dataclass(frozen=True)
class Plan:
    """How long training is to be; n_epoch: pairs (or episodes) an epoch."""

    n_steps: int
    batch_size: int
    n_epoch: int

    def epoch(self, step: int) -> int:
        """The epoch that a step belongs to, from 0."""
        return step * self.batch_size // self.n_epoch

    @property
    def n_epochs(self) -> int:
        return -(-self.n_steps * self.batch_size // self.n_epoch)


@runtime_checkable
class Recipe(Protocol):
    """How a network is trained, but for what it learns from; the numbers are the dataclass's fields."""

    @property
    def patience(self) -> int | None:
        """Epochs without a better validation error before training stops; None: it does not."""

    def optimizer(self, net: nn.Module, fused: bool) -> Optimizer: ...

    def set_rates(self, optimizer: Optimizer, step: int, plan: Plan) -> None: ...


def describe(recipe: Any) -> dict[str, Any]:
    """Name and numbers; lists for tuples, as JSON gives them back."""
    numbers = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(recipe).items()
    }
    return {"recipe": type(recipe).__name__.lower(), **numbers}


@dataclass(frozen=True)
class Published:
    """SGD with numbers for every layer: four convolutions, the fully connected one, the output.

    Source: Koch et al. 2015, sections 3.2 and 3.3. The rate falls by 1 % every epoch; momentum rises from
    0.5 to the layer's own over all planned epochs (the paper does not say over how many).
    Quirk: the paper's own numbers, found by a search, were never published: these are ours, in its ranges.
    Its printed update adds 2 * l2 * |w|; ordinary L2 adds 2 * l2 * w, here to weights, not to biases.
    """

    lrs: tuple[float, ...] = (0.01,) * 6
    momenta: tuple[float, ...] = (0.9,) * 6
    l2s: tuple[float, ...] = (1e-4,) * 6
    patience: int | None = 20

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            for value in getattr(self, name):
                if not low <= value <= high:
                    raise ParameterError(f"{name} holds {value}; the published range is {low:g} to {high:g}.")

    def optimizer(self, net: nn.Module, fused: bool = False) -> SGD:
        """Two groups a layer: its weight, with L2, and its bias."""
        layers = [module for module in net.modules() if any(True for _ in module.parameters(recurse=False))]
        if not len(self.lrs) == len(self.momenta) == len(self.l2s) == len(layers):
            raise ParameterError(
                f"the recipe has {len(self.lrs)} rates, {len(self.momenta)} momenta and {len(self.l2s)} L2 "
                f"weights, but the network has {len(layers)} layers: one entry a layer is needed."
            )
        groups = []
        for layer, lr, momentum, l2 in zip(layers, self.lrs, self.momenta, self.l2s, strict=True):
            for name, parameter in layer.named_parameters(recurse=False):
                decay = 0.0 if name == "bias" else 2 * l2
                groups.append(
                    {"params": [parameter], "top_lr": lr, "top_momentum": momentum, "weight_decay": decay}
                )
        return SGD(groups, lr=self.lrs[0], momentum=FIRST_MOMENTUM, fused=fused or None)

    def set_rates(self, optimizer: Optimizer, step: int, plan: Plan) -> None:
        epoch = plan.epoch(step)
        share = epoch / max(1, plan.n_epochs - 1)
        for group in optimizer.param_groups:
            group["lr"] = group["top_lr"] * EPOCH_FACTOR**epoch
            group["momentum"] = FIRST_MOMENTUM + share * (group["top_momentum"] - FIRST_MOMENTUM)


def check_rate(lr: float) -> None:
    if not 0 < lr < 1:
        raise ParameterError(f"the learning rate is {lr}; it must be within 0 and 1.")


@dataclass(frozen=True)
class Own:
    """AdamW with a warm-up over a tenth of the steps, then a cosine to zero; no early stop.

    lr: for networks whose widest layer has no more than 2,304 inputs, as the small base's; it falls as the
    inputs rise, since an update moves all weights of a unit together: at 0.002 the units of Koch's own base,
    of 9,216 inputs, were at 0 and 1 within 40 steps.
    """

    lr: float = 1e-3
    weight_decay: float = 1e-2
    patience: int | None = None

    def __post_init__(self) -> None:
        check_rate(self.lr)

    def optimizer(self, net: nn.Module, fused: bool = False) -> AdamW:
        lr = self.lr * min(1.0, INPUTS / widest(net))
        return AdamW(net.parameters(), lr=lr, weight_decay=self.weight_decay, fused=fused or None)

    def set_rates(self, optimizer: Optimizer, step: int, plan: Plan) -> None:
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * warm_up_and_cosine(step, plan.n_steps)


def widest(net: nn.Module) -> int:
    """The most inputs that a unit of a convolution or a linear layer has."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return max((layer.weight[0].numel() for layer in layers), default=1)


@dataclass(frozen=True)
class Constant:
    """Adam at one rate throughout, as in a well-known repository (drawers 12 / 4 / 4, 10 epochs)."""

    lr: float = 1e-3
    patience: int | None = None

    def __post_init__(self) -> None:
        check_rate(self.lr)

    def optimizer(self, net: nn.Module, fused: bool = False) -> Adam:
        return Adam(net.parameters(), lr=self.lr, fused=fused or None)

    def set_rates(self, optimizer: Optimizer, step: int, plan: Plan) -> None:
        """There is nothing to set."""


@dataclass(frozen=True)
class Halving:
    """Adam, its rate halved every 2,000 episodes. Source: Snell et al. 2017, section 3.1."""

    lr: float = 1e-3
    n_steps_a_halving: int = 2000
    patience: int | None = None

    def optimizer(self, net: nn.Module, fused: bool = False) -> Adam:
        return Adam(net.parameters(), lr=self.lr, fused=fused or None)

    def set_rates(self, optimizer: Optimizer, step: int, plan: Plan) -> None:
        for group in optimizer.param_groups:
            group["lr"] = self.lr * 0.5 ** (step // self.n_steps_a_halving)
