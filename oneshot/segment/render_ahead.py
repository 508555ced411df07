"""Rendered jobs, made by threads ahead of their use, and kept as long as memory allows."""

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from jaxtyping import UInt16

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import code
from oneshot.segment.coded import Coded

RenderJob = Callable[[int, int], Scenes]  # (clutter level, job index) -> its scenes
Code = Callable[[Scenes], Coded]  # the form in which they are kept
Visit = tuple[int, int]  # one use of a job: its clutter level and index


@dataclass(frozen=True)
class Job:
    """The scenes of one job, where the stock keeps them, and the characters behind their labels."""

    scenes: Coded
    characters: UInt16[np.ndarray, "n n_characters"]

    @property
    def n_bytes(self) -> int:
        return self.scenes.n_bytes + self.characters.nbytes


class Stock:
    """Serves visits to jobs in a planned order; what it serves depends on the plan alone.

    `n_threads` threads render in the order of need (the kernels release Python's lock), as far ahead as
    `memory_bytes` holds, and at least `n_ahead` visits. A job that is visited again stays where there is room
    for it, and is rendered again otherwise. Jobs lie on `device`. Used as a context, which ends the threads.
    """

    def __init__(
        self,
        render_job: RenderJob,
        *,
        memory_bytes: int,
        n_ahead: int,
        n_threads: int,
        device: str = "cpu",
        code: Code = code,
    ) -> None:
        self.render_job = render_job
        self.code = code
        self.memory_bytes = memory_bytes
        self.n_ahead = n_ahead
        self.device = device
        self.n_rendered = 0
        self.changed = threading.Condition()
        self.error: BaseException | None = None
        self.closed = False
        self.held: dict[Visit, Job] = {}
        self.being_made: set[Visit] = set()
        self.n_bytes = 0  # of what is held
        self.largest = 0  # bytes of a job so far
        self.plan([])
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(n_threads)]
        for thread in self.threads:
            thread.start()

    def __enter__(self) -> "Stock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    def plan(self, visits: Sequence[Visit]) -> None:
        """Take all visits to come, in order, instead of those before; what is held is kept if it recurs."""
        with self.changed:
            self.visits = list(visits)
            self.places: dict[Visit, list[int]] = defaultdict(list)
            for place, visit in enumerate(self.visits):
                self.places[visit].append(place)
            self.taken = [False] * len(self.visits)
            self.n_taken = 0  # all visits before this place are over
            self.n_seen_to = 0  # every visit before this place is over, held or being made
            for visit in [visit for visit in self.held if visit not in self.places]:
                self.drop(visit)
            self.changed.notify_all()

    def measure_seconds(self, visits: Sequence[Visit]) -> float:
        """Measure the processor seconds that a scene of these visits takes, with nothing planned beside it.

        Raises whatever rendering raises.
        """
        self.plan([])
        with self.changed:
            self.changed.wait_for(lambda: not self.being_made or self.error is not None)
            if self.error is not None:
                raise self.error
        started = time.thread_time()
        n_scenes = sum(len(self.code(self.render_job(*visit))) for visit in visits)
        return (time.thread_time() - started) / n_scenes

    def take(self, place: int) -> Job:
        """Give the job of the visit at a place of the plan, once it is there; each place once.

        Raises whatever rendering it raised.
        """
        visit = self.visits[place]
        with self.changed:
            self.changed.wait_for(lambda: visit in self.held or self.error is not None)
            if visit not in self.held:
                assert self.error is not None
                raise self.error
            job = self.held[visit]
            self.taken[place] = True
            while self.n_taken < len(self.taken) and self.taken[self.n_taken]:
                self.n_taken += 1
            following = self.places[visit][bisect_right(self.places[visit], place) :]
            # A visit that the threads have passed over counts on what is held.
            if not following or (following[0] >= self.n_seen_to and self.n_bytes > self.memory_bytes):
                self.drop(visit)
            self.changed.notify_all()
        return job

    def drop(self, visit: Visit) -> None:
        self.n_bytes -= self.held.pop(visit).n_bytes

    def work(self) -> None:
        """Render, as every thread does."""
        while (visit := self.wait_for_work()) is not None:
            try:
                scenes = self.render_job(*visit)
                job = Job(self.code(scenes).to(self.device), scenes.characters)
            except BaseException as error:
                with self.changed:
                    self.error = error
                    self.changed.notify_all()
                return
            with self.changed:
                self.being_made.discard(visit)
                self.n_rendered += 1
                self.largest = max(self.largest, job.n_bytes)
                if visit in self.places:  # else the plan has changed meanwhile
                    self.held[visit] = job
                    self.n_bytes += job.n_bytes
                self.changed.notify_all()

    def wait_for_work(self) -> Visit | None:
        """Give the next visit to render, now being made; None at the end."""
        with self.changed:
            while not self.closed:
                visit = self.next_wanted()
                if visit is not None:
                    self.being_made.add(visit)
                    return visit
                self.changed.wait()
        return None

    def next_wanted(self) -> Visit | None:
        self.n_seen_to = max(self.n_seen_to, self.n_taken)
        while self.n_seen_to < len(self.visits):
            visit = self.visits[self.n_seen_to]
            if self.taken[self.n_seen_to] or visit in self.held or visit in self.being_made:
                self.n_seen_to += 1
                continue
            expected = self.n_bytes + (len(self.being_made) + 1) * self.largest
            if self.n_seen_to < self.n_taken + self.n_ahead or expected <= self.memory_bytes:
                return visit
            return None
        return None
