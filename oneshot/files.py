"""Files that are whole or absent: written under their final name at once, read whole or refused."""

import errno
import hashlib
import io
import json
import os
import platform
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import psutil
from numpy.typing import ArrayLike

from oneshot.errors import ManifestError, OneshotError, ParameterError, shorten

T = TypeVar("T")

EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can name
UNIX = 3
ZIP_END, LEN_ZIP_END = b"PK\5\6", 22  # the record that ends a zip archive without a comment
# Whatever zipfile, NumPy, Zarr or safetensors may raise when the bytes of a file are not what they expect.
DAMAGE = (
    OSError, EOFError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError,
    MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# What the system refuses whatever a file holds: it is no sign of damage.
REFUSALS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EIO)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place at the end; after an error `path` is as it was.

    Folders above `path` are made, and what killed processes left half-written beside it goes. A hard-linked
    `path` (DVC's cache) is replaced, never written into.

    Raises:
        ParameterError: `path` ends in no name, as "." does.
    """
    if not path.name:
        raise ParameterError(f"{str(path)!r} is a folder: give the name of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path.parent)
    beside = path.with_name(path.name + partial_suffix())
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def partial_suffix() -> str:
    """Give what ends the name of a file or folder that this process has not finished yet."""
    return f".{platform.node()}.{os.getpid()}.partial"


def remove_left_over(folder: Path) -> None:
    """Delete what processes of this machine were writing into a folder when they died.

    Other machines, which may share the folder, are recognised by their names.
    """
    for path in folder.glob("*.partial"):
        name, _, process = path.name.removesuffix(".partial").rpartition(".")
        ours = name.endswith(f".{platform.node()}") and process.isdecimal()
        if ours and not psutil.pid_exists(int(process)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def save_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Write an .npz, not compressed, the same bytes on every machine.

    np.savez leaves some of the archive's headers to the version of Python: 3.11.2 and 3.11.7 differ.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EARLIEST)
            member.create_system = UNIX
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(member, content.getvalue())


def read_json(path: Path, schema: type[T], advice: str, error: type[OneshotError] = ManifestError) -> T:
    """Read a JSON file that must fit a schema: anything that pydantic can check.

    advice: what to do about a file that is missing or damaged, for the message.

    Raises:
        ManifestError: the file is missing, damaged, or does not fit; or the `error` that was named.
        OSError: the system refuses to open it.
    """
    from pydantic import TypeAdapter, ValidationError  # here, since not all that write files read them

    from oneshot.params import describe_problems

    content = read_whole(path, advice, error)
    try:
        return TypeAdapter(schema).validate_python(json.loads(content))
    except ValidationError as problem:
        raise error(f"{path} is damaged ({shorten(describe_problems(problem))}): {advice}.") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is damaged ({shorten(str(problem))}): {advice}.") from None


def load_arrays(
    path: Path, advice: str, error: type[OneshotError] = ManifestError, keys: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote, all or by some keys. Raises as `read_json` does."""
    if not path.exists():
        raise error(f"{path} is missing: {advice}.")
    try:
        # Opened here: np.load leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            refuse_appended(opened)
            return {name: file[name] for name in keys or file.files}
    except DAMAGE as problem:
        pass_refusal(problem)
        raise error(f"{path} is damaged ({shorten(str(problem))}): {advice}.") from problem


def refuse_appended(archive: io.BufferedIOBase) -> None:
    """Raise ValueError if a zip archive does not end where its directory does, which zipfile passes over."""
    archive.seek(-min(LEN_ZIP_END, archive.seek(0, io.SEEK_END)), io.SEEK_END)
    if archive.read(len(ZIP_END)) != ZIP_END:
        raise ValueError("it does not end as it was written")


def load_safetensors(
    path: Path, framework: str, advice: str, error: type[OneshotError] = ManifestError
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read tensors, as those of `framework` ("pt" or "numpy"), and metadata. Raises as `read_json` does."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise error(f"{path} is missing: {advice}.")
    try:
        path.open("rb").close()  # safe_open does not say what the system refused
        with safe_open(path, framework) as file:
            names = sorted(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, *DAMAGE) as problem:
        pass_refusal(problem)
        raise error(f"{path} is damaged ({shorten(str(problem))}): {advice}.") from problem


def read_whole(path: Path, advice: str, error: type[OneshotError] = ManifestError) -> bytes:
    """Read all bytes of a file. Raises as `read_json` does."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path} is missing: {advice}.") from None
    except OSError as problem:
        pass_refusal(problem)
        raise error(f"{path} is damaged ({problem.strerror}): {advice}.") from None


def find_sha256(path: Path, advice: str, error: type[OneshotError] = ManifestError) -> str:
    """Compute the hexadecimal SHA-256 of a file's bytes. Raises as `read_json` does."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise error(f"{path} is missing: {advice}.") from None
    except OSError as problem:
        pass_refusal(problem)
        raise error(f"{path} is damaged ({problem.strerror}): {advice}.") from None


def check_sha256(
    path: Path, sha256: str | None, manifest: Path, advice: str, error: type[OneshotError] = ManifestError
) -> None:
    """Compare a file with the SHA-256 that another file, its manifest, names.

    Raises:
        ManifestError: the bits are others, or it is missing; or the `error` that was named.
    """
    if find_sha256(path, advice, error) != sha256:
        raise error(f"{path} is not the file whose SHA-256 {manifest} names: {advice}.")


def pass_refusal(problem: BaseException) -> None:
    """Raise an error again that comes from the system and not from the bytes of a file."""
    if isinstance(problem, OSError) and problem.errno in REFUSALS:
        raise problem
