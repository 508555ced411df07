"""What every command of stages does: errors as one sentence on stderr, signals, and one process a folder."""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from oneshot.errors import INTERRUPTED, OneshotError, says_full, says_missing_on_mps, shorten

# timeout(1) sends its signal to the command and at once again to the command's process group.
ONE_SIGNAL_SECONDS = 1.0


def run(main: Callable[[], None], about: str | None = None) -> None:
    """Call a stage's main; exit with status 1 after an error that is the user's to mend, 130 after Ctrl-C.

    Such are all OneshotErrors, and what the system refuses: disk, memory, a file that may not be used. Under
    DVC, whose lock holds all stages before this one, a copy of the lock is kept for `stages.lock`.
    about: what a stage without options does, which --help shows; any other word is refused.
    """
    if about is not None:
        argparse.ArgumentParser(description=about).parse_args()
    try:
        if "DVC_STAGE" in os.environ:
            from stages.lock import keep_lock  # loads YAML

            keep_lock()
        main()
    except OneshotError as error:
        _stop(str(error), 1)
    except OSError as error:
        if error.errno is None:
            raise
        _stop(describe_refusal(error), 1)
    except MemoryError as error:
        _stop(f"not enough memory: {str(error) or 'free some'}", 1)
    except (RuntimeError, TypeError) as error:
        if says_missing_on_mps(error):
            _stop(f"device mps cannot compute this, set device to cpu: {shorten(str(error))}", 1)
        if not says_full(error):
            raise
        _stop(f"not enough memory: {shorten(str(error))}", 1)
    except KeyboardInterrupt:
        _stop(INTERRUPTED, 130)


def describe_refusal(error: OSError) -> str:
    """Say in one sentence what the system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" of {error.filename}" if error.filename else ""
        return f"no room left on the disk{where}: free some and run the same command again"
    where = f"{error.filename} cannot be used" if error.filename else "the system refused"
    return f"{where}: {error.strerror}"


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question that training asks after every step; another one ends at once.

    Outside the main thread, where signals cannot be caught, the answer stays no.
    """
    asked: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked and time.monotonic() - asked[0] > ONE_SIGNAL_SECONDS:
            for caught, handler in before.items():
                signal.signal(caught, handler)
            signal.raise_signal(number)
        asked.append(time.monotonic())

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class BusyError(OneshotError):
    """Another process is at work in the folder."""


@contextmanager
def alone_in(folder: Path, work_in: Path | None = None) -> Iterator[None]:
    """Keep other processes from training in a folder meanwhile; or in `work_in`, where no lock may lie.

    Raises:
        BusyError: another one is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        place = work_in or folder
        raise BusyError(f"another process is training in {place}: wait for it, or stop it first.") from None
    try:
        yield
    finally:
        lock.release()


def _stop(sentence: str, status: int) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)
