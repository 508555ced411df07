"""What several test files share."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneshot.omniglot.download import md5
from oneshot.omniglot.drawings import Drawings, load_drawings, read_archives
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.published import read_facts
from oneshot.segment.render_ahead import RenderJob, Stock
from tests.archives import members, write_zip

ROOT = Path(__file__).parent.parent
# Files of tests that take long, the longest first, so that none is left over when the others are done.
LONG = (
    "test_pipeline", "test_golden", "test_record", "test_speed", "test_distributed", "test_adding_a_network",
    "test_wheel", "test_site", "test_network",
)  # fmt: skip
# What `make check` leaves out, by a part of the test's name or file, besides the tests on real data.
SLOW = (
    *LONG, "test_release", "test_tables", "test_masknet_losses", "test_evaluate_masknet", "killed",
    "stopped_at_any_step", "overfitted", "learn_from_episodes",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, and mark the tests that `make check` leaves out."""

    def place(item: pytest.Item) -> int:
        return next((k for k, name in enumerate(LONG) if name in item.nodeid), len(LONG))

    items.sort(key=place)
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if marks & {"omniglot", "mnist"} or any(name in item.nodeid for name in SLOW):
            item.add_marker(pytest.mark.slow)


@contextmanager
def refusing(error: type[Exception], match: str | None = None) -> Iterator[pytest.ExceptionInfo]:
    """Expects an error that says what is wrong in one line."""
    with pytest.raises(error, match=match) as caught:
        yield caught
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="session")
def facts() -> dict[str, Any]:
    """Published facts about Omniglot's archives and drawings."""
    return read_facts("omniglot")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder in OMNIGLOT_MIRROR with the three archives."""
    address = os.environ.get("OMNIGLOT_MIRROR")
    if not address or not Path(address).is_dir():
        pytest.skip("OMNIGLOT_MIRROR is no folder with the Omniglot archives")
    return Path(address)


@pytest.fixture(scope="session")
def drawings(request: pytest.FixtureRequest) -> Drawings:
    """All of Omniglot: what the pipeline has prepared, else from the mirror. Mark its tests with omniglot."""
    prepared = ROOT / "data/drawings/drawings.npz"
    if prepared.is_file() and (found := load_drawings(prepared)).source == "omniglot":
        return found
    mirror = request.getfixturevalue("mirror")
    return read_archives(mirror / "images_background.zip", mirror / "images_evaluation.zip")


@pytest.fixture(scope="session")
def synthetic_drawings() -> Drawings:
    """A few alphabets for every character set, 6 characters each."""
    return draw_alphabets(np.random.default_rng(7), {"train": 3, "eval": 2, "test": 2}, 6)


@pytest.fixture(scope="session")
def few_drawings() -> Drawings:
    """As few alphabets as there can be with all three character sets."""
    return draw_alphabets(np.random.default_rng(0), {"train": 1, "eval": 10, "test": 1}, 1)


@pytest.fixture(scope="session")
def upstream(few_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three archives laid out like the published ones."""
    folder = tmp_path_factory.mktemp("upstream")
    contents = members(few_drawings, "images_evaluation")
    background = {n.replace("evaluation", "background"): c for n, c in contents.items() if "_01/" in n}
    write_zip(folder / "images_background.zip", background.items())
    evaluation = [(n, c) for n, c in contents.items() if "_01/" not in n]
    write_zip(folder / "images_evaluation.zip", evaluation)
    write_zip(folder / "all_runs.zip", [("run01/class_labels.txt", b"run01/test/item01.png")])
    return folder


@pytest.fixture
def published(upstream: Path, few_drawings: Drawings) -> dict[str, Any]:
    """The small archives' facts, in the form of oneshot/published/omniglot.json; upstream is nowhere."""
    sets = {"images_background.zip": ["train"], "images_evaluation.zip": ["eval", "test"], "all_runs.zip": []}
    archives = {
        name: {"path": f"python/{name}", "md5": md5(upstream / name), "character_sets": sets[name]}
        for name in sets
    }
    by_set = {name: few_drawings.of(name).sha256() for name in ("train", "eval", "test")}
    return {
        "address": "http://127.0.0.1:9/omniglot",
        "revision": "pinned",
        "branch": "master",
        "archives": archives,
        "drawings": {"sha256": few_drawings.sha256(), "by_character_set_sha256": by_set},
    }


@pytest.fixture
def open_stock() -> Iterator[Callable[..., Stock]]:
    """Opens stocks of rendered jobs, with room for all unless told otherwise; closed after the test."""
    with ExitStack() as opened:

        def open_one(render_job: RenderJob, **changes: Any) -> Stock:
            settings = {"memory_bytes": 10**9, "n_ahead": 4, "n_threads": 1} | changes
            return opened.enter_context(Stock(render_job, **settings))

        yield open_one


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads go where their address says, and try again at once."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
