"""Put back the last whole dvc.lock, if DVC was killed while it wrote it: `python -m stages.lock`.

DVC writes the file over itself after every stage. Whole ones are kept beside it.
"""

import shutil
import subprocess
from pathlib import Path

import yaml

from oneshot.files import write_text
from stages.command import run

LOCK = Path("dvc.lock")
KEPT = Path(".dvc/tmp/dvc.lock.whole")


def main() -> None:
    if not LOCK.is_file():
        return
    text = LOCK.read_text(encoding="utf-8", errors="replace")
    if is_whole(text):
        write_text(KEPT, text)
        return
    kept = KEPT.read_text(encoding="utf-8", errors="replace") if KEPT.is_file() else ""
    committed = read_committed()
    for whole, words in ((kept, "the last whole one"), (committed, "the committed one")):
        if is_whole(whole):
            write_text(LOCK, whole)
            print(f"{LOCK} was not whole, as when DVC is killed while it writes it: {words} was put back.")
            return
    LOCK.unlink()
    print(f"{LOCK} was not whole and there was no whole one: it was removed, so that every stage runs again.")


def is_whole(text: str) -> bool:
    """Say if DVC can read a lock file: it is YAML, and of DVC's form."""
    # Imported here: DVC takes a second to load, and is needed for nothing else.
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text))
    except (yaml.YAMLError, Invalid):
        return False
    return True


def read_committed() -> str:
    """Read the file as Git's last commit has it; empty without Git."""
    if shutil.which("git") is None:
        return ""
    found = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, text=True)
    return found.stdout if found.returncode == 0 else ""


if __name__ == "__main__":
    run(main)
