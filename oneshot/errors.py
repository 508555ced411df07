"""Errors that a user can act on: each ends a command in one sentence, without a traceback."""

import os
import sys
from types import TracebackType

INTERRUPTED = "interrupted: run the same command again to go on"
LONGEST = 160  # characters of a value, a place or a problem in a message


def shorten(text: str, most: int = LONGEST) -> str:
    """Bring a text of any length to one line, as a message can show it."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]} ..."


def says_full(error: BaseException) -> bool:
    """Say if an error of PyTorch or of a GPU's libraries means that memory ran out."""
    # The last is oneDNN's, whose convolutions want room for themselves.
    said = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED", "could not create a primitive")
    return any(one in str(error) for one in said)


def says_missing_on_mps(error: BaseException) -> bool:
    """Say if an error of PyTorch means that Apple's GPUs lack an operation or a type of numbers."""
    return isinstance(error, NotImplementedError | TypeError) and "MPS" in str(error)


def says_cramped(error: BaseException) -> bool:
    """Say if an error means that there is too little memory for libraries or threads."""
    said = (
        "failed to map segment from shared object", "cannot allocate memory", "can't start new thread",
        "cannot join thread before it is started",
    )  # fmt: skip
    hidden = (
        error.__context__ if isinstance(error, OSError) else None
    )  # llvmlite raises another amid the first
    return says_full(error) or any(one in f"{error} {hidden}" for one in said)


def end_in_a_sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End on Ctrl-C, or without memory, in one sentence, also amid imports: a command's `sys.excepthook`."""
    if issubclass(kind, KeyboardInterrupt):
        sentence, status = INTERRUPTED, 130  # the signal itself is no status at all to a shell
    elif says_cramped(error):
        sentence, status = f"not enough memory: {shorten(str(error))}", 1
    else:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    os._exit(status)


class OneshotError(Exception):
    """Base class of all errors here: the message says what is wrong, where, and what to do."""


class ParameterError(OneshotError):
    """Unknown, missing or impossible parameter."""


class DownloadError(OneshotError):
    """Failed download of an archive."""


class ArchiveError(OneshotError):
    """Archive that is cut off, altered, or unsafe to unpack."""


class DrawingsError(OneshotError):
    """File of packed drawings that is missing, damaged, or another than needed."""


class ImageFolderError(OneshotError):
    """Folder of own images that is not laid out as classes, or holds a file that is no readable image."""


class ClusterError(OneshotError):
    """Cluster that does not answer."""


class MissingPackageError(OneshotError):
    """Package that is not installed, and that an extra of this one brings."""


class PartError(OneshotError):
    """Stored part of a set that is missing, damaged, or another than needed."""


class ChecksumError(OneshotError):
    """Difference between what was computed and what was published."""


class TrainingError(OneshotError):
    """Training that cannot start or cannot go on."""


class FullMemoryError(OneshotError):
    """Memory, of a GPU or of the machine, that is too small for the least that can be computed at once."""


class ManifestError(OneshotError):
    """File that describes others (manifest, about.json, metrics, facts), or one described, that is wrong."""
