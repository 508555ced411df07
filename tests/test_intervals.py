"""Means and their 95 % intervals, against printed tables and closed forms."""

import math

import numpy as np
import pytest

from oneshot.intervals import mean_of_hits, mean_of_values


def test_mean_has_students_interval():
    mean = mean_of_values(np.array([0.2, 0.3, 0.4, 0.7], np.float32))
    deviation = math.sqrt(sum((x - 0.4) ** 2 for x in (0.2, 0.3, 0.4, 0.7)) / 3)
    half = 3.182446 * deviation / 2  # t(0.975, 3 degrees of freedom), from a printed table
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half), abs=1e-6)
    assert mean.n == 4


def test_students_interval_is_clipped_to_0_and_1_at_either_end():
    few, many = (mean_of_values(np.array(values)) for values in ([0.0, 0.0, 0.3], [0.7, 1.0, 1.0]))
    half = 4.302653 * 0.1  # t(0.975, 2 degrees of freedom), and a standard error of 0.3 / 3
    assert (few.low, few.high) == pytest.approx((0, 0.1 + half), abs=1e-6)
    assert (many.low, many.high) == pytest.approx((0.9 - half, 1), abs=1e-6)


def test_mean_of_one_value_leaves_everything_open():
    mean = mean_of_values(np.array([0.5], np.float32))
    assert (mean.value, mean.low, mean.high, mean.n) == (0.5, 0, 1, 1)


def test_share_of_hits_has_wilsons_interval():
    mean = mean_of_hits(np.array([True] * 8 + [False] * 2))
    z, p, n = 1.959964, 0.8, 10
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.8, middle - half, middle + half), abs=1e-6)


def test_share_of_hits_stays_within_0_and_1_where_all_hit():
    mean = mean_of_hits(np.ones(20, bool))
    assert mean.value == mean.high == 1
    assert 0.8 < mean.low < 1
