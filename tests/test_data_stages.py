"""The two stages that fetch and pack the drawings, and how any stage ends."""

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from oneshot.errors import ChecksumError, DownloadError
from oneshot.omniglot.drawings import Drawings, load_drawings
from stages import download, prepare
from stages.command import run
from tests.archives import NAMES, assert_same_files

SIZES = {"n_train_alphabets": 2, "n_eval_alphabets": 1, "n_test_alphabets": 1, "n_characters": 2}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict) -> Path:
    """A folder to run stages in, with the published facts; OMNIGLOT_MIRROR is not set."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMNIGLOT_MIRROR", "MNIST_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    write_facts(tmp_path, facts)
    return tmp_path


def write_facts(checkout: Path, facts: dict) -> None:
    (checkout / "oneshot/published").mkdir(parents=True, exist_ok=True)
    (checkout / "oneshot/published/omniglot.json").write_text(json.dumps(facts))


def set_parameters(
    monkeypatch: pytest.MonkeyPatch, source: str, mirror: str | None = None, mnist: str | None = "/nowhere"
) -> None:
    scale = SimpleNamespace(source=source, synthetic=SimpleNamespace(**SIZES))
    params = SimpleNamespace(seed=3, scale=scale, omniglot=SimpleNamespace(mirror=mirror, mnist_mirror=mnist))
    monkeypatch.setattr("stages.download.load_params", lambda: params)
    monkeypatch.setattr("stages.prepare.load_params", lambda: params)


@pytest.mark.usefixtures("no_network")
def test_synthetic_alphabets_are_prepared_without_any_download(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_parameters(monkeypatch, "synthetic")
    download.main()
    prepare.main()
    raw = list((checkout / "data/raw").iterdir())
    assert [path.name for path in raw] == ["synthetic.txt"]
    assert raw[0].read_text().count("\n") == 1
    manifest = json.loads((checkout / "data/manifests/drawings.json").read_text())
    found = load_drawings(checkout / "data/drawings/drawings.npz")
    assert manifest["source"] == found.source == "synthetic"
    assert manifest["n_drawings"] == 4 * 2 * 20
    assert manifest["sha256"] == found.sha256()
    assert manifest["character_sets"]["train"]["n_characters"] == 4

    first = (checkout / "data/manifests/drawings.json").read_bytes()
    prepare.main()
    assert (checkout / "data/manifests/drawings.json").read_bytes() == first


def test_the_environments_mirror_wins_over_the_parameter(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, published: dict, upstream: Path, few_drawings: Drawings
) -> None:
    published["drawings"]["n_characters"] = {"train": 1, "eval": 10, "test": 1}
    write_facts(checkout, published)
    set_parameters(monkeypatch, "omniglot", mirror="/nowhere")
    monkeypatch.setenv("OMNIGLOT_MIRROR", str(upstream))
    (checkout / "data/raw").mkdir()
    (checkout / "data/raw/synthetic.txt").write_text("from another scale")
    download.main()
    prepare.main()
    assert_same_files(checkout / "data/raw", upstream)
    manifest = json.loads((checkout / "data/manifests/drawings.json").read_text())
    assert manifest["sha256"] == few_drawings.sha256()

    set_parameters(monkeypatch, "synthetic")
    download.main()
    assert sorted(path.name for path in (checkout / "data/raw").iterdir()) == [*NAMES, "synthetic.txt"]


def test_other_drawings_than_the_published_are_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, published: dict, upstream: Path
) -> None:
    published["drawings"] |= {"n_characters": {"train": 1, "eval": 10, "test": 1}, "sha256": "0" * 64}
    write_facts(checkout, published)
    set_parameters(monkeypatch, "omniglot")
    shutil.copytree(upstream, checkout / "data/raw")
    with pytest.raises(ChecksumError, match="not the published 0000"):
        prepare.main()
    assert not (checkout / "data/drawings").exists()


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (DownloadError("no network"), 1, "error: no network\n"),
        (
            OSError(errno.ENOSPC, "No space left", "data/raw/a.zip"),
            1,
            "error: no room left on the disk of data",
        ),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_a_stage_ends_in_one_sentence(
    error: BaseException, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run(fail)
    assert stopped.value.code == status
    out, err = capsys.readouterr()
    assert err.startswith(sentence)
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("error", [ZeroDivisionError(), PermissionError(errno.EACCES, "Permission denied")])
def test_what_is_no_known_error_keeps_its_traceback(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        run(fail)


def test_the_facts_say_what_the_readme_needs(facts: dict) -> None:
    assert set(facts["archives"]) == set(NAMES)
    assert facts["drawings"]["n_drawings"] == 20 * sum(facts["drawings"]["n_characters"].values())


@pytest.mark.usefixtures("no_network")
def test_without_mnist_the_download_goes_on_and_leaves_the_reason(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, published: dict, upstream: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_facts(checkout, published)
    set_parameters(monkeypatch, "omniglot", mirror=str(upstream), mnist="/no/such/folder")
    download.main()
    assert_same_files(checkout / "data/raw", upstream)
    (note,) = (checkout / "data/mnist").iterdir()
    assert note.name == "not_fetched.txt"
    assert "MNIST could not be fetched: " in note.read_text()
    assert "/no/such/folder" in note.read_text()
    assert note.read_text().count("\n") == 1
    assert "dvc repro -f download" in capsys.readouterr().err


@pytest.mark.usefixtures("no_network")
def test_mnist_once_fetched_takes_the_place_of_the_reason(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, published: dict, upstream: Path
) -> None:
    write_facts(checkout, published)
    fetched: list[str | None] = []

    def fetch(folder: Path, facts: dict, mirror: str | None, progress: bool) -> None:
        fetched.append(mirror)
        (folder / "images").write_text("digits")

    monkeypatch.setattr("stages.download.fetch_mnist", fetch)
    set_parameters(monkeypatch, "omniglot", mirror=str(upstream), mnist="/from/parameters")
    (checkout / "data/mnist").mkdir(parents=True)
    (checkout / "data/mnist/not_fetched.txt").write_text("earlier")
    download.main()
    assert [path.name for path in (checkout / "data/mnist").iterdir()] == ["images"]
    monkeypatch.setenv("MNIST_MIRROR", "/from/environment")
    download.main()
    assert fetched == ["/from/parameters", "/from/environment"]
