"""Looked-up random numbers are SplitMix64's, uniform, and do not depend on what is asked for beside them."""

import numpy as np
from scipy import stats

from oneshot.classify.counter_random import GOLDEN, mix, uniforms


def test_the_finaliser_gives_splitmix64s_first_numbers():
    """For seed 0, as in the reference implementation of java.util.SplittableRandom."""
    states = np.arange(1, 4, dtype=np.uint64) * GOLDEN
    assert [f"{z:x}" for z in mix(states)] == ["e220a8397b1dcdaf", "6e789e6aa1b965f4", "6c45d188009454f"]


def test_rows_depend_on_their_keys_alone():
    whole = uniforms(5, 7, 1, np.arange(100))
    np.testing.assert_array_equal(uniforms(5, 7, 1, np.array([42, 7])), whole[[42, 7]])
    np.testing.assert_array_equal(uniforms(3, 7, 1, np.arange(100)), whole[:, :3])


def test_numbers_are_uniform_and_keys_are_independent():
    numbers = np.arange(20_000)
    found = np.concatenate(
        [uniforms(2, 7, 1, numbers), uniforms(2, 7, 2, numbers), uniforms(2, 8, 1, numbers)], 1
    )
    assert found.min() >= 0
    assert found.max() < 1
    assert all(stats.kstest(column, "uniform").pvalue > 1e-3 for column in found.T)
    correlations = np.corrcoef(np.concatenate([found[:-1], found[1:]], 1).T) - np.eye(12)
    assert abs(correlations).max() < 0.03
