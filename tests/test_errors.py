"""The last resort of every command: what ends in one sentence, and what in a traceback."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

SEGMENT = "ImportError('torch.so: failed to map segment from shared object')"


def end_with(words: str) -> tuple[int, str]:
    """Import the package of all stages in a process of its own, and run something that is not caught."""
    command = [sys.executable, "-c", f"import stages\n{words}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (f"raise {SEGMENT}", "torch.so: failed to map segment from shared object"),
        (f"try:\n raise {SEGMENT}\nexcept ImportError:\n raise OSError('no llvmlite')", "no llvmlite"),
        ('raise RuntimeError("can\'t start new thread")', "can't start new thread"),
        (
            "raise RuntimeError('cannot join thread before it is started')",
            "cannot join thread before it is started",
        ),
    ],
)
def test_too_little_memory_for_libraries_and_threads_is_one_sentence(words: str, sentence: str) -> None:
    assert end_with(words) == (1, f"error: not enough memory: {sentence}\n")


def test_what_is_nobodys_fault_but_ours_keeps_its_traceback() -> None:
    status, errors = end_with("raise ImportError('no module named torch')")
    assert status == 1
    assert errors.startswith("Traceback")
    assert errors.endswith("ImportError: no module named torch\n")
