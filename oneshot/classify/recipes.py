"""Ways to train networks that compare drawings: Koch's as published, our own, and prototypical networks'."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from oneshot.classify.feeds import EpochFeed, NetworkLoss
from oneshot.errors import ParameterError
from oneshot.training.fit import scale_rates
from oneshot.training.schedules import warm_up_and_cosine

FIRST_MOMENTUM = 0.5
EPOCH_FACTOR = 0.99  # of the rate, every epoch
INPUTS = 2304  # of the widest layer that Own's rates were found with


class ClassificationRecipe:
    """A way to train; the numbers are the dataclass's fields.

    `patience`: epochs without a better validation error before training stops; None: it does not.
    """

    patience: int | None = None

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def optimizers(self, loss: NetworkLoss, fused: bool = False) -> list[Optimizer]:
        raise NotImplementedError

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: EpochFeed) -> float:
        """Leave the rates as they are; give the first."""
        rate: float = optimizers[0].param_groups[0]["lr"]
        return rate

    def prepare(self, loss: NetworkLoss, feed: EpochFeed) -> None:
        """Leave the network as it is."""

    def describe(self) -> dict[str, Any]:
        """Give name and numbers."""
        return {"recipe": self.name, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Published(ClassificationRecipe):
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

    def optimizers(self, loss: NetworkLoss, fused: bool = False) -> list[Optimizer]:
        """Make SGD with two groups a layer: its weight, with L2, and its bias."""
        layers = [
            module for module in loss.net.modules() if any(True for _ in module.parameters(recurse=False))
        ]
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
        return [SGD(groups, lr=self.lrs[0], momentum=FIRST_MOMENTUM, fused=fused or None)]

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: EpochFeed) -> float:
        epoch = feed.epoch(step)
        share = epoch / max(1, feed.n_epochs - 1)
        for group in optimizers[0].param_groups:
            group["lr"] = group["top_lr"] * EPOCH_FACTOR**epoch
            group["momentum"] = FIRST_MOMENTUM + share * (group["top_momentum"] - FIRST_MOMENTUM)
        return super().set_rates(optimizers, step, feed)


@dataclass(frozen=True)
class Own(ClassificationRecipe):
    """AdamW with a warm-up over a tenth of the steps, then a cosine to zero; no early stop.

    lr: for networks whose widest layer has no more than 2,304 inputs, as the small base's; it falls as the
    inputs rise, since an update moves all weights of a unit together: at 0.002 the units of Koch's own base,
    of 9,216 inputs, were at 0 and 1 within 40 steps.
    """

    lr: float = 1e-3
    weight_decay: float = 1e-2
    patience: int | None = None

    def optimizers(self, loss: NetworkLoss, fused: bool = False) -> list[Optimizer]:
        layers = [layer for layer in loss.net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        widest = max((layer.weight[0].numel() for layer in layers), default=1)  # inputs of a unit
        lr = self.lr * min(1.0, INPUTS / widest)
        return [AdamW(loss.net.parameters(), lr=lr, weight_decay=self.weight_decay, fused=fused or None)]

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: EpochFeed) -> float:
        scale_rates(optimizers, warm_up_and_cosine(step, feed.n_steps))
        return super().set_rates(optimizers, step, feed)


@dataclass(frozen=True)
class Contrastive(Own):
    """Own's rates, for large batches of classes, each compared with all others both ways round."""


@dataclass(frozen=True)
class Constant(ClassificationRecipe):
    """Adam at one rate throughout, as in a well-known repository (drawers 12 / 4 / 4, 10 epochs)."""

    lr: float = 1e-3
    patience: int | None = None

    def optimizers(self, loss: NetworkLoss, fused: bool = False) -> list[Optimizer]:
        return [Adam(loss.net.parameters(), lr=self.lr, fused=fused or None)]


@dataclass(frozen=True)
class Halving(Constant):
    """Adam, its rate halved every 2,000 episodes. Source: Snell et al. 2017, section 3.1."""

    n_steps_a_halving: int = 2000

    def set_rates(self, optimizers: list[Optimizer], step: int, feed: EpochFeed) -> float:
        scale_rates(optimizers, 0.5 ** (step // self.n_steps_a_halving))
        return super().set_rates(optimizers, step, feed)
