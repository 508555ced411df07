"""Files that are whole or absent."""

import errno
import io
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oneshot.errors import ManifestError, ParameterError
from oneshot.files import find_sha256, load_arrays, load_safetensors, read_json, replacing, write_json
from tests.conftest import ROOT, refusing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_hard_linked_file_is_replaced_and_not_written_into(tmp_path: Path) -> None:
    cached, path = tmp_path / "cached", tmp_path / "file"
    cached.write_text("old")
    path.hardlink_to(cached)
    with replacing(path) as file:
        file.write(b"new")
    assert (cached.read_text(), path.read_text()) == ("old", "new")


def test_text_is_written_below_new_folders(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "a.json", {"é": [1]})
    assert (tmp_path / "new" / "a.json").read_text() == '{\n "\\u00e9": [\n  1\n ]\n}\n'


@pytest.mark.parametrize("path", [".", "", "/"])
def test_a_path_that_names_no_file_is_refused(path: str) -> None:
    with refusing(ParameterError, r"'[./]' is a folder: give the name of a file"), replacing(Path(path)):
        pass


WRITER = """
import os, signal, sys
from pathlib import Path
from oneshot.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    print(flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_half_written_goes_with_the_next_writing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "a.csv")], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        write_json(tmp_path / "b.json", 1)
        assert len(list(tmp_path.glob("a.csv.*.partial"))) == 1  # somebody still writes it
        process.kill()
    (tmp_path / f"fetching-x.{platform.node()}.{process.pid}.partial").mkdir()
    elsewhere = f"c.json.another-machine.{process.pid}.partial"
    (tmp_path / elsewhere).touch()
    write_json(tmp_path / "b.json", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"b.json", elsewhere}


@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_json(path, dict, "delete it"),
        lambda path: load_arrays(path, "delete it"),
        lambda path: load_safetensors(path, "numpy", "delete it"),
        lambda path: find_sha256(path, "delete it"),
    ],
)
def test_a_file_that_the_system_does_not_open_is_not_called_damaged(
    read: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(io, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        read(path)
    monkeypatch.undo()
    path.unlink()
    with pytest.raises(ManifestError):
        read(path)
