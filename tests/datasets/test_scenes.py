"""Scenes as data sets: the same as `load_scenes` gives, in any process, each once whoever shares the work."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader

from oneshot.clutter.parts import complete_parts, list_parts
from oneshot.clutter.scenes import lay_out
from oneshot.datasets import ClutteredOmniglot, ClutteredOmniglotStream, SceneSample
from oneshot.errors import ParameterError, PartError
from oneshot.library import load_scenes
from oneshot.omniglot.drawings import Drawings
from tests.archives import flip_bit
from tests.conftest import ROOT, refusing

N_PARTS, JOB_SCENES = 5, 10  # of a folder of parts: many small jobs


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rank from the outside."""
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


@pytest.fixture(scope="module")
def root(synthetic_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    parts = list_parts(4, "test-one-shot", synthetic_drawings.sha256(), N_PARTS, JOB_SCENES)
    list(complete_parts(folder, parts, {"test": lay_out(synthetic_drawings, "test")}, 1))
    return folder


def join(samples: Iterator[Any] | Sequence[Any] | DataLoader) -> SceneSample:
    """Batches of a loader, one after the other."""
    return SceneSample(*(torch.cat(tensors) for tensors in zip(*samples, strict=True)))


def keys(samples: SceneSample) -> list[bytes]:
    """What a scene is known by again."""
    return [scene.numpy().tobytes() for scene in samples.scene]


def flip(scene: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return scene.flip(-1), target, mask.flip(-1)


# ---------------------------------------------------------------------------------------------- by number


@pytest.mark.parametrize("how", [None, "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_scenes_are_the_same_in_whatever_process_they_are_rendered_or_read(
    synthetic_drawings: Drawings, root: Path, how: str | None
) -> None:
    # This process has compiled the kernels, run them and read parts before it is forked.
    scenes = load_scenes("val-train", 4, 2004, synthetic_drawings)
    rendered = ClutteredOmniglot("val-train", 4, 2004, drawings=synthetic_drawings)
    read = ClutteredOmniglot("test-one-shot", 4, root=root)
    expected = [scenes[np.array([0, 1999, 2000])], read.load(0)[np.array([0, 9])]]
    read.cached.clear()
    assert (len(rendered), len(read)) == (2004, N_PARTS * JOB_SCENES)
    workers: dict[str, Any] = (
        {"num_workers": 2, "multiprocessing_context": how, "timeout": 120} if how else {}
    )
    data: ConcatDataset[SceneSample] = ConcatDataset([rendered, read])
    found = join(DataLoader(data, batch_size=2, sampler=[0, 1999, 2000, 2004, 2013], **workers))
    for name, tensor in zip(("images", "targets"), found, strict=False):
        arrays = [getattr(some, name)() for some in expected]
        assert np.array_equal(tensor.permute(0, 2, 3, 1), np.concatenate(arrays))
    assert np.array_equal(found.mask, np.concatenate([some.masks for some in expected]))
    assert [tensor.dtype for tensor in found] == [torch.uint8, torch.uint8, torch.bool]


def test_a_batch_may_come_from_several_jobs_in_any_order(root: Path) -> None:
    data = ClutteredOmniglot("test-one-shot", 4, root=root)
    indices = [7, 41, -1, 0, 7, 23]
    together = data.__getitems__(indices)
    for index, sample in zip(indices, together, strict=True):
        for name, tensor in data[index]._asdict().items():
            assert torch.equal(tensor, getattr(sample, name))


def test_of_parts_on_disk_and_of_drawings_the_scenes_are_the_same(
    root: Path, synthetic_drawings: Drawings
) -> None:
    read = join(DataLoader(ClutteredOmniglot("test-one-shot", 4, root=root), batch_size=50))
    scenes = load_scenes("test-one-shot", 4, 10, synthetic_drawings)
    assert np.array_equal(read.scene[:10].permute(0, 2, 3, 1), scenes.images())
    fewer = ClutteredOmniglot("test-one-shot", 4, 13, root=str(root))
    assert [sample.scene.numpy().tobytes() for sample in fewer] == keys(read)[:13]


def test_as_many_jobs_are_kept_as_were_asked_for_those_used_last(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ClutteredOmniglot("test-one-shot", 4, root=root, n_cached=2)
    for index in (0, 10, 5, 20, 1):
        data[index]
    assert list(data.cached) == [2, 0]
    assert pickle.loads(pickle.dumps(data)).cached == {}
    data.preload(n_threads=2)
    assert list(data.cached) == [0, 1]
    monkeypatch.setattr(type(data.jobs), "load", lambda *_: pytest.fail("a job was loaded twice"))
    data[19]


def test_transforms_see_the_scene_the_target_and_then_both_with_the_mask(root: Path) -> None:
    plain = ClutteredOmniglot("test-one-shot", 4, root=root)[3]
    found = ClutteredOmniglot("test-one-shot", 4, None, torch.neg, torch.bitwise_not, flip, root=root)[3]
    assert torch.equal(found.scene, -plain.scene.flip(-1))
    assert torch.equal(found.target, ~plain.target)
    assert torch.equal(found.mask, plain.mask.flip(-1))
    assert plain.mask.any()
    stream = ClutteredOmniglotStream(
        "test-one-shot", 4, None, torch.neg, torch.bitwise_not, flip, root=root, batch_size=50
    )
    (batch,) = stream
    assert found.scene.numpy().tobytes() in keys(batch)
    assert found.mask.numpy().tobytes() in [mask.numpy().tobytes() for mask in batch.mask]


def test_an_index_beyond_the_last_ends_the_iteration(root: Path) -> None:
    data = ClutteredOmniglot("test-one-shot", 4, 3, root=root)
    assert len(list(data)) == 3
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"there is no scene {index} among 3"):
            data[index]


# ---------------------------------------------------------------------------------------------- as a stream


def open_ranks(root: Path, n_ranks: int, **settings: Any) -> list[ClutteredOmniglotStream]:
    return [
        ClutteredOmniglotStream("test-one-shot", 4, root=root, rank=rank, world_size=n_ranks, **settings)
        for rank in range(n_ranks)
    ]


@pytest.mark.parametrize(
    ("n_ranks", "n_workers", "how"),
    [(1, 0, None), (3, 0, None), (2, 2, "fork"), pytest.param(1, 2, "spawn", marks=pytest.mark.slow)],
)
def test_workers_and_ranks_share_every_scene_of_an_epoch_once(
    root: Path, n_ranks: int, n_workers: int, how: str | None
) -> None:
    everything = join(DataLoader(ClutteredOmniglot("test-one-shot", 4, root=root), batch_size=50))
    shares = [
        keys(join(DataLoader(stream, None, num_workers=n_workers, multiprocessing_context=how)))
        for stream in open_ranks(root, n_ranks, batch_size=3)
    ]
    assert sorted(key for share in shares for key in share) == sorted(keys(everything))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batches_are_full_but_for_the_last(root: Path) -> None:
    (stream,) = open_ranks(root, 1, batch_size=12)
    assert [len(batch.scene) for batch in stream] == [12, 12, 12, 12, 2]


def test_batches_across_jobs_hold_scenes_with_their_own_targets_and_masks(root: Path) -> None:
    (stream,) = open_ranks(root, 1, batch_size=12)
    pieces = [stream.jobs.load(job)[places] for job, places in stream.visits(0, 0, N_PARTS * JOB_SCENES)]
    scene, target, mask = join(stream)
    channels_first = (0, 3, 1, 2)
    expected = np.concatenate([piece.images() for piece in pieces]).transpose(channels_first)
    np.testing.assert_array_equal(scene, expected)
    expected = np.concatenate([piece.targets() for piece in pieces]).transpose(channels_first)
    np.testing.assert_array_equal(target, expected)
    np.testing.assert_array_equal(mask, np.concatenate([piece.masks for piece in pieces]))


def test_single_scenes_come_in_the_order_of_the_batches(root: Path) -> None:
    (single,), (whole,) = open_ranks(root, 1), open_ranks(root, 1, batch_size=7)
    assert keys(join(DataLoader(single, batch_size=20))) == keys(join(whole))
    assert next(iter(single)).scene.shape == (3, 96, 96)


def test_the_order_depends_on_the_seed_and_the_epoch_alone(root: Path) -> None:
    def order(seed: int, epoch: int) -> list[bytes]:
        (stream,) = open_ranks(root, 1, batch_size=5, seed=seed)
        stream.set_epoch(epoch)
        return keys(join(stream))

    orders = [order(0, 0), order(0, 1), order(1, 0), order(1, 1)]
    assert len(set(map(tuple, orders))) == 4
    assert len(set(map(frozenset, orders))) == 1
    assert order(1, 1) == orders[3]
    (stream,) = open_ranks(root, 1)
    jobs = [tuple(job for job, _ in stream.visits(epoch, 0, stream.jobs.n_scenes)) for epoch in range(9)]
    assert len(set(jobs)) > 1  # of the jobs as well, not of each one's scenes alone


def test_workers_that_persist_see_the_next_epoch(root: Path) -> None:
    (stream,) = open_ranks(root, 1, batch_size=5)
    loader = DataLoader(stream, None, num_workers=1, persistent_workers=True)
    seen = []
    for epoch in (0, 1, 0):
        stream.set_epoch(epoch)
        seen.append(keys(join(loader)))
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.parametrize(("n_workers", "n_seen"), [(0, 3), (2, 4), (2, 7)])
def test_a_stopped_epoch_goes_on_with_the_batches_that_are_left(
    root: Path, n_workers: int, n_seen: int
) -> None:
    (stream,) = open_ranks(root, 1, batch_size=5)
    loader = DataLoader(stream, None, num_workers=n_workers)
    stream.set_epoch(2)
    whole = [keys(batch) for batch in loader]
    stream.set_epoch(2, n_seen)
    assert [keys(batch) for batch in loader] == whole[n_seen:]


# With workers on fewer cores PyTorch warns.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(
    ("n_scenes", "n_ranks", "n_workers", "batch_size"),
    [(20, 1, 3, 3), (14, 1, 3, 2), (2, 1, 3, 1), (27, 2, 2, 3)],
)
def test_a_stopped_epoch_goes_on_after_workers_of_smaller_shares_have_ended(
    root: Path, n_scenes: int, n_ranks: int, n_workers: int, batch_size: int
) -> None:
    for stream in open_ranks(root, n_ranks, n_scenes=n_scenes, batch_size=batch_size):
        loader = DataLoader(stream, None, num_workers=n_workers, persistent_workers=True)
        whole = [keys(batch) for batch in loader]
        for n_seen in range(len(whole) + 2):
            stream.set_epoch(0, n_seen)
            assert [keys(batch) for batch in loader] == whole[n_seen:]


def test_jobs_that_are_left_out_are_not_loaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stream,) = open_ranks(root, 1, batch_size=5)
    stream.set_epoch(0, n_seen=6)
    loaded = []
    load = type(stream.jobs).load

    def count(jobs: Any, job: int) -> Any:
        loaded.append(job)
        return load(jobs, job)

    monkeypatch.setattr(type(stream.jobs), "load", count)
    assert len(list(stream)) == 4
    assert len(loaded) == 2


def test_the_training_split_is_two_million_scenes_of_the_published_jobs(synthetic_drawings: Drawings) -> None:
    stream = ClutteredOmniglotStream("train", 4, drawings=synthetic_drawings, batch_size=2)
    assert (len(stream.jobs), stream.jobs.n_scenes) == (1000, 2_000_000)
    job, places = next(stream.visits(0, 0, 2))
    few = ClutteredOmniglotStream("train", 4, 20, drawings=synthetic_drawings, batch_size=20)
    (batch,) = few
    images = load_scenes("train", 4, 20, synthetic_drawings).images().transpose(0, 3, 1, 2)
    assert sorted(keys(batch)) == sorted(image.tobytes() for image in images)
    assert (len(places), 0 <= job < 1000) == (2, True)


def test_ranks_come_from_torch_distributed_or_from_torchrun(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "5")
    stream = ClutteredOmniglotStream("test-one-shot", 4, root=root)
    assert (stream.rank, stream.world_size) == (2, 5)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        stream = ClutteredOmniglotStream("test-one-shot", 4, root=root)
    finally:
        dist.destroy_process_group()
    assert (stream.rank, stream.world_size) == (0, 1)


def test_a_pickled_stream_gives_the_same(root: Path) -> None:
    (stream,) = open_ranks(root, 1, batch_size=5)
    stream.set_epoch(3)
    assert keys(join(pickle.loads(pickle.dumps(stream)))) == keys(join(stream))


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("kind", [ClutteredOmniglot, ClutteredOmniglotStream])
@pytest.mark.parametrize(
    ("split", "level", "changes", "message"),
    [
        ("test", 4, {}, "there is no split 'test'; there are train, "),
        ("val-train", 0, {}, "clutter_level is 0"),
        ("val-train", 4, {"n_scenes": 10_001}, "val-train has 10,000 scenes at clutter level 4, not 10,001"),
        ("val-train", 4, {"n_scenes": 0}, "not 0"),
        ("val-train", 4, {"root": "scenes"}, "drawings or from the parts in scenes: give one of the two"),
    ],
)
def test_what_there_is_not_is_refused(
    synthetic_drawings: Drawings, kind: Callable[..., Any], split: str, level: int, changes: Any, message: str
) -> None:
    with refusing(ParameterError, message):
        kind(split, level, drawings=synthetic_drawings, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rank": 2, "world_size": 2}, "rank 2 is none of 2 processes"),
        ({"rank": 0}, "rank 0 is none of None processes"),
    ],
)
def test_a_stream_refuses_impossible_numbers(root: Path, changes: dict[str, int], message: str) -> None:
    with refusing(ParameterError, message):
        ClutteredOmniglotStream("test-one-shot", 4, root=root, **changes)
    with refusing(ParameterError, "n_cached is 0"):
        ClutteredOmniglot("test-one-shot", 4, root=root, n_cached=0)
    with refusing(ParameterError, "n_threads is 0"):
        ClutteredOmniglot("test-one-shot", 4, root=root).preload(n_threads=0)
    (stream,) = open_ranks(root, 1)
    with refusing(ParameterError, "give batch_size to the stream"):
        stream.set_epoch(0, 1)
    with refusing(ParameterError, "neither the epoch -1 nor"):
        stream.set_epoch(-1)


def test_parts_that_are_missing_damaged_or_others_are_refused(root: Path, tmp_path: Path) -> None:
    with refusing(PartError, r"part-0\.zarr\.zip is missing"):
        ClutteredOmniglot("test-one-shot", 8, root=root)
    with refusing(ParameterError, f"has 50 scenes at clutter level 4 in {root}, not 51"):
        ClutteredOmniglot("test-one-shot", 4, 51, root=root)
    place = tmp_path / "4" / "test-one-shot"
    place.mkdir(parents=True)
    for name, source in (("part-0", "part-0"), ("part-1", "part-2"), ("part-2", "part-2")):
        content = (root / "4" / "test-one-shot" / f"{source}.zarr.zip").read_bytes()
        (place / f"{name}.zarr.zip").write_bytes(content)
    data = ClutteredOmniglot("test-one-shot", 4, root=tmp_path)
    with refusing(PartError, r"part-1\.zarr\.zip holds other scenes than expected"):
        data[10]
    flip_bit(place / "part-2.zarr.zip", 2000)
    with refusing(PartError, r"part-2\.zarr\.zip is damaged"):
        data[20]


@pytest.mark.slow
def test_without_pytorch_its_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None; import oneshot.datasets"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "ModuleNotFoundError: torch is not installed: " in done.stderr


def test_without_zarr_parts_are_refused_and_its_extra_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with refusing(ParameterError, "parts on disk cannot be read: zarr is not installed: "):
        ClutteredOmniglot("test-one-shot", 4, root=root)
