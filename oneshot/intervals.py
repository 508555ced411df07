"""Means with their 95 % intervals, the one form in which figures are kept."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over n scenes and the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


def mean_of_values(values: Float[np.ndarray, " n"]) -> Mean:
    """Mean of values within 0..1, with Student's t interval, clipped to this range; a single value leaves all
    of it open.
    """
    n = len(values)
    mean = float(np.mean(values, dtype=np.float64))
    if n == 1:
        return Mean(mean, 0.0, 1.0, n)
    half = float(
        stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1, dtype=np.float64) / np.sqrt(n)
    )
    return Mean(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def mean_of_hits(hits: Bool[np.ndarray, " n"]) -> Mean:
    """Share of hits with Wilson's interval."""
    n_hits, n = int(hits.sum()), len(hits)
    interval = stats.binomtest(n_hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return Mean(n_hits / n, float(interval.low), float(interval.high), n)
