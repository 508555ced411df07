"""The stages that fetch, pack and render the drawings, and how any stage ends."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from oneshot.errors import ChecksumError, DownloadError
from oneshot.omniglot.drawings import load_drawings
from oneshot.params import Synthetic
from oneshot.published import CLUTTER_LEVELS, RENDERED_SPLITS, read_facts
from stages import download, prepare, render
from stages.command import run
from tests.archives import NAMES, assert_same_files
from tests.conftest import ROOT

SIZES = {"n_alphabets": {"train": 2, "eval": 1, "test": 1}, "n_characters": 2}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run stages in; no mirror is named."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMNIGLOT_MIRROR", "MNIST_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def small_omniglot(published: dict, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The small archives in place of the published ones."""
    published["drawings"]["n_characters"] = {"train": 1, "eval": 10, "test": 1}
    for stage in (download, prepare):
        monkeypatch.setattr(
            stage, "read_facts", lambda name: published if name == "omniglot" else read_facts(name)
        )
    return published


@pytest.fixture
def set_parameters(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(source: str, mirror: str | None = None, mnist: str | None = "/nowhere") -> None:
        scale = SimpleNamespace(
            source=source,
            synthetic=Synthetic.model_validate(SIZES),
            render=SimpleNamespace(n_jobs=1, job_scenes=3),
        )
        params = SimpleNamespace(
            seed=3,
            scale=scale,
            scale_name="smoke",
            omniglot=SimpleNamespace(mirror=mirror, mnist_mirror=mnist),
            render=SimpleNamespace(n_workers=2, backend="threads", address=None),
        )
        for stage in (download, prepare, render):
            monkeypatch.setattr(stage, "load_params", lambda: params)

    return set_all


@pytest.mark.usefixtures("no_network")
def test_synthetic_alphabets_need_no_download(set_parameters):
    set_parameters("synthetic")
    download.main()
    prepare.main()
    raw = list(Path("data/raw").iterdir())
    assert [path.name for path in raw] == ["synthetic.txt"]
    assert raw[0].read_text().count("\n") == 1
    manifest = json.loads(Path("data/manifests/drawings.json").read_text())
    found = load_drawings(Path("data/drawings/drawings.npz"))
    assert manifest["source"] == found.source == "synthetic"
    assert manifest["n_drawings"] == 4 * 2 * 20
    assert manifest["sha256"] == found.sha256()
    assert manifest["character_sets"]["train"]["n_characters"] == 4

    first = Path("data/manifests/drawings.json").read_bytes()
    prepare.main()
    assert Path("data/manifests/drawings.json").read_bytes() == first


@pytest.mark.usefixtures("small_omniglot")
def test_the_environments_mirror_wins_over_the_parameter(monkeypatch, set_parameters, upstream, few_drawings):
    set_parameters("omniglot", mirror="/nowhere")
    monkeypatch.setenv("OMNIGLOT_MIRROR", str(upstream))
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/synthetic.txt").write_text("from another scale")
    download.main()
    prepare.main()
    assert_same_files(Path("data/raw"), upstream)
    manifest = json.loads(Path("data/manifests/drawings.json").read_text())
    assert manifest["sha256"] == few_drawings.sha256()

    set_parameters("synthetic")
    download.main()
    assert sorted(path.name for path in Path("data/raw").iterdir()) == [*NAMES, "synthetic.txt"]


def test_other_drawings_than_the_published_are_refused(small_omniglot, set_parameters, upstream):
    small_omniglot["drawings"]["sha256"] = "0" * 64
    set_parameters("omniglot")
    shutil.copytree(upstream, "data/raw")
    with pytest.raises(ChecksumError, match="not the published 0000"):
        prepare.main()
    assert not Path("data/drawings").exists()


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (DownloadError("no network"), 1, "error: no network\n"),
        (OSError(errno.ENOSPC, "No space left", "data/raw/a.zip"), 1, "error: no room left on the disk"),
        (
            PermissionError(errno.EACCES, "Permission denied", "data/raw"),
            1,
            "error: data/raw cannot be used: Per",
        ),
        (OSError(errno.EFBIG, "File too large"), 1, "error: the system refused: File too large\n"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "error: not enough memory: Unable to allocate 9 GiB\n"),
        (
            RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
            1,
            "error: not enough memory: CUBLAS_STATUS_ALLOC_FAILED\n",
        ),
        (
            NotImplementedError("The operator 'aten::_linalg_eigh' is not implemented for the MPS device"),
            1,
            "error: device mps cannot compute this, set device to cpu: The operator 'aten::_linalg_eigh'",
        ),
        (
            TypeError("Cannot convert a MPS Tensor to float64 dtype"),
            1,
            "error: device mps cannot compute this, set device to cpu: Cannot convert",
        ),
        (
            RuntimeError("could not create a primitive"),
            1,
            "error: not enough memory: could not create a primitive\n",
        ),
        (
            RuntimeError("MPS backend out of memory"),
            1,
            "error: not enough memory: MPS backend out of memory\n",
        ),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_a_stage_ends_in_one_sentence(error, status, sentence, capsys):
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run(fail)
    assert stopped.value.code == status
    out, err = capsys.readouterr()
    assert err.startswith(sentence)
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), OSError("no number"), TypeError("no number"), NotImplementedError()]
)
def test_what_is_no_known_error_keeps_its_traceback(error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        run(fail)


def test_all_levels_are_rendered_in_one_process_and_kept_the_next_time(set_parameters, capsys):
    set_parameters("synthetic")
    prepare.main()
    Path("data/scenes/4/old").mkdir(parents=True)
    Path("data/scenes/4/old/part-0.zarr.zip").write_text("from another scale")
    render.main()
    manifests = {path.name: path.read_bytes() for path in Path("data/manifests").glob("scenes-*")}
    assert set(manifests) == {f"scenes-{level}.json" for level in CLUTTER_LEVELS}
    for level in CLUTTER_LEVELS:
        manifest = json.loads(manifests[f"scenes-{level}.json"])
        assert (manifest["scale"], manifest["clutter_level"]) == ("smoke", level)
        assert list(manifest["sets"]) == list(RENDERED_SPLITS)
        assert {entry["n_scenes"] for entry in manifest["sets"].values()} == {3}
    written = {path: path.stat().st_mtime_ns for path in Path("data/scenes").rglob("*.zip")}
    assert len(written) == 42
    assert "42 parts whole (0 kept), checked against own checksums" in capsys.readouterr().err
    render.main()
    assert "42 parts whole (42 kept)" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in written} == written
    for name, content in manifests.items():
        assert Path("data/manifests", name).read_bytes() == content


@pytest.mark.usefixtures("no_network", "small_omniglot")
def test_without_mnist_the_download_goes_on_and_leaves_the_reason(set_parameters, upstream, capsys):
    set_parameters("omniglot", mirror=str(upstream), mnist="/no/such/folder")
    download.main()
    assert_same_files(Path("data/raw"), upstream)
    (note,) = Path("data/mnist").iterdir()
    assert note.name == "not_fetched.txt"
    assert "MNIST could not be fetched: " in note.read_text()
    assert "/no/such/folder" in note.read_text()
    assert note.read_text().count("\n") == 1
    assert "dvc repro -f download" in capsys.readouterr().err


@pytest.mark.usefixtures("no_network", "small_omniglot")
def test_mnist_once_fetched_takes_the_place_of_the_reason(monkeypatch, set_parameters, upstream):
    fetched: list[str | None] = []

    def fetch(folder: Path, facts: dict, mirror: str | None, progress: bool) -> None:
        fetched.append(mirror)
        (folder / "images").write_text("digits")

    monkeypatch.setattr("stages.download.fetch_mnist", fetch)
    set_parameters("omniglot", mirror=str(upstream), mnist="/from/parameters")
    Path("data/mnist").mkdir(parents=True)
    Path("data/mnist/not_fetched.txt").write_text("earlier")
    download.main()
    assert [path.name for path in Path("data/mnist").iterdir()] == ["images"]
    monkeypatch.setenv("MNIST_MIRROR", "/from/environment")
    download.main()
    assert fetched == ["/from/parameters", "/from/environment"]


@pytest.mark.parametrize(
    "name", ["download", "lock", "pages", "prepare", "prepare_classes", "render", "tables"]
)
def test_stages_without_options_explain_themselves_and_take_none(name: str, tmp_path: Path) -> None:
    for words, status in (["--help"], 0), (["now"], 2):
        command = [sys.executable, "-m", f"stages.{name}", *words]
        ended = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert (ended.returncode, not ended.stdout) == (status, bool(status)), ended.stderr
    assert list(tmp_path.iterdir()) == []
