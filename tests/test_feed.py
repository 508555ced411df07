"""The order of training scenes. Jobs are named in their scenes' tints: who was seen when can be read off."""

import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch

from oneshot.batches import PixelStatistics
from oneshot.errors import ParameterError
from oneshot.feed import Feed, Phase, Slot, epoch_order, plan_windows
from oneshot.scenes import Scenes
from tests.fake_scenes import fake_scenes, fake_targets

IDENTITY = PixelStatistics(0.0, 1.0)
N_JOB_SCENES = 12


def named_job(level: int, job: int) -> Scenes:
    """All ink, tinted (level, job, place in the job)."""
    scenes = fake_scenes(N_JOB_SCENES, level, seed=1000 * level + job, size=16)
    scenes.target_inks[:] = True
    scenes.target_tints[:] = [(level, job, place) for place in range(N_JOB_SCENES)]
    return scenes


def make_feed(phases, **changes) -> Feed:
    settings = {
        "batch_size": 5, "seed": 3, "n_jobs": 4, "n_job_scenes": N_JOB_SCENES, "n_window_jobs": 2
    } | changes  # fmt: skip
    return Feed(named_job, phases, IDENTITY, **settings)


def names(batches) -> list[tuple[int, ...]]:
    return [tuple(name) for batch in batches for name in batch.targets[:, :, 0, 0].int().tolist()]


def test_first_epoch_takes_jobs_as_they_come_and_later_ones_shuffle_them():
    assert epoch_order(1, 0, 5).tolist() == [0, 1, 2, 3, 4]
    orders = [epoch_order(1, epoch, 20).tolist() for epoch in (1, 2)]
    assert orders[0] != orders[1]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert epoch_order(2, 1, 20).tolist() != orders[0]


def test_every_epoch_visits_every_scene_once_in_another_order():
    n_epoch = 4 * N_JOB_SCENES
    seen = names(make_feed([Phase((4,), 3 * n_epoch)]).batches())
    epochs = [seen[start : start + n_epoch] for start in range(0, 3 * n_epoch, n_epoch)]
    everything = {(4, job, place) for job in range(4) for place in range(N_JOB_SCENES)}
    assert all(len(epoch) == n_epoch and set(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_epochs_stay_apart_where_windows_do_not_divide_them():
    n_epoch = 4 * N_JOB_SCENES
    seen = names(make_feed([Phase((4,), 2 * n_epoch)], n_window_jobs=3).batches())
    assert len(set(seen[:n_epoch])) == len(set(seen[n_epoch:])) == n_epoch


def test_scenes_of_a_window_are_shuffled_across_its_jobs():
    seen = names(make_feed([Phase((4,), 2 * N_JOB_SCENES)]).batches())
    assert [job for _, job, _ in seen] != sorted(job for _, job, _ in seen)


def test_order_does_not_depend_on_threads():
    phases = [Phase((4,), 100), Phase((4, 8), 77)]
    assert names(make_feed(phases).batches()) == names(make_feed(phases, n_threads=3).batches())


def test_order_follows_the_seed():
    phases = [Phase((4,), 48)]
    assert names(make_feed(phases).batches()) == names(make_feed(phases).batches())
    assert names(make_feed(phases).batches()) != names(make_feed(phases, seed=4).batches())


@pytest.mark.parametrize("step", [0, 1, 4, 5, 6, 13, 20, 24])
def test_any_step_can_be_the_first(step):
    feed = make_feed([Phase((4,), 60), Phase((4, 8), 53)], render_targets=fake_targets)
    whole = list(feed.batches())
    assert len(whole) == feed.n_steps == 24
    rest = list(feed.batches(step))
    assert names(rest) == names(whole[step:])
    for found, expected in zip(rest, whole[step:], strict=True):
        torch.testing.assert_close(found.others, expected.others, atol=0, rtol=0)
        torch.testing.assert_close(found.visible, expected.visible, atol=0, rtol=0)


def test_phases_mix_levels_in_turn_and_give_the_asked_number_of_scenes():
    feed = make_feed([Phase((4,), 30), Phase((4, 8, 8), 3 * N_JOB_SCENES)], n_window_jobs=3)
    seen = names(feed.batches())
    assert len(seen) == feed.n_scenes == 30 + 36
    assert Counter(level for level, _, _ in seen[:30]) == {4: 30}
    assert Counter(level for level, _, _ in seen[30:]) == {4: 12, 8: 24}
    assert len(set(seen[30:])) == 36


def test_a_level_goes_on_through_its_jobs_from_phase_to_phase():
    windows = plan_windows(
        [Phase((4,), 2), Phase((4, 8), 4)], seed=0, n_jobs=9, n_window_jobs=4, n_job_scenes=1
    )
    assert [window.slots for window in windows] == [
        (Slot(4, 0, 0), Slot(4, 0, 1)),
        (Slot(4, 0, 2), Slot(8, 0, 0), Slot(4, 0, 3), Slot(8, 0, 1)),
    ]


def test_sample_is_what_training_sees_first():
    feed = make_feed([Phase((4,), 48)])
    assert names([feed.sample(7)]) == names(feed.batches())[:7]


def test_others_change_from_epoch_to_epoch():
    feed = make_feed([Phase((8,), 4 * N_JOB_SCENES)], n_jobs=1, n_window_jobs=1, render_targets=fake_targets)
    by_epoch = [feed.render(window.slots[0])[1] for window in feed.windows]
    assert by_epoch[0] is not None
    assert by_epoch[1] is not None
    assert not np.array_equal(by_epoch[0].labels, by_epoch[1].labels)
    assert not np.array_equal(by_epoch[0].targets.inks, by_epoch[1].targets.inks)


def test_mixed_levels_all_bring_as_many_others_as_the_lowest_can():
    feed = make_feed([Phase((3, 8), 48)], render_targets=fake_targets)
    assert {tuple(batch.others.shape[1:]) for batch in feed.batches()} == {(2, 3, 32, 32)}


def test_next_window_is_rendered_meanwhile_and_no_further():
    rendered = []
    n_threads = threading.active_count()

    def noting_job(level, job):
        rendered.append(job)
        return named_job(level, job)

    feed = make_feed([Phase((4,), 4 * N_JOB_SCENES)], n_window_jobs=1)
    feed.render_job = noting_job
    batches = feed.batches()
    next(batches)
    deadline = time.monotonic() + 5
    while rendered != [0, 1] and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert rendered == [0, 1]
    batches.close()
    assert threading.active_count() == n_threads


def test_a_failing_renderer_stops_the_training():
    feed = make_feed([Phase((4,), 48)])

    def broken(level, job):
        raise ParameterError(f"job {job} cannot be drawn")

    feed.render_job = broken
    with pytest.raises(ParameterError, match="job 0 cannot be drawn"):
        next(feed.batches())


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"n_jobs": 0}, {"n_window_jobs": 0}])
def test_counts_must_be_positive(changes):
    with pytest.raises(ParameterError, match=f"{next(iter(changes))} is 0"):
        make_feed([Phase((4,), 48)], **changes)


@pytest.mark.parametrize("phases", [[], [Phase((), 5)], [Phase((4,), 0)]])
def test_empty_phases_are_refused(phases):
    with pytest.raises(ParameterError, match="needs clutter levels and scenes"):
        make_feed(phases)
