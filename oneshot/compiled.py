"""Compilation of kernels by numba, kept on disk wherever there is a folder to keep it in."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import event as events

if sys.platform == "linux":
    import resource

LEAST_ADDRESSES = 256 * 2**20  # bytes; rendering, compiled anew, came to need 300 MiB beside what was loaded


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


class AddressCheck(events.Listener):
    """A check, before one of our functions is compiled anew, that LLVM will find room for it.

    Under a limit of addresses (`ulimit -v`) LLVM would end the process with a message of its own, or a
    segmentation fault, or never end, where this raises MemoryError.
    """

    def on_start(self, event: events.Event) -> None:
        function = event.data["dispatcher"].py_func
        left = count_addresses_left()
        if function.__module__.startswith("oneshot.") and left is not None and left < LEAST_ADDRESSES:
            raise MemoryError(
                f"{max(0, left) / 2**20:.0f} MiB of addresses are left, and to compile {function.__name__} "
                f"takes {LEAST_ADDRESSES // 2**20}: raise the limit (ulimit -v)"
            )

    def on_end(self, event: events.Event) -> None:
        pass


def count_addresses_left() -> int | None:
    """Count the bytes that this process may still map; None where nothing limits them, or on no Linux."""
    if sys.platform != "linux":
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return None
    return most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


events.register("numba:compile", AddressCheck())
