"""What this machine is, and which packages are installed on it."""

import importlib
import os
import platform
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from oneshot.errors import MissingPackageError

NAME = "oneshot"
IMPORTED_AS = {"yaml": "pyyaml", "PIL": "pillow"}


def describe_machine() -> str:
    """Name the processor and count its cores."""
    return f"{find_processor()}, {os.cpu_count()} cores"


def find_processor() -> str:
    """Find the processor's name where Linux knows it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed_version(package: str) -> str | None:
    """Find the version of a package; None: it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def list_extras() -> list[str]:
    """List the extras of this package; none where it is not installed but found by its path."""
    try:
        return metadata(NAME).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return []


def packages_of(extra: str) -> list[str]:
    """List the packages that an extra brings, or "": every installation; those of extras within it, too."""
    found: set[str] = set()
    for one in map(Requirement, requires(NAME) or []):
        if (extra == "") if one.marker is None else one.marker.evaluate({"extra": extra}):
            found |= {one.name} - {NAME}
            found.update(*map(packages_of, one.extras))
    return sorted(found)


def explain_missing(error: ModuleNotFoundError) -> str:
    """Say in one sentence how to install the package that could not be imported."""
    module = str(error.name).partition(".")[0]
    package = IMPORTED_AS.get(module, module)
    extras = [extra for extra in list_extras() if package in packages_of(extra)]
    smallest = min(extras, key=lambda extra: len(packages_of(extra)), default=None)
    brings = f", or this package with its extra {smallest}" if smallest else ""
    return f"{package} is not installed: install it{brings}."


def import_optional(module: str) -> Any:
    """Import a module of a package that an extra brings.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(explain_missing(error)) from error
