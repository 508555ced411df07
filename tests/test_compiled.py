"""Where compiled kernels are kept: in a temporary folder, if the package and the home cannot be written."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import pytest

from oneshot import compiled
from tests.conftest import ROOT

# numba may then look in no folder but one that it is given, as where it can write to no other.
NO_FOLDER = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
SCRIPT = """
import numpy as np
from oneshot.classify.hausdorff_kernels import ink_distance

points = np.arange(3.0)
print(ink_distance(points, points, points, points))
"""


def test_kernels_are_kept_in_a_temporary_folder_where_no_other_can_be_written(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), **NO_FOLDER}

    def compile_once() -> dict[Path, int]:
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert float(done.stdout) == 0
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("oneshot-compiled-*/**/*.nbc")}

    first = compile_once()
    assert first
    assert compile_once() == first  # taken from there, not compiled again


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
    usual = compiled.make_own_folder()
    assert compiled.make_own_folder() == usual
    usual.chmod(0o777)
    assert compiled.make_own_folder() not in (usual, tmp_path)


LIMITED = f"""
import resource, sys
from oneshot.compiled import count_addresses_left
from oneshot.classify import hausdorff_kernels
from oneshot import __main__ as one
from stages.command import run

assert count_addresses_left() is None
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 100 * 2**20, resource.RLIM_INFINITY))
assert 90 * 2**20 < count_addresses_left() <= 100 * 2**20
def use():
{textwrap.indent(SCRIPT, "    ")}
"""
COMMANDS = {
    "a stage": "run(use)",
    "a command": "one.scenes.render_scenes = lambda _: use()\n"
    "one.main('render --characters test --clutter-level 4 --seed 1 --scenes 1 --sha256'.split())",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are Linux's")
@pytest.mark.parametrize("command", COMMANDS)
def test_too_few_addresses_to_compile_are_one_sentence_where_llvm_would_end_the_process(
    command: str, tmp_path: Path
) -> None:
    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", LIMITED + COMMANDS[command]],
            cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path), **NO_FOLDER},
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip

    done = run()
    assert done.returncode == 1, done.stderr
    sentence = r"error: not enough memory: \d+ MiB of addresses are left, and to compile .*\(ulimit -v\)\n"
    assert re.fullmatch(sentence, done.stderr)
    environment = {**os.environ, "TMPDIR": str(tmp_path), **NO_FOLDER}
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, check=True)
    assert run().returncode == 0  # what is compiled already needs little


def test_functions_of_others_are_compiled_as_they_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "count_addresses_left", lambda: 0)

    @numba.njit
    def add_one(x: int) -> int:
        return x + 1

    assert add_one(1) == 2
