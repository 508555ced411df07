"""dvc.lock after DVC was killed while it wrote it: the last whole one is put back, and DVC reads it."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages import lock

WHOLE = """schema: '2.0'
stages:
  first:
    cmd: echo 1
    outs:
    - path: one.txt
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 2
"""
OLDER = "schema: '2.0'\nstages:\n  first:\n    cmd: echo 0\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commit(text: str) -> None:
    lock.LOCK.write_text(text)
    settings = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "dvc.lock"], [*settings, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], check=True)


# What is left when DVC is killed after so many bytes; some of it is YAML, but not DVC's.
CUTS = [n for n in range(len(WHOLE)) if not lock.is_whole(WHOLE[:n])]


@pytest.mark.parametrize("n_bytes", CUTS[::7])
def test_the_last_whole_one_is_put_back(n_bytes: int, folder: Path, capsys: pytest.CaptureFixture) -> None:
    commit(OLDER)
    lock.LOCK.write_text(WHOLE)
    lock.main()
    assert capsys.readouterr().out == ""
    lock.LOCK.write_text(WHOLE[:n_bytes])
    lock.main()
    assert lock.LOCK.read_text() == WHOLE
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "the last whole one was put back" in said


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe\0", b"[]", WHOLE[:60].encode()])
def test_without_a_kept_one_it_is_the_committed_one(
    damaged: bytes, folder: Path, capsys: pytest.CaptureFixture
) -> None:
    commit(OLDER)
    lock.LOCK.write_bytes(damaged)
    lock.main()
    assert lock.LOCK.read_text() == OLDER
    assert "the committed one was put back" in capsys.readouterr().out


def test_without_any_it_is_removed(folder: Path, capsys: pytest.CaptureFixture) -> None:
    lock.main()  # there is none: nothing to do
    lock.LOCK.write_text("")
    lock.main()
    assert not lock.LOCK.exists()
    assert "removed, so that every stage runs again" in capsys.readouterr().out


def test_dvc_goes_on_after_it(folder: Path) -> None:
    """DVC refuses the empty file, and reads what is put back."""
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], check=True)
    Path("dvc.yaml").write_text("stages:\n  first:\n    cmd: echo 1 > one.txt\n    outs: [one.txt]\n")
    subprocess.run([*dvc, "repro", "-q"], check=True)
    lock.main()
    lock.LOCK.write_text("")  # as DVC leaves it when it is killed between opening and writing
    refused = subprocess.run([*dvc, "status"], capture_output=True, text=True)
    assert refused.returncode != 0
    assert "dvc.lock" in refused.stderr
    lock.main()
    assert subprocess.run([*dvc, "status", "-q"], capture_output=True).returncode == 0
