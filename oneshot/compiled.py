"""Compilation of kernels by numba, kept on disk wherever there is a folder to keep it in."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as `numba.njit` does with these options, once for all processes to come.

    numba keeps compiled code beside the source or else in the user's home. Where it can write to neither, it
    is kept in a temporary folder of the user's own.
    """

    def compile_cached(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available": no folder that can be written
            config.CACHE_DIR = str(make_own_folder())  # type: ignore[attr-defined]
            return njit(cache=True, **options)(function)

    return compile_cached


def make_own_folder() -> Path:
    """Make the user's folder for compiled code; where its name is somebody else's, a new one.

    Compiled code is run as it is found, so nobody else may write there.
    """
    user = os.getuid() if hasattr(os, "getuid") else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"oneshot-compiled-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022):
        return Path(tempfile.mkdtemp(prefix="oneshot-compiled-"))
    return folder
