"""The commit that a recorded run is of."""

import subprocess
from pathlib import Path

from oneshot.records.run import RecordError, check_revision
from stages.places import FIGURES, METRICS, README, RECORDED, TABLES

# What recorded runs, or the pipeline, write themselves, and no training reads.
WRITTEN = (
    RECORDED, METRICS, TABLES, FIGURES, README, "docs", "data/manifests", "dvc.lock", "CHANGELOG.md",
)  # fmt: skip


def recorded_revision(stated: str | None, allow_dirty: bool) -> str:
    """Find the commit that a recorded run is of; -dirty behind it if tracked files differ from it.

    `stated`: what the command line says it is, needed only where there is no checkout to ask.

    Raises:
        RecordError: the tree differs and may not, the revision is not known, or not the one stated.
    """
    if not Path(".git").exists():
        if stated is None:
            raise RecordError(
                "this folder is no Git checkout: name the commit that it was copied from by --revision."
            )
        dirty = "-dirty" if allow_dirty and not stated.endswith("-dirty") else ""
        return check_revision(stated + dirty)
    head = ask_git("rev-parse", "HEAD")
    if stated is not None and not head.startswith(check_revision(stated)):
        raise RecordError(
            f"--revision says {stated}, but this checkout is at {head}: leave the option out here."
        )
    others = [f":(exclude){folder}" for folder in WRITTEN]
    changed = ask_git("status", "--porcelain", "--untracked-files=no", "--", ".", *others).splitlines()
    if changed and not allow_dirty:
        raise RecordError(
            f"{len(changed)} tracked files differ from the commit ({changed[0][3:]} is one): commit them, "
            "or say --allow-dirty, which the record will tell."
        )
    return head + ("-dirty" if changed else "")


def ask_git(*words: str) -> str:
    """Return what Git answers. Raises RecordError if it does not."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.rstrip()
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise RecordError(
            f"Git does not tell this checkout's revision: {' '.join(reason.split())}."
        ) from None
