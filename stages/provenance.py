"""Where and how long something was computed: beside the metrics, and nothing depends on it."""

import platform
import subprocess

from oneshot.files import write_json
from oneshot.machine import describe_machine, installed_version
from stages.places import METRICS


def write_provenance(name: str, **facts: float | str) -> None:
    """Write metrics/provenance/NAME.json: seconds or counts, machine, versions, and Git's revision."""
    about = {
        **facts,
        "machine": describe_machine(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in ("torch", "numpy", "numba", "pillow", "zarr")},
        "git_revision": git_revision(),
    }
    write_json(METRICS / "provenance" / f"{name}.json", about)


def git_revision() -> str | None:
    """Find the commit, marked if the tree differs from it; None outside a checkout or without Git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
