"""Where and how long something was computed: beside the metrics, and nothing depends on it."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from oneshot.files import write_json
from stages.places import METRICS


def write_provenance(name: str, **facts: float | str) -> None:
    """Write metrics/provenance/NAME.json: seconds or counts, machine, versions, and Git's revision."""
    about = {
        **facts,
        "machine": machine(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in ("torch", "numpy", "numba", "pillow", "zarr")},
        "git_revision": git_revision(),
    }
    write_json(METRICS / "provenance" / f"{name}.json", about)


def machine() -> str:
    """Name the processor and count its cores."""
    return f"{processor()}, {os.cpu_count()} cores"


def processor() -> str:
    """Find the processor's name where Linux knows it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_revision() -> str | None:
    """Find the commit, marked if the tree differs from it; None outside a checkout or without Git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
