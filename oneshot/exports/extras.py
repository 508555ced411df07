"""Packages that only exports need, loaded where they are used."""

import importlib
from typing import Any

from oneshot.errors import OneshotError


class MissingPackageError(OneshotError):
    """Package of an extra that is not installed."""


def load_extra(name: str, extra: str) -> Any:
    """Import a module of a package that an extra of this project installs.

    Raises:
        MissingPackageError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingPackageError(
            f"the package {package} is missing ({error}): pip install 'oneshot[{extra}]' brings it."
        ) from error
