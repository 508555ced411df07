"""The stock of rendered jobs: what it serves depends on its plan alone, and it keeps to its memory."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

from oneshot.errors import ParameterError
from oneshot.segment.batches import code
from tests.fake_scenes import fake_scenes


def small_job(level, job):
    return fake_scenes(3, level, seed=100 * level + job, size=16)


JOB_BYTES = code(small_job(4, 0)).n_bytes + small_job(4, 0).characters.nbytes


class Notes:
    """Renders, and remembers what."""

    def __init__(self):
        self.rendered = []

    def __call__(self, level, job):
        self.rendered.append((level, job))
        return small_job(level, job)


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(0.03)  # for what should not happen
    assert condition()


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_jobs_held", [0, 2, 100])
def test_every_visit_gets_its_job(n_threads, n_jobs_held, open_stock):
    generator = np.random.default_rng(0)
    visits = [(4, int(job)) for epoch in range(4) for job in generator.permutation(6)]
    stock = open_stock(small_job, memory_bytes=n_jobs_held * JOB_BYTES, n_threads=n_threads)
    stock.plan(visits)
    for place, (level, job) in enumerate(visits):
        expected = small_job(level, job)
        found = stock.take(place)
        np.testing.assert_array_equal(found.scenes.target_tints.numpy(), expected.target_tints)
        np.testing.assert_array_equal(found.characters, expected.characters)


def test_with_room_for_all_a_job_is_rendered_once(open_stock):
    notes = Notes()
    stock = open_stock(notes)
    visits = [(4, job) for epoch in range(3) for job in range(5)]
    stock.plan(visits)
    wait_for(lambda: len(notes.rendered) == 5)
    for place in range(len(visits)):
        stock.take(place)
    assert notes.rendered == [(4, job) for job in range(5)]
    assert stock.n_rendered == 5
    assert not stock.held
    assert stock.n_bytes == 0


def test_without_room_it_renders_only_what_is_needed_next(open_stock):
    notes = Notes()
    stock = open_stock(notes, memory_bytes=0, n_ahead=2)
    stock.plan([(4, job) for job in range(6)])
    wait_for(lambda: len(notes.rendered) == 2)
    stock.take(0)
    wait_for(lambda: notes.rendered == [(4, 0), (4, 1), (4, 2)])


def test_it_renders_as_far_ahead_as_memory_holds(open_stock):
    notes = Notes()
    stock = open_stock(notes, memory_bytes=4 * JOB_BYTES, n_ahead=1, n_threads=2)
    stock.plan([(4, job) for job in range(9)])
    wait_for(lambda: len(notes.rendered) == 4)
    stock.take(0)
    wait_for(lambda: len(notes.rendered) == 5)
    assert stock.n_bytes <= 4 * JOB_BYTES


def test_part_of_an_epoch_stays_where_not_all_of_it_fits(open_stock):
    notes = Notes()
    stock = open_stock(notes, memory_bytes=4 * JOB_BYTES, n_ahead=1)
    visits = [(4, job) for epoch in range(3) for job in range(8)]
    stock.plan(visits)
    for place in range(len(visits)):
        stock.take(place)
        assert stock.n_bytes <= 6 * JOB_BYTES
    counts = Counter(notes.rendered)
    assert set(counts) == {(4, job) for job in range(8)}
    assert len(notes.rendered) < len(visits)


def test_a_new_plan_keeps_what_it_needs_and_drops_the_rest(open_stock):
    notes = Notes()
    stock = open_stock(notes)
    stock.plan([(4, 0), (4, 1), (4, 2)])
    wait_for(lambda: len(stock.held) == 3)
    stock.plan([(4, 2), (8, 0)])
    wait_for(lambda: set(stock.held) == {(4, 2), (8, 0)})
    assert notes.rendered == [(4, 0), (4, 1), (4, 2), (8, 0)]
    assert stock.n_bytes == sum(job.n_bytes for job in stock.held.values())


def test_a_failing_renderer_is_heard_by_whoever_takes(open_stock):
    def broken(level, job):
        raise ParameterError(f"job {job} cannot be drawn")

    stock = open_stock(broken)
    stock.plan([(4, 7)])
    with pytest.raises(ParameterError, match="job 7 cannot be drawn"):
        stock.take(0)
    with pytest.raises(ParameterError, match="job 7 cannot be drawn"):
        stock.measure_seconds([(4, 0)])


def test_rendering_is_measured_after_what_was_begun_and_before_anything_else(open_stock, monkeypatch):
    begun, go_on, notes = threading.Event(), threading.Event(), Notes()

    def render(level, job):
        if not notes.rendered:
            begun.set()
            assert go_on.wait(5)
        return notes(level, job)

    stock = open_stock(render)
    stock.plan([(4, job) for job in range(9)])
    assert begun.wait(5)
    clock = iter([10.0, 10.6])
    monkeypatch.setattr(time, "thread_time", lambda: next(clock))
    threading.Timer(0.05, go_on.set).start()
    assert stock.measure_seconds([(4, 20), (8, 20)]) == pytest.approx(0.1)  # of two jobs of three scenes
    assert notes.rendered == [(4, 0), (4, 20), (8, 20)]
    assert not stock.held


def test_threads_end_with_the_context(open_stock):
    before = threading.active_count()
    stock = open_stock(small_job, n_threads=3)
    assert threading.active_count() == before + 3
    stock.__exit__(None, None, None)
    assert threading.active_count() == before
