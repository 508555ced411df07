"""Figures: means with their 95 % intervals, the one form in which results are kept everywhere."""

import math
from dataclasses import dataclass
from statistics import NormalDist
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

    A single value leaves all of the range open. Values that are all equal have Wilson's interval, that of
    hits, whose variance is the greatest that values of this mean can have.
    """
    from scipy import stats  # takes most of a second to load

    n = len(values)
    mean = float(np.mean(values, dtype=np.float64))
    if n == 1:
        return Figure(mean, 0.0, 1.0, n)
    if np.ptp(values) == 0:
        return Figure(mean, *find_wilson(mean, float(n)), n)
    half = float(
        stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1, dtype=np.float64) / np.sqrt(n)
    )
    return Figure(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def mean_of_hits(hits: Bool[np.ndarray, "episodes queries"] | Bool[np.ndarray, " n"]) -> Figure:
    """Compute the share of hits, with Wilson's interval.

    Queries of one episode share its support set, and are alike: for the interval their number is divided by
    the design effect (Kish 1965), the variance of the episodes' shares over that of independent queries.
    """
    n, share = hits.size, float(np.mean(hits, dtype=np.float64))
    effect = 1.0
    if hits.ndim == 2 and len(hits) > 1 and 0 < share < 1:
        effect = float(np.var(hits.mean(1), ddof=1)) * hits.shape[1] / (share * (1 - share))
    return Figure(share, *find_wilson(share, n / max(1.0, effect)), n)


def find_wilson(share: float, n: float) -> tuple[float, float]:
    """Find Wilson's interval of a share of n."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))  # despite rounding
