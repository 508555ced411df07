"""Scenes as data sets: any split by number, or as a stream that workers and ranks share."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from oneshot.clutter import kernels
from oneshot.clutter.scenes import Scenes, concatenate
from oneshot.datasets.jobs import open_jobs
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import Drawings

Transform = Callable[[Tensor], Any]


class SceneSample(NamedTuple):
    """Scene to search, target to look for and mask of where it is: of one scene, or of a batch.

    scene: UInt8 (3, 96, 96), R, G, B in 0..255.
    target: UInt8 (3, 32, 32), the same.
    mask: Bool (96, 96), True on the target's ink.
    A batch has one more axis in front. Transforms may make anything else of them.
    """

    scene: Tensor
    target: Tensor
    mask: Tensor


class Transforms(NamedTuple):
    """Transforms of a sample: of the scene, of the target image, and afterwards of all three together.

    The last takes scene, target and mask and gives the three, such as a flip of both scene and mask.
    """

    scene: Transform | None
    target: Transform | None
    together: Callable[[Any, Any, Any], tuple[Any, Any, Any]] | None

    def apply(self, sample: SceneSample) -> SceneSample:
        scene, target, mask = sample
        scene = self.scene(scene) if self.scene else scene
        target = self.target(target) if self.target else target
        return SceneSample(*(self.together(scene, target, mask) if self.together else (scene, target, mask)))


def decode_scenes(scenes: Scenes) -> SceneSample:
    """Decode scenes to one batch, channels first."""
    n, height, width = scenes.labels.shape
    images = np.empty((n, 3, height, width), np.uint8)
    kernels.colour_labels(scenes.labels, scenes.palette, images.transpose(0, 2, 3, 1))
    targets = scenes.target_inks[:, None] * scenes.target_tints[:, :, None, None]
    arrays = images, targets, np.ascontiguousarray(scenes.masks)
    return SceneSample(*(torch.from_numpy(array) for array in arrays))


class ClutteredOmniglot(Dataset[SceneSample]):
    """Scenes of a split at one clutter level by number, the published ones bit for bit.

    The 2,000 scenes of a job are rendered together, when one of them is first asked for. Every worker keeps
    the ``n_cached`` jobs it used last, about 40 MB each (60 MB from 256 characters on). No split but train
    has more than five, as many as are kept by default. Of train, which has 1,000, shuffled indices would
    render a job for almost every scene: use `ClutteredOmniglotStream`, or a smaller n_scenes.
    """

    def __init__(
        self,
        split: str,
        clutter_level: int,
        n_scenes: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Callable[[Any, Any, Any], tuple[Any, Any, Any]] | None = None,
        *,
        drawings: Drawings | None = None,
        root: Path | str | None = None,
        n_cached: int = 5,
    ) -> None:
        """Find the scenes; nothing is rendered yet.

        split: as in `load_scenes`. n_scenes: the first so many; None: all, of
        train 2,000,000. transform: of the scene;
        target_transform: of the target image; transforms: afterwards, of scene, target and mask together.
        drawings: None for Omniglot. root: a folder of rendered parts, to be read instead of rendered.

        Raises:
            ParameterError: there is no such split, fewer scenes in it, or n_cached is below 1.
            PartError: a part is missing, damaged, or of another split or other drawings.
        """
        if n_cached < 1:
            raise ParameterError(f"n_cached is {n_cached}; at least 1 job must be kept.")
        self.jobs = open_jobs(split, clutter_level, n_scenes, drawings, root)
        self.transforms = Transforms(transform, target_transform, transforms)
        self.n_cached = n_cached
        self.cached: dict[int, Scenes] = {}  # the job used last comes last

    def __len__(self) -> int:
        return self.jobs.n_scenes

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"cached": {}}  # a copy renders for itself: cheaper than to send it all

    def __getitem__(self, index: int) -> SceneSample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[SceneSample]:
        """Give several samples, as a DataLoader asks for a batch: each job's are decoded together."""
        if outside := [index for index in indices if not -len(self) <= index < len(self)]:
            raise IndexError(f"there is no scene {outside[0]} among {len(self):,}.")
        jobs, places = np.divmod(np.array(indices) % len(self), self.jobs.job_scenes)
        samples: dict[int, SceneSample] = {}
        for job in np.unique(jobs).tolist():
            which = np.flatnonzero(jobs == job)
            batch = decode_scenes(self.load(job)[places[which]])
            for k, sample in zip(which.tolist(), zip(*batch, strict=True), strict=True):
                samples[k] = self.transforms.apply(SceneSample(*sample))
        return [samples[k] for k in range(len(indices))]

    def load(self, job: int) -> Scenes:
        """Give a job, of those kept if it is among them; the one unused for longest goes."""
        scenes = self.cached.pop(job) if job in self.cached else self.jobs.load(job)
        self.cached[job] = scenes
        while len(self.cached) > self.n_cached:
            del self.cached[next(iter(self.cached))]
        return scenes

    def preload(self, n_threads: int = 1) -> None:
        """Load the first jobs now, as many as are kept: workers that are forked afterwards share them.

        Raises:
            ParameterError: n_threads is below 1.
        """
        if n_threads < 1:
            raise ParameterError(f"n_threads is {n_threads}; it must be at least 1.")
        jobs = range(min(len(self.jobs), self.n_cached))
        with ThreadPoolExecutor(n_threads) as threads:  # the kernels release Python's lock
            self.cached = dict(zip(jobs, threads.map(self.jobs.load, jobs), strict=True))


class ClutteredOmniglotStream(IterableDataset[SceneSample]):
    """Epochs over a split, such as the 2,000,000 training scenes, each scene once, rendered as they are read.

    An epoch takes the jobs in an order that depends on ``seed`` and the epoch, and the scenes of each job in
    such an order as well. Every worker of every rank takes an equal share (to one scene) of this sequence and
    renders, or reads, the jobs that it needs, one at a time, which takes about 120 MB (180 MB from 256
    characters on). So the scenes of an epoch are the same with any number of workers and ranks, each is seen
    once, and ranks take the same number of batches where n_scenes is a multiple of ranks x workers x
    batch_size.

    With ``batch_size`` whole batches come out, to be read by ``DataLoader(stream, batch_size=None)``, which
    is faster than to collate them there. A stream has no length, as that depends on the number of workers.
    """

    def __init__(
        self,
        split: str,
        clutter_level: int,
        n_scenes: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Callable[[Any, Any, Any], tuple[Any, Any, Any]] | None = None,
        *,
        batch_size: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drawings: Drawings | None = None,
        root: Path | str | None = None,
    ) -> None:
        """Find the scenes, and the share of this process; nothing is rendered yet.

        What `ClutteredOmniglot` takes as well, means the same; transforms get whole batches if batch_size is
        given. rank, world_size: of this process; None: those of torch.distributed if it is initialised, else
        of torchrun's RANK and WORLD_SIZE, else 0 of 1.

        Raises:
            ParameterError: there is no such split, fewer scenes in it, or no such seed, rank or batch size.
            PartError: a part is missing, damaged, or of another split or other drawings.
        """
        self.jobs = open_jobs(split, clutter_level, n_scenes, drawings, root)
        self.transforms = Transforms(transform, target_transform, transforms)
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.world_size = find_rank(rank, world_size)
        if batch_size is not None and batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}; it must be at least 1.")
        if seed < 0:
            raise ParameterError(f"seed is {seed}; it cannot be negative.")
        # The epoch, and the batches to leave out: in shared memory, where persistent workers see them change.
        self.position = torch.zeros(2, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int, n_seen: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and how many batches of it are left out.

        n_seen: batches that the DataLoader of this rank gave before it was stopped. With as many workers as
        then, the others follow in the same order. What is left out is not rendered.

        Raises:
            ParameterError: a number is negative, or batches are to be left out and batch_size is not given.
        """
        if epoch < 0 or n_seen < 0:
            raise ParameterError(f"neither the epoch {epoch} nor n_seen {n_seen} can be negative.")
        if n_seen and self.batch_size is None:
            raise ParameterError("n_seen counts batches of the stream: give batch_size to the stream.")
        self.position[0], self.position[1] = epoch, n_seen

    def __iter__(self) -> Iterator[SceneSample]:
        worker = get_worker_info()
        number, n_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch, n_seen = self.position.tolist()
        size, n_consumers = self.batch_size or 1, self.world_size * n_workers
        consumers = range(self.rank * n_workers, (self.rank + 1) * n_workers + 1)
        ends = [self.jobs.n_scenes * k // n_consumers for k in consumers]
        n_given, turn = count_given([-(-(end - first) // size) for first, end in pairwise(ends)], n_seen)
        # A DataLoader asks its workers in turn, from the first on: that one now takes the next one's part.
        number = (number + turn) % n_workers
        first, end = ends[number] + size * n_given[number], ends[number + 1]
        for scenes in self.cut(self.visits(epoch, first, end), size):
            batch = decode_scenes(scenes)
            sample = batch if self.batch_size else SceneSample(*(tensor[0] for tensor in batch))
            yield self.transforms.apply(sample)

    def visits(self, epoch: int, first: int, end: int) -> Iterator[tuple[int, Int[np.ndarray, " n"]]]:
        """List the jobs of a part of an epoch, scenes ``first`` to before ``end``, and the places in each."""
        n_before = 0
        for job in np.random.default_rng((self.seed, epoch)).permutation(len(self.jobs)).tolist():
            size = self.jobs.size(job)
            low, high = max(first - n_before, 0), min(end - n_before, size)
            if low < high:
                order = np.random.default_rng((self.seed, epoch, 1 + job)).permutation(size)
                yield job, order[low:high]
            n_before += size

    def cut(self, visits: Iterator[tuple[int, Int[np.ndarray, " n"]]], size: int) -> Iterator[Scenes]:
        """Load the jobs and cut their scenes into pieces of ``size``; only the last one may be smaller."""
        pieces: list[Scenes] = []
        missing = size
        for job, places in visits:
            scenes, start = self.jobs.load(job), 0
            while start < len(places):
                pieces.append(scenes[places[start : start + missing]])
                start, missing = start + missing, missing - len(pieces[-1])
                if missing == 0:
                    yield join_pieces(pieces)
                    pieces, missing = [], size
        if pieces:
            yield join_pieces(pieces)


def join_pieces(pieces: Sequence[Scenes]) -> Scenes:
    """Join what jobs gave to a batch: mostly one piece, which needs no copy."""
    return pieces[0] if len(pieces) == 1 else concatenate(pieces)


def count_given(n_batches: Sequence[int], n_seen: int) -> tuple[list[int], int]:
    """Count the batches that each worker has given of the first ``n_seen``, and find whose turn is next.

    A DataLoader asks its workers in turn, and passes over those that have no more. n_batches: of each worker;
    equal shares of an epoch differ by one batch at most.
    """
    n_rounds = min(n_seen // len(n_batches), *n_batches)
    in_round = [worker for worker, n in enumerate(n_batches) if n > n_rounds]
    n_in_round = n_seen - n_rounds * len(n_batches)
    given, waiting = in_round[:n_in_round], in_round[n_in_round:]
    return [n_rounds + (worker in given) for worker in range(len(n_batches))], waiting[0] if waiting else 0


def find_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Find this process's rank and the number of processes. Raises ParameterError if they do not fit."""
    if rank is None and world_size is None:
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if rank is None or world_size is None or not 0 <= rank < world_size:
        raise ParameterError(f"rank {rank} is none of {world_size} processes, which count from 0.")
    return rank, world_size
