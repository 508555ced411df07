"""Phases lead up to the clutter asked for, and are cut in proportion."""

import pytest

from oneshot.published import CLUTTER_LEVELS
from oneshot.segment.phases import Phase, cut, lead_up


def test_a_level_is_climbed_to_from_four():
    assert lead_up(Phase((32,), 1000), 0.3) == (
        Phase((4,), 100), Phase((8,), 100), Phase((16,), 100), Phase((32,), 700),
    )  # fmt: skip
    assert lead_up(Phase((32,), 1000), 0.0) == (Phase((32,), 1000),)
    assert lead_up(Phase((4,), 1000), 0.3) == (Phase((4,), 1000),)
    assert sum(phase.n_scenes for phase in lead_up(Phase((256,), 12345), 0.5)) == 12345


def test_a_mix_is_widened_a_level_at_a_time():
    phases = lead_up(Phase(CLUTTER_LEVELS, 1300), 0.3, unit=10)
    assert [phase.clutter_levels for phase in phases] == [CLUTTER_LEVELS[:n] for n in range(1, 8)]
    assert [phase.n_scenes for phase in phases] == [60] * 6 + [1300 - 6 * 60]
    assert lead_up(Phase(CLUTTER_LEVELS, 1000), 0.3, unit=100) == (Phase(CLUTTER_LEVELS, 1000),)


def test_phases_are_cut_in_proportion_to_whole_batches():
    phases = lead_up(Phase((16,), 40_000_000), 0.25)
    shortened = cut(phases, 1_000_000, 250)
    assert [phase.clutter_levels for phase in shortened] == [(4,), (8,), (16,)]
    assert sum(phase.n_scenes for phase in shortened) == pytest.approx(1_000_000, rel=0.02)
    assert [phase.n_scenes for phase in shortened[:2]] == [120_000, 120_000]
    assert all(phase.n_scenes % 250 == 0 for phase in cut(phases, 9_999, 250))
    assert cut(phases, 10, 250) == (Phase((4,), 250), Phase((8,), 250), Phase((16,), 250))
