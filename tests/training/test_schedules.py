"""Learning rates over a training."""

import numpy as np
import pytest

from oneshot.training.schedules import halvings, warm_up_and_cosine


def test_published_rate_is_halved_at_the_start_of_epochs_10_15_and_17_of_20():
    factors = [halvings(step, 160_000, n_epochs=20) for step in range(0, 160_000, 8000)]
    assert factors == [1] * 10 + [0.5] * 5 + [0.25] * 2 + [0.125] * 3
    changes = (79_999, 80_000, 119_999, 120_000, 135_999, 136_000)
    assert [halvings(step, 160_000, 20) for step in changes] == [1, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_halvings_follow_the_epochs_or_else_the_steps():
    assert [halvings(epoch * 10, 50, n_epochs=5) for epoch in range(5)] == [1, 1, 0.5, 0.25, 0.125]
    assert [halvings(step, 80) for step in (0, 39, 40, 59, 60, 69, 70, 79)] == [
        1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125
    ]  # fmt: skip


def test_fast_rate_warms_up_for_a_tenth_and_falls_to_zero():
    factors = [warm_up_and_cosine(step, 1000) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[99] == factors[100] == 1
    assert factors[550] == pytest.approx(0.5)
    assert factors[999] < 1e-5
    assert (np.diff(factors[:100]) > 0).all()
    assert (np.diff(factors[100:]) < 0).all()
