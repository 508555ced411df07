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


def test_equal_values_have_the_interval_of_hits():
    for value in (0.0, 0.4, 1.0):
        mean = mean_of_values(np.full(20, value))
        expected = mean_of_hits(np.arange(20) < 20 * value)
        assert (mean.value, mean.low, mean.high, mean.n) == pytest.approx(
            (value, expected.low, expected.high, 20)
        )
        assert mean.low < mean.high


def test_queries_of_one_episode_count_as_far_as_they_are_independent():
    generator = np.random.default_rng(0)
    independent = generator.random((500, 20)) < 0.7
    alone = mean_of_hits(independent.ravel())
    together = mean_of_hits(independent)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)
    alike = np.repeat(independent[:, :1], 20, axis=1)  # of every episode all right or all wrong
    found, episodes = mean_of_hits(alike), mean_of_hits(independent[:, 0])
    assert (found.value, found.n) == (episodes.value, 10_000)
    assert (found.low, found.high) == pytest.approx((episodes.low, episodes.high), abs=1e-4)


def test_an_interval_of_episodes_is_never_narrower_than_that_of_independent_queries():
    even = np.tile([True, False], (30, 10))  # every episode has as many hits
    assert mean_of_hits(even) == mean_of_hits(even.ravel())


def test_share_of_hits_stays_within_0_and_1_where_all_hit():
    for n in range(1, 200):
        every, none = mean_of_hits(np.ones(n, bool)), mean_of_hits(np.zeros(n, bool))
        assert every.value == every.high == 1
        assert none.value == none.low == 0
        assert (every.low, none.high) == pytest.approx((n / (n + 3.8415), 3.8415 / (n + 3.8415)), abs=1e-4)
