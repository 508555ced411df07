"""The order of training scenes. Jobs are named in their scenes' tints: who was seen when can be read off."""

import threading
import time
from collections import Counter

import pytest
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import PixelStatistics, code
from oneshot.segment.feed import SceneFeed
from oneshot.segment.phases import Phase
from oneshot.segment.render_ahead import Job
from oneshot.segment.windows import Slot, plan_windows
from oneshot.training.distributed import World
from tests.fake_scenes import fake_scenes, fake_targets

IDENTITY = PixelStatistics(0.0, 1.0)
N_JOB_SCENES = 12


def named_job(level: int, job: int) -> Scenes:
    """All ink, tinted (level, job, place in the job)."""
    scenes = fake_scenes(N_JOB_SCENES, level, seed=1000 * level + job, size=16)
    scenes.target_inks[:] = True
    scenes.target_tints[:] = [(level, job, place) for place in range(N_JOB_SCENES)]
    return scenes


@pytest.fixture
def make_feed(open_stock):
    """Makes feeds of named jobs; `stock` changes where they come from."""

    def make(phases, stock=None, **changes) -> SceneFeed:
        settings = {
            "batch_size": 5, "seed": 3, "n_jobs": 4, "n_job_scenes": N_JOB_SCENES, "n_window_jobs": 2
        } | changes  # fmt: skip
        return SceneFeed(stock or open_stock(named_job), phases, IDENTITY, **settings)

    return make


def names(batches) -> list[tuple[int, ...]]:
    return [tuple(name) for batch in batches for name in batch.targets[:, :, 0, 0].int().tolist()]


def test_every_epoch_visits_every_scene_once_in_another_order(make_feed):
    n_epoch = 4 * N_JOB_SCENES
    seen = names(make_feed([Phase((4,), 3 * n_epoch)]).batches())
    epochs = [seen[start : start + n_epoch] for start in range(0, 3 * n_epoch, n_epoch)]
    everything = {(4, job, place) for job in range(4) for place in range(N_JOB_SCENES)}
    assert all(len(epoch) == n_epoch and set(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_epochs_stay_apart_where_windows_do_not_divide_them(make_feed):
    n_epoch = 4 * N_JOB_SCENES
    seen = names(make_feed([Phase((4,), 2 * n_epoch)], n_window_jobs=3).batches())
    assert len(set(seen[:n_epoch])) == len(set(seen[n_epoch:])) == n_epoch


@pytest.mark.parametrize(
    "settings", [{"n_threads": 3}, {"memory_bytes": 0}, {"memory_bytes": 30_000, "n_threads": 2}]
)
def test_order_depends_neither_on_threads_nor_on_memory(settings, make_feed, open_stock):
    phases = [Phase((4,), 100), Phase((4, 8), 77)]
    expected = names(make_feed(phases).batches())
    assert names(make_feed(phases, open_stock(named_job, **settings)).batches()) == expected


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("n_window_jobs", [1, 2, 4])
def test_processes_share_every_window_and_no_scene_twice(size, n_window_jobs, make_feed):
    settings = {"batch_size": 6, "n_window_jobs": n_window_jobs}
    phases = [Phase((4,), 4 * N_JOB_SCENES), Phase((4, 8), 40)]
    alone = make_feed(phases, **settings)
    feeds = [make_feed(phases, world=World(rank, size), **settings) for rank in range(size)]
    assert len({feed.n_steps for feed in feeds}) == 1
    shares = [names(feed.batches()) for feed in feeds]
    together = [name for share in shares for name in share]
    assert len(together) == feeds[0].n_scenes
    assert alone.n_scenes - feeds[0].n_scenes < size * len(alone.windows)
    # The first phase is one epoch, which holds no scene twice.
    first_epoch = [name for share in shares for name in share[: 4 * N_JOB_SCENES // size]]
    assert len(set(first_epoch)) == len(first_epoch) == 4 * N_JOB_SCENES


def test_waiting_for_scenes_is_timed(make_feed, open_stock):
    def slow_job(level, job):
        time.sleep(0.05)
        return named_job(level, job)

    slow = make_feed([Phase((4,), 2 * N_JOB_SCENES)], open_stock(slow_job, memory_bytes=0), n_window_jobs=1)
    names(slow.batches())
    assert slow.seconds_waited > 0.08


def test_order_follows_the_seed(make_feed):
    phases = [Phase((4,), 48)]
    assert names(make_feed(phases).batches()) == names(make_feed(phases).batches())
    assert names(make_feed(phases).batches()) != names(make_feed(phases, seed=4).batches())


@pytest.mark.parametrize("step", [0, 1, 4, 5, 6, 13, 20, 24])
def test_any_step_can_be_the_first(step, make_feed):
    feed = make_feed([Phase((4,), 60), Phase((4, 8), 53)], render_targets=fake_targets)
    whole = list(feed.batches())
    assert len(whole) == feed.n_steps == 24
    rest = list(feed.batches(step))
    assert names(rest) == names(whole[step:])
    for found, expected in zip(rest, whole[step:], strict=True):
        torch.testing.assert_close(found.others, expected.others, atol=0, rtol=0)
        torch.testing.assert_close(found.visible, expected.visible, atol=0, rtol=0)


def test_phases_mix_levels_in_turn_and_give_the_asked_number_of_scenes(make_feed):
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


def test_sample_is_what_training_sees_first(make_feed):
    feed = make_feed([Phase((4,), 48)])
    assert names([feed.sample(7)]) == names(feed.batches())[:7]


def test_others_change_from_epoch_to_epoch(make_feed):
    feed = make_feed([Phase((8,), 4 * N_JOB_SCENES)], n_jobs=1, n_window_jobs=1, render_targets=fake_targets)
    job = Job(code(named_job(8, 0)), named_job(8, 0).characters)
    by_epoch = [feed.complete(job, window.slots[0]) for window in feed.windows]
    assert not torch.equal(by_epoch[0].matched_labels, by_epoch[1].matched_labels)
    assert not torch.equal(by_epoch[0].other_ink_bits, by_epoch[1].other_ink_bits)


def test_mixed_levels_all_bring_as_many_others_as_the_lowest_can(make_feed):
    feed = make_feed([Phase((3, 8), 48)], render_targets=fake_targets)
    assert {tuple(batch.others.shape[1:]) for batch in feed.batches()} == {(2, 3, 32, 32)}


def test_threads_end_with_the_batches(make_feed):
    feed = make_feed([Phase((4,), 4 * N_JOB_SCENES)], n_window_jobs=1)
    n_threads = threading.active_count()
    batches = feed.batches()
    next(batches)
    assert threading.active_count() > n_threads
    batches.close()
    assert threading.active_count() == n_threads


def test_every_scene_is_normalised_with_the_statistics_of_its_own_level(open_stock):
    """As it is when evaluated; a window may hold several levels."""
    statistics = {4: PixelStatistics(1.0, 2.0), 8: PixelStatistics(10.0, 5.0)}
    feeds = [
        SceneFeed(
            open_stock(named_job), [Phase((4, 8), 4 * N_JOB_SCENES)], of_levels, batch_size=5, seed=3,
            n_jobs=4, n_job_scenes=N_JOB_SCENES, n_window_jobs=2,
        )
        for of_levels in (IDENTITY, statistics)
    ]  # fmt: skip
    seen = set()
    for plain, batch in zip(*(feed.batches() for feed in feeds), strict=True):
        for n, level in enumerate(plain.targets[:, 0, 0, 0].int().tolist()):
            own = statistics[level]
            torch.testing.assert_close(batch.images[n], (plain.images[n] - own.mean) / own.std)
            torch.testing.assert_close(batch.targets[n], (plain.targets[n] - own.mean) / own.std)
            assert (batch.pixel_means[n], batch.pixel_stds[n]) == (own.mean, own.std)
        seen.add(len(set(plain.targets[:, 0, 0, 0].tolist())))
    assert 2 in seen  # some batches mix the two


def test_random_locations_are_there_when_asked_for_and_depend_on_the_step_alone(make_feed):
    assert all(batch.locations is None for batch in make_feed([Phase((4,), 24)]).batches())
    whole = list(make_feed([Phase((4,), 60)], n_locations=3).batches())
    assert all(batch.locations.shape == (len(batch), 3) for batch in whole)
    assert all(batch.locations.min() >= 0 and batch.locations.max() < 4 for batch in whole)  # 16 x 16 pixels
    assert len({tuple(row) for batch in whole for row in batch.locations.tolist()}) == 4
    assert len({corner for batch in whole for corner in batch.corners.tolist()}) == 4
    resumed = list(make_feed([Phase((4,), 60)], n_locations=3).batches(7))
    for later, batch in zip(resumed, whole[7:], strict=True):
        assert torch.equal(later.locations, batch.locations)
        assert torch.equal(later.corners, batch.corners)
    other = next(make_feed([Phase((4,), 60)], n_locations=3, seed=4).batches())
    assert not torch.equal(other.corners, whole[0].corners)


def test_measuring_repeats_a_batch_like_those_of_training(make_feed):
    feed = make_feed([Phase((4,), 24)], n_locations=3)
    repeated = feed.repeat(feed.load_first())
    first, second = next(repeated), next(repeated)
    assert len(first) == feed.batch_size
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.locations, second.locations)
    assert first.locations.shape == (feed.batch_size, 3)
