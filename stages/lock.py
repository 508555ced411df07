"""Check that dvc.lock is whole, and put the last whole one back if a killed DVC has left half of it.

DVC writes the file in place after every stage; if it is killed then, it refuses to read what is left. A lock
that happens to end between two stages is whole: DVC runs the stages that it lacks again. But if it lacks
stages that the kept copy has and dvc.yaml declares, the copy stays as it is until they are back. A new clone
has no copy yet; a network that was removed from params.yaml is no longer declared.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from oneshot.files import write_text

LOCK = Path("dvc.lock")
KEPT = Path(".dvc/tmp/dvc.lock.whole")  # where neither Git nor DVC looks
SCHEMA = "2.0"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The loader in C crashes on deep nesting. DVC writes no brackets but in texts and for what is empty.
MOST_BRACKETS = 1000
DEEP = re.compile(r"^[-?: ]{200}", re.MULTILINE)
BROKEN = (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError)


def main() -> None:
    """Keep a lock that is whole; else put back the one last kept, or Git's; exit with 1 if there is none.

    Outside a Git checkout, such as in a downloaded archive, DVC is told that there is no Git.
    """
    if not in_git():
        do_without_git()
    if not LOCK.exists():
        return
    if keep_lock():
        if lost := list_lost():
            print(
                f"{LOCK} lacks {len(lost)} stages that it had, such as {lost[0]}: DVC runs them again. "
                f"To have them back instead: cp {KEPT} {LOCK}",
                file=sys.stderr,
            )
        return
    for origin, text in (("as it was when last whole", read_text(KEPT)), ("as in Git", read_committed())):
        if is_whole(text):
            write_text(LOCK, text)
            print(f"{LOCK} was broken by a killed command: it is back {origin}.", file=sys.stderr)
            return
    sys.exit(f"error: {LOCK} is broken, and neither {KEPT} nor Git has a whole one: delete it.")


def in_git() -> bool:
    """Say if this folder is in a Git checkout."""
    return any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents))


def do_without_git() -> None:
    """Set DVC's core.no_scm in its configuration of this machine, without which it refuses to run."""
    command = [sys.executable, "-m", "dvc", "config", "--local", "core.no_scm"]
    if subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "true":
        return
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        print("this folder is in no Git checkout: DVC does without Git (core.no_scm).", file=sys.stderr)


def keep_lock() -> bool:
    """Keep a copy of the lock if it is whole and no stage was lost; say whether it is whole."""
    text = read_text(LOCK)
    if not is_whole(text):
        return False
    if text != read_text(KEPT) and not list_lost():
        write_text(KEPT, text)
    return True


def list_lost() -> list[str]:
    """List the stages that dvc.yaml declares and the kept lock has, but not the lock, which is whole."""
    text, kept = read_text(LOCK), read_text(KEPT)
    if text == kept or not is_whole(kept):
        return []
    lost = yaml.load(kept, LOADER)["stages"].keys() - yaml.load(text, LOADER)["stages"].keys()
    return sorted(lost & list_declared()) if lost else []


def list_declared() -> set[str]:
    """List the stages of dvc.yaml; where it or params.yaml is not as DVC needs it, none: DVC says why."""
    try:
        pipeline, params = (yaml.load(read_text(Path(name)), LOADER) for name in ("dvc.yaml", "params.yaml"))
        declared = set()
        for name, stage in pipeline["stages"].items():
            if "foreach" not in stage:
                declared.add(name)
                continue
            items = params
            for key in stage["foreach"].removeprefix("${").removesuffix("}").split("."):
                items = items[key]
            declared |= {f"{name}@{key}" for key in items}
    except BROKEN:
        return set()
    return declared


def is_whole(text: str) -> bool:
    """Check that a lock ends as DVC ends it, and that no entry lacks what DVC writes into each."""
    if not text.endswith("\n") or text.count("[") + text.count("{") > MOST_BRACKETS or DEEP.search(text):
        return False
    try:
        lock = yaml.load(text, LOADER)
        return lock["schema"] == SCHEMA and all(is_stage(stage) for stage in lock["stages"].values())
    except BROKEN:
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
    """Read a file if there is one."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        main()
    except OSError as error:  # such as a folder in place of a file
        sys.exit(f"error: {error.filename or LOCK} cannot be used: {error.strerror}")
