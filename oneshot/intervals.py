"""Figures: means with their 95 % intervals, the one form in which results are kept everywhere."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A mean over n scenes, answers or pairs, as a fraction, and the ends of its 95 % interval."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    value: float
    low: float
    high: float
    n: int


def mean_of_values(values: Float[np.ndarray, " n"]) -> Figure:
    """Average values within 0..1, with Student's t interval, clipped to this range.

    A single value leaves all of the range open.
    """
    from scipy import stats  # takes most of a second to load

    n = len(values)
    mean = float(np.mean(values, dtype=np.float64))
    if n == 1:
        return Figure(mean, 0.0, 1.0, n)
    half = float(
        stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1, dtype=np.float64) / np.sqrt(n)
    )
    return Figure(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def mean_of_hits(hits: Bool[np.ndarray, " n"]) -> Figure:
    """Compute the share of hits, with Wilson's interval."""
    from scipy import stats

    n_hits, n = int(hits.sum()), len(hits)
    interval = stats.binomtest(n_hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return Figure(n_hits / n, float(interval.low), float(interval.high), n)
