"""A lock that a killed DVC left half-written is put back; every command that calls DVC looks first."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages import command, lock
from tests.conftest import ROOT

WHOLE = (ROOT / "dvc.lock").read_text()
CALLS_DVC = re.compile(r"\bdvc (repro|exp run)\b")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Git checkout with a lock that lacks its last stage, committed."""
    monkeypatch.chdir(tmp_path)
    committed = WHOLE[: WHOLE.index("\n  train_")] + "\n"
    Path("dvc.lock").write_text(committed)
    for words in ("init -q", "add dvc.lock", "-c user.name=a -c user.email=a@b commit -qm a"):
        subprocess.run(["git", *words.split()], check=True)
    return tmp_path


def test_outside_a_git_checkout_dvc_does_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", ".dvc")
    Path("dvc.yaml").write_text("stages:\n  a:\n    cmd: cp b a\n    deps: [b]\n    outs: [a]\n")
    Path("b").write_text("there")
    dvc = [sys.executable, "-m", "dvc", "repro", "-q"]
    assert subprocess.run(dvc, capture_output=True, check=False).returncode != 0
    lock.main()
    assert (
        capsys.readouterr().err == "this folder is in no Git checkout: DVC does without Git (core.no_scm).\n"
    )
    subprocess.run(dvc, check=True)
    assert Path("a").read_text() == "there"
    lock.main()
    assert capsys.readouterr().err == ""


def test_every_cut_within_a_stage_is_noticed() -> None:
    assert lock.is_whole(WHOLE)
    outs = re.compile(r" {4}- path: .*\n {6}hash: md5\n {6}md5: .*\n {6}size: .*\n( {6}nfiles: .*\n)?\Z")
    for end in range(0, len(WHOLE) - 1, 173):
        if lock.is_whole(WHOLE[:end]):  # which ends between two outputs or stages
            assert outs.search(WHOLE[:end])


BROKEN = {
    "empty": "",
    "cut off": WHOLE[: len(WHOLE) // 2 + 7],
    "one word": "schema",
    "binary": "\0\1",
    "another form": "schema: '2.0'\nstages: []\n",
    "a stage without cmd": "schema: '2.0'\nstages:\n  a: {}\n",
    "no date": "schema: 2026-13-45\n",
    "no number": "schema: !!int ''\n",
    "deep": "[" * 200_000 + "\n",
    "deep without brackets": "- " * 200_000 + "\n",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_lock_is_put_back_as_it_was_last_whole_or_as_in_git(
    broken: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, committed = Path("dvc.lock"), Path("dvc.lock").read_text()
    path.write_text(BROKEN[broken])
    lock.main()
    assert path.read_text() == committed
    assert capsys.readouterr().err == "dvc.lock was broken by a killed command: it is back as in Git.\n"
    path.write_text(WHOLE)
    lock.main()
    path.write_text(BROKEN[broken])
    lock.main()
    assert path.read_text() == WHOLE
    assert capsys.readouterr().err.endswith("it is back as it was when last whole.\n")


def test_a_lock_that_nothing_can_replace_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "stages.lock"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: dvc.lock is broken, and neither")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("folder", [lock.LOCK, lock.KEPT])
def test_a_folder_in_place_of_a_file_is_one_sentence(folder: Path, checkout: Path) -> None:
    folder.unlink(missing_ok=True)
    folder.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "stages.lock"], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"error: {folder} cannot be used: Is a directory\n"


def copy_pipeline() -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, name)
    Path("dvc.lock").write_text(WHOLE)
    lock.main()


CUT = WHOLE[: WHOLE.index("\n  evaluate_segmentation:")] + "\n"


@pytest.mark.parametrize("less", ["schema: '2.0'\nstages: {}\n", CUT])
def test_a_lock_that_has_lost_stages_does_not_replace_the_last_whole_one(
    less: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_pipeline()
    assert capsys.readouterr().err == ""
    Path("dvc.lock").write_text(less)
    lock.main()
    assert lock.KEPT.read_text() == WHOLE
    assert Path("dvc.lock").read_text() == less
    assert re.fullmatch(r"dvc\.lock lacks \d+ stages .*: cp \S+whole dvc\.lock\n", capsys.readouterr().err)


def test_a_lock_without_a_network_that_was_removed_is_kept(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_pipeline()
    start = WHOLE.index("  train_classification@protonet:")
    less = WHOLE[:start] + WHOLE[WHOLE.index("\n  evaluate_segmentation:") + 1 :]
    Path("dvc.lock").write_text(less)
    params = yaml.safe_load(Path("params.yaml").read_text())
    del params["classification"]["networks"]["protonet"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    lock.main()
    assert lock.KEPT.read_text() == less
    assert capsys.readouterr().err == ""


def test_without_a_lock_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lock.main()
    assert not list(tmp_path.iterdir())


def test_a_stage_under_dvc_keeps_the_lock_of_those_before_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.run(lambda: None)
    assert not lock.KEPT.exists()
    monkeypatch.setenv("DVC_STAGE", "tables")
    command.run(lambda: None)
    assert lock.KEPT.read_text() == Path("dvc.lock").read_text()


KILLED = """
import os, signal
from dvc.repo import Repo
from dvc.utils.serialize import _yaml
def dump(data, stream, whole=_yaml._dump):  # as far as a kill in the midst of writing comes
    if not str(stream.name).endswith("dvc.lock"):
        return whole(data, stream)
    stream.write("schema: '2.0'\\nstages:\\n  a:\\n    cm")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
_yaml._dump = dump
Repo().reproduce()
"""


def test_dvc_killed_while_it_writes_the_lock_goes_on_after_it_was_put_back(checkout: Path) -> None:
    Path("a.txt").write_text("a")
    stage = "stages:\n  a:\n    cmd: cp a.txt b.txt\n    deps: [a.txt]\n    outs: [b.txt]\n"
    Path("dvc.yaml").write_text(stage)
    Path("dvc.lock").unlink()
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q"], check=True)
    subprocess.run([*dvc, "repro", "-q"], check=True)
    lock.main()
    Path("a.txt").write_text("b")
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    refused = subprocess.run([*dvc, "repro"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    lock.main()
    subprocess.run([*dvc, "repro", "-q"], check=True)
    assert Path("b.txt").read_text() == "b"


def test_every_command_of_ours_that_calls_dvc_looks_at_the_lock_first() -> None:
    makefile = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("\t")]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    blocks = [
        block for page in pages for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    calling = [text for text in makefile + blocks if CALLS_DVC.search(text)]
    assert len(calling) >= 6
    for text in calling:
        assert "python -m stages.lock" in text[: CALLS_DVC.search(text).start()], text  # type: ignore[union-attr]
