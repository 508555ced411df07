"""Check that dvc.lock is whole, and put the last whole one back if a killed DVC has left half of it.

DVC writes the file in place after every stage; if it is killed then, it refuses to read what is left. A lock
that happens to end between two stages is whole: DVC runs the stages that it lacks again.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from oneshot.files import write_text

LOCK = Path("dvc.lock")
KEPT = Path(".dvc/tmp/dvc.lock.whole")  # where neither Git nor DVC looks
SCHEMA = "2.0"


def main() -> None:
    """Keep a lock that is whole; else put back the one last kept, or Git's; exit with 1 if there is none."""
    if not LOCK.exists() or keep_lock():
        return
    for origin, text in (("as it was when last whole", read_text(KEPT)), ("as in Git", read_committed())):
        if is_whole(text):
            write_text(LOCK, text)
            print(f"{LOCK} was broken by a killed command: it is back {origin}.", file=sys.stderr)
            return
    sys.exit(f"error: {LOCK} is broken, and neither {KEPT} nor Git has a whole one: delete it.")


def keep_lock() -> bool:
    """Keep a copy of the lock if it is whole; say whether it is."""
    text = read_text(LOCK)
    if not is_whole(text):
        return False
    if text != read_text(KEPT):
        write_text(KEPT, text)
    return True


def is_whole(text: str) -> bool:
    """Check that a lock ends as DVC ends it, and that no entry lacks what DVC writes into each."""
    if not text.endswith("\n"):
        return False
    try:
        lock = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return lock["schema"] == SCHEMA and all(is_stage(stage) for stage in lock["stages"].values())
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return False


def is_stage(stage: dict[str, Any]) -> bool:
    """Check the entry of a stage: here every stage has dependencies and outputs."""
    entries = [*stage["deps"], *stage["outs"]]
    return isinstance(stage["cmd"], str) and all({"path", "md5", "size"} <= entry.keys() for entry in entries)


def read_committed() -> str:
    """Read the lock of Git's last commit; "" outside a checkout or without Git."""
    try:
        done = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.decode(errors="replace")


def read_text(path: Path) -> str:
    """Read a file as far as there is one."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
