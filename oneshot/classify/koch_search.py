"""The search for what the paper does not tell: a rate, a final momentum and an L2 weight for every layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from oneshot.classify.recipes import RANGES

LEAST_L2 = 1e-6  # below it a weight is as good as free
PARTS = ("lrs", "momenta", "l2s")


@dataclass(frozen=True)
class Trial:
    """Numbers that were tried, a layer each, and how far they came.

    `error`: the best on the validation trials, as a fraction; None if training diverged. `n_seen`: pairs.
    """

    number: int
    lrs: tuple[float, ...]
    momenta: tuple[float, ...]
    l2s: tuple[float, ...]
    n_seen: int = 0
    error: float | None = None

    def row(self) -> dict[str, Any]:
        """As a line of a table: every layer's numbers in columns of their own."""
        numbers = {
            f"{part}_{layer}": value
            for part in PARTS
            for layer, value in enumerate(getattr(self, part), start=1)
        }
        return {"trial": self.number, "n_seen": self.n_seen, "validation_error": self.error, **numbers}


def draw_trial(seed: int, number: int, n_layers: int) -> Trial:
    """The trial of this number, whatever else is tried: rates and L2 by their logarithm, momenta evenly.

    Source: Koch et al. 2015, section 3.2, for the ranges. Quirk: the paper's search is Bayesian; a random one
    needs no order, so that any number of machines can share it.
    """
    generator = np.random.default_rng((seed, number))
    momenta = generator.uniform(*RANGES["momenta"], n_layers)
    lrs, l2s = (
        np.exp(generator.uniform(np.log(low), np.log(high), n_layers))
        for low, high in (RANGES["lrs"], (LEAST_L2, RANGES["l2s"][1]))
    )
    return Trial(number, round_all(lrs), round_all(momenta), round_all(l2s))


def round_all(values: Float[np.ndarray, " n"]) -> tuple[float, ...]:
    """To three digits, which say as much and are easily copied."""
    return tuple(float(f"{value:.3g}") for value in values)
