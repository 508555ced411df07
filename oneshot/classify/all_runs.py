"""Lake's own one-shot trials: 20 runs of 20 training and 20 test drawings, from all_runs.zip.

Source: Lake, Salakhutdinov, Tenenbaum 2015; github.com/brendenlake/omniglot, python/one-shot-classification.
"""

import re
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from oneshot.classify.episodes import Episodes
from oneshot.errors import ArchiveError
from oneshot.omniglot.drawings import SIDE, check_member, opening_archive, read_png, unpack_rows

N_RUNS = 20
N_WAY = 20
LABELS = "class_labels.txt"
# A run's drawings: those shown, then those asked.
PNGS = [f"{name}{k:02d}.png" for name in ("training/class", "test/item") for k in range(1, N_WAY + 1)]
ADVICE = "delete it and run the stage download again"


def read_all_runs(path: Path) -> tuple[UInt8[np.ndarray, "800 105 105"], Episodes]:
    """Read all runs' drawings, ink 1, and the runs as 20-way one-shot episodes over them, 20 queries each.

    A run's 20 training drawings come first, class01 to class20, then its test drawings, item01 to item20.

    Raises:
        ArchiveError: the archive is missing, cut off, unsafe, or not 20 whole runs.
    """
    with opening_archive(path) as archive:
        found = _find_members(archive, path)
        runs = [_read_run(archive, path, found, f"run{number:02d}") for number in range(1, N_RUNS + 1)]
    images = unpack_rows(np.concatenate([bits for bits, _ in runs]))
    numbers = np.arange(len(images), dtype=np.int32).reshape(N_RUNS, 2 * N_WAY)
    answers = np.array([answers for _, answers in runs], np.int32)
    return images, Episodes("all_runs", N_WAY, 1, numbers[:, :N_WAY], numbers[:, N_WAY:], answers)


def error_percent(hits: Bool[np.ndarray, "episodes queries"]) -> float:
    """Count wrong answers in %, as Lake reports them: runs are of equal size, so it is their mean."""
    return 100 * int((~hits).sum()) / hits.size


def _find_members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Find every file by its name, but hidden ones; more or fewer than 20 runs of 41 files are refused."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        check_member(member, path)
        if member.is_dir() or re.search(r"(^|/)(\.|__MACOSX)", member.filename):
            continue
        if member.filename in found:
            raise ArchiveError(f"{path} holds {member.filename!r} twice: {ADVICE}")
        found[member.filename] = member
    expected = {f"run{run:02d}/{name}" for run in range(1, N_RUNS + 1) for name in (LABELS, *PNGS)}
    for wrong, what in ((expected - found.keys(), "lacks"), (found.keys() - expected, "holds a stray")):
        if wrong:
            raise ArchiveError(f"{path} {what} {min(wrong)!r} ({len(wrong)} in all): {ADVICE}")
    return found


def _read_run(
    archive: zipfile.ZipFile, path: Path, found: dict[str, zipfile.ZipInfo], run: str
) -> tuple[UInt8[np.ndarray, "40 105 14"], list[int]]:
    """Read a run's packed drawings, and the class of every test drawing, from 0."""
    names = [f"{run}/{name}" for name in PNGS]
    rows = b"".join(read_png(archive.read(found[name]), path, name) for name in names)
    lines = archive.read(found[f"{run}/{LABELS}"]).decode("ascii", "replace").split("\n")
    classes = dict(line.split() for line in lines if len(line.split()) == 2)
    answers = [names.index(classes.get(name, name)) for name in names[N_WAY:] if classes.get(name) in names]
    if len(classes) != N_WAY or sorted(answers) != list(range(N_WAY)):
        raise ArchiveError(
            f"{path} has a {run}/{LABELS} that does not give every test drawing one class: {ADVICE}"
        )
    return np.frombuffer(rows, np.uint8).reshape(2 * N_WAY, SIDE, 14), answers
