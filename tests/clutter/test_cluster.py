"""Work on a cluster: the same files and the same errors as in one process."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from dask.distributed import LocalCluster

from oneshot.__main__ import main
from oneshot.clutter.cluster import Backend, call_in_parallel
from oneshot.clutter.parts import Part, complete_parts, list_parts
from oneshot.clutter.scenes import Pens, lay_out
from oneshot.errors import ChecksumError, ClusterError, ParameterError
from oneshot.omniglot.drawings import Drawings
from tests.conftest import refusing


@pytest.fixture(scope="module", params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Iterator[tuple[Backend, str]]:
    """A real cluster of two processes on this machine: its kind and address."""
    if request.param == "dask":
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started:
            yield "dask", started.scheduler_address
        return
    # A busy machine starts Ray slowly.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    head = pytest.importorskip("ray.cluster_utils").Cluster()
    head.add_node(num_cpus=2, include_dashboard=False)
    yield "ray", head.address
    head.shutdown()


@pytest.fixture
def pens(synthetic_drawings: Drawings) -> dict[str, Pens]:
    return {"train": lay_out(synthetic_drawings, "train")}


@pytest.fixture
def parts(synthetic_drawings: Drawings) -> list[Part]:
    return list_parts(8, "train", synthetic_drawings.sha256(), 6, 20)


@pytest.mark.slow
def test_a_cluster_writes_the_files_and_raises_the_errors_of_one_process(
    cluster: tuple[Backend, str],
    pens: dict[str, Pens],
    parts: list[Part],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = replace(parts[0], job=6, known={"images": "0"})
    files, sentences = [], []
    for folder, where in (("here", ()), ("there", cluster)):
        records = []
        with refusing(ChecksumError, match="job 6 of train") as caught:
            for record in complete_parts(Path(folder), [*parts, wrong], pens, -1, *where):
                records.append(record)
        sentences.append(str(caught.value))
        assert [record.part.job for record in records] == list(range(6))
        assert not any(record.kept for record in records)
        files.append({part.name: (tmp_path / folder / part.name).read_bytes() for part in parts})
    assert files[0] == files[1]
    assert sentences[0] == sentences[1]


def wait_or_fail() -> Callable[[float], float]:
    """Make a function that waits for so many seconds, or fails at once: a nested one, which is sent whole."""

    def work(seconds: float) -> float:
        if not seconds:
            raise ParameterError("there is nothing to wait for")
        time.sleep(seconds)
        return seconds

    return work


def see_errors_in_turn(backend: Backend = "threads", address: str | None = None) -> None:
    found = []
    calls = [(0.4,), (0.3,), (0.0,), (0.2,)]
    with refusing(ParameterError, match="nothing to wait for"):
        for seconds in call_in_parallel(wait_or_fail(), calls, 4, backend, address):
            found.append(seconds)
    assert found == [0.4, 0.3]


def test_an_error_comes_after_the_results_of_earlier_calls() -> None:
    see_errors_in_turn()


@pytest.mark.slow
def test_an_error_comes_after_them_from_a_cluster(cluster: tuple[Backend, str]) -> None:
    see_errors_in_turn(*cluster)


@pytest.mark.slow
def test_one_core_of_a_cluster_suffices_and_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as started:
        found = list(call_in_parallel(os.getpid, [()] * 3, -1, "dask", started.scheduler_address))
        assert len(found) == 3
        assert os.getpid() not in found
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as started:
        address = started.scheduler_address
        started.adapt(minimum=0, maximum=1)
        assert os.getpid() not in call_in_parallel(os.getpid, [()], -1, "dask", address)
    monkeypatch.setattr("oneshot.clutter.cluster.ANSWER_SECONDS", 0.5)
    with LocalCluster(n_workers=0, dashboard_address=None) as started:
        address = started.scheduler_address
        with refusing(ClusterError, match=f"no worker of the cluster of dask at {address} answers"):
            list(call_in_parallel(os.getpid, [()], -1, "dask", address))


@pytest.mark.slow
def test_workers_that_are_started_here_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # where a cluster of Dask's own leaves it
    (setting,) = call_in_parallel(os.getenv, [("MALLOC_TRIM_THRESHOLD_",)], -1, "dask")
    assert setting is None


@pytest.mark.omniglot
@pytest.mark.parametrize("cluster", ["dask"], indirect=True)
def test_a_cluster_verifies_sets(
    cluster: tuple[Backend, str],
    drawings: Drawings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("oneshot.clutter.parts.CLUTTER_LEVELS", (4, 8))
    monkeypatch.setattr("oneshot.clutter.parts.RENDERED_SPLITS", ("covered-one-shot",))
    monkeypatch.chdir(tmp_path)
    (part,), (other,) = (list_parts(level, "covered-one-shot", drawings.sha256()) for level in (4, 8))
    list(complete_parts(tmp_path / "sets", [part, other], {"test": lay_out(drawings, "test")}, -1))
    words = ["verify", "sets", "--backend", cluster[0], "--address", cluster[1]]
    main(words)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["4", "covered-one-shot"],
        ["8", "covered-one-shot"],
    ]
    shutil.copyfile(tmp_path / "sets" / part.name, tmp_path / "sets" / other.name)
    with pytest.raises(SystemExit, match=r"^error: covered-one-shot at clutter level 8 .* is not the set"):
        main(words)


@pytest.mark.parametrize(("backend", "address"), [("dask", "tcp://127.0.0.1:9"), ("ray", "127.0.0.1:9")])
def test_a_cluster_that_does_not_answer_is_named(
    backend: Backend, address: str, pens: dict[str, Pens], parts: list[Part], tmp_path: Path
) -> None:
    if backend == "ray":
        pytest.importorskip("ray")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        refusing(ClusterError, match=f"the cluster of {backend} at {address} does not answer: "),
    ):
        list(complete_parts(tmp_path, parts, pens, -1, backend, address))
    assert list(tmp_path.iterdir()) == []
