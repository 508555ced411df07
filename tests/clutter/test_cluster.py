"""Rendering on a cluster: the same files as in one process."""

from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from dask.distributed import LocalCluster

from oneshot.clutter.parts import Part, complete_parts, list_parts
from oneshot.clutter.scenes import Pens, lay_out
from oneshot.errors import ClusterError
from oneshot.omniglot.drawings import Drawings


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The scheduler of a real cluster of two processes on this machine."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def pens(synthetic_drawings: Drawings) -> dict[str, Pens]:
    return {"train": lay_out(synthetic_drawings, "train")}


@pytest.fixture
def parts(synthetic_drawings: Drawings) -> list[Part]:
    return list_parts(8, "train", synthetic_drawings.sha256(), 6, 20)


@pytest.mark.slow
def test_a_cluster_of_dask_writes_the_files_that_one_process_writes(
    address: str, pens: dict[str, Pens], parts: list[Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = []
    for folder, where in (("here", {}), ("there", {"backend": "dask", "address": address})):
        records = list(complete_parts(Path(folder), parts, pens, -1, **where))
        assert {record.part.job for record in records} == set(range(6))
        assert not any(record.kept for record in records)
        files.append({part.name: (tmp_path / folder / part.name).read_bytes() for part in parts})
    assert files[0] == files[1]
    again = complete_parts(Path("there"), parts, pens, -1, "dask", address)
    assert all(record.kept for record in again)


def test_a_cluster_that_does_not_answer_is_named(
    pens: dict[str, Pens], parts: list[Part], tmp_path: Path
) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(ClusterError, match=r"no cluster of dask answers at tcp://127\.0\.0\.1:9: "),
    ):
        list(complete_parts(tmp_path, parts, pens, -1, "dask", "tcp://127.0.0.1:9"))
    assert list(tmp_path.iterdir()) == []
