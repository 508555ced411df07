"""Whole training runs: curricula, time budgets, going on."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from oneshot.errors import ParameterError
from oneshot.segment import training
from oneshot.segment.feed import Phase
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.recipes import make_recipe
from oneshot.segment.training import choose_memory, climb, cut, train, widen
from oneshot.segment.training_set import TrainingSet
from tests.fake_scenes import fake_scenes, fake_targets

PHASES = [Phase((4,), 40), Phase((8,), 160)]


class FakeTrainingSet(TrainingSet):
    """Jobs of fake scenes."""

    def __init__(self):
        pass

    def render_job(self, level, job):
        return fake_scenes(20, level, seed=job)[np.tile(np.arange(20), 100)]

    def render_targets(self, level, characters, seed):
        return fake_targets(level, characters, seed)


@pytest.fixture
def run(tmp_path):
    """Trains a tiny net from the same start each time."""

    def run_it(phases=PHASES, name="fast", **changes):
        net = SiameseUNet(2).initialise(torch.Generator().manual_seed(0))
        recipe = make_recipe(name, 2e-3, 4, 0.1 if name == "fast" else 0.0)
        settings = {"checkpoint": tmp_path / "run", "seed": 1, "n_jobs": 1, "log_every": 5} | changes
        loss, training_set = SegmentationLoss(net, recipe.matching_weight), FakeTrainingSet()
        statistics = training_set.statistics(level for phase in phases for level in phase.clutter_levels)
        return net, train(loss, training_set, recipe, phases, statistics=statistics, **settings)

    return run_it


def test_climbing_starts_at_four_and_ends_at_the_level():
    assert climb(32, 1000, 0.3) == (
        Phase((4,), 100), Phase((8,), 100), Phase((16,), 100), Phase((32,), 700),
    )  # fmt: skip
    assert climb(32, 1000, 0.0) == (Phase((32,), 1000),)
    assert climb(4, 1000, 0.3) == (Phase((4,), 1000),)
    assert sum(phase.n_scenes for phase in climb(256, 12345, 0.5)) == 12345


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_climbing_for_ever_is_refused(share):
    with pytest.raises(ParameterError, match=f"lower_levels is {share}"):
        climb(8, 1000, share)
    with pytest.raises(ParameterError, match=f"lower_levels is {share}"):
        widen(1000, share)


def test_widening_starts_at_four_adds_a_level_at_a_time_and_ends_with_all_seven():
    phases = widen(1300, 0.3, unit=10)
    mixes = [(4,), (4, 8), (4, 8, 16), (4, 8, 16, 32), (4, 8, 16, 32, 64), (4, 8, 16, 32, 64, 128)]
    assert [(phase.clutter_levels, phase.n_scenes) for phase in phases] == [
        *((mix, 60) for mix in mixes), ((4, 8, 16, 32, 64, 128, 256), 1300 - 6 * 60)
    ]  # fmt: skip
    whole = (Phase((4, 8, 16, 32, 64, 128, 256), 1000),)
    assert widen(1000, 0.0) == widen(1000, 0.3, unit=100) == whole


def test_phases_are_cut_in_proportion_to_whole_batches():
    phases = climb(16, 40_000_000, 0.25)
    shortened = cut(phases, 1_000_000, 250)
    assert [phase.clutter_levels for phase in shortened] == [(4,), (8,), (16,)]
    assert sum(phase.n_scenes for phase in shortened) == pytest.approx(1_000_000, rel=0.02)
    assert [phase.n_scenes for phase in shortened[:2]] == [120_000, 120_000]
    assert all(phase.n_scenes % 250 == 0 for phase in cut(phases, 9_999, 250))
    assert cut(phases, 10, 250) == (Phase((4,), 250), Phase((8,), 250), Phase((16,), 250))


def test_without_a_budget_all_phases_are_trained_on(run):
    _, outcome = run()
    assert outcome.progress.complete
    assert outcome.progress.n_scenes == 200
    assert outcome.phases == tuple(PHASES)


def test_a_budget_cuts_the_phases_to_the_measured_speed(run, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *_: 100.0)
    phases = [Phase((4,), 4000), Phase((8,), 16000)]
    _, outcome = run(phases, seconds=4.0)
    assert outcome.progress.complete
    cut_to = [phase.n_scenes for phase in outcome.phases]
    assert sum(cut_to) <= 4.0 * 100.0
    assert sum(cut_to) > 150
    assert cut_to[1] / cut_to[0] == pytest.approx(4, abs=0.4)
    rates = [point.lr for point in outcome.progress.curve]
    assert rates[-1] < 0.02 * max(rates)  # the schedule ends with the cut phases


def test_a_budget_that_holds_everything_changes_nothing(run, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *_: 1e6)
    _, outcome = run(seconds=100.0, n_epochs=20)
    assert outcome.phases == tuple(PHASES)


def test_measuring_leaves_no_trace_in_the_network(run, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "MEASURED_SECONDS", 0.1)
    plain, _ = run()
    measured, outcome = run(seconds=1000.0, checkpoint=tmp_path / "other")
    assert outcome.phases == tuple(PHASES)
    torch.testing.assert_close(measured.state_dict(), plain.state_dict(), atol=0, rtol=0)


def test_too_short_a_budget_is_one_sentence(run, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *_: 0.5)
    with pytest.raises(ParameterError, match=r"2 s are too few to train in: .*0\.5 scenes a second"):
        run(seconds=2.0)


def test_a_resumed_run_keeps_the_phases_that_were_cut_at_its_start(run, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *_: 100.0)
    phases = [Phase((4,), 4000), Phase((8,), 16000)]
    asked = iter([False] * 20 + [True])
    _, first = run(phases, seconds=4.0, stop=lambda: next(asked, True))
    assert first.progress.step == 21
    monkeypatch.setattr(training, "measure_rate", lambda *_: 1.0)
    _, second = run(phases, seconds=4.0)
    assert second.phases == first.phases
    assert second.progress.complete
    assert replace(second.progress.curve[0], seconds=0.0) == replace(first.progress.curve[0], seconds=0.0)


def test_a_deadline_ends_the_run_early(run):
    _, outcome = run(deadline=time.monotonic())
    assert not outcome.progress.complete


def test_memory_is_chosen_by_what_is_visited():
    device, n_bytes = choose_memory([Phase((4,), 40_000_000)], 1000, "cpu")
    assert device == "cpu"
    assert n_bytes > 10**8
