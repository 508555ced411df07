"""MNIST's test set, for networks trained on Omniglot: fetched, proven, and turned into images of ink."""

import errno
import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from oneshot.errors import ArchiveError, DownloadError
from oneshot.omniglot.download import copy, download, md5, put
from oneshot.omniglot.drawings import SIDE

MNIST_IMAGES, MNIST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
MNIST_ADVICE = f"set MNIST_MIRROR to a folder or an http address that holds {MNIST_IMAGES} and {MNIST_LABELS}"
LARGEST = 10_000_000  # bytes, uncompressed: more than either file holds
LEAST_INK = 128  # grey values from here on are ink; MNIST's paper is 0, its darkest ink 255


def fetch_mnist(
    folder: Path, facts: Mapping[str, Any], mirror: str | None, progress: bool
) -> tuple[Path, Path]:
    """Put the test set's images and labels into `folder`: those there and right are kept, without network.

    facts: published/mnist.json. mirror: a folder or an http(s) address where both files lie; None asks
    the upstream addresses one after the other. progress: draw a bar on stderr while downloading.
    Right is the published SHA-256 of the uncompressed bytes. A wrong file is never put into `folder`.

    Raises:
        DownloadError: no network, no such mirror, an HTTP error, cut off, or no room on the disk.
        ArchiveError: what came is not the published file.
    """
    paths = {name: folder / name for name in (MNIST_IMAGES, MNIST_LABELS)}
    wrong = [name for name, path in paths.items() if not (path.is_file() and _is_right(path, name, facts))]
    if not wrong:
        return paths[MNIST_IMAGES], paths[MNIST_LABELS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
            for name in wrong:
                fetched = Path(scratch) / name
                if mirror is None:
                    _from_upstream(fetched, facts, progress)
                else:
                    _from_mirror(fetched, facts, mirror, progress)
                put(fetched, paths[name])
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"no room left on the disk of {folder}: free about 4 MB and try again"
            ) from error
        raise DownloadError(f"cannot fetch MNIST into {folder}: {error}") from error
    return paths[MNIST_IMAGES], paths[MNIST_LABELS]


def read_mnist(
    images: Path, labels: Path, facts: Mapping[str, Any]
) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"]]:
    """Read grey images, paper 0, and the digit of each.

    Raises:
        ArchiveError: a file is missing, damaged, or not the published one.
    """
    n, side = facts["n_images"], facts["side"]
    pixels = _read_idx(images, facts, (n, side, side))
    return pixels, _read_idx(labels, facts, (n,))


def ink_images(grey: UInt8[np.ndarray, "n 28 28"], side: int = SIDE) -> UInt8[np.ndarray, "n side side"]:
    """Enlarge images to Omniglot's size, ink 1 and paper 0: bilinear, then ink from half of black on.

    Quirk: the rule is our own. Thresholding matches Omniglot's two values; strokes stay about three times as
    thick as Omniglot's, so that a network sees something it was not trained on, as in the paper.
    """
    ink = np.empty((len(grey), side, side), np.uint8)
    for k, pixels in enumerate(grey):
        enlarged = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        ink[k] = np.asarray(enlarged) >= LEAST_INK
    return ink


def _from_upstream(fetched: Path, facts: Mapping[str, Any], progress: bool) -> None:
    """Fetch from the first address that has the file; if none has, raise the error of the last."""
    *others, last = facts["addresses"]
    for address in others:
        try:
            return _from_address(f"{address}/{fetched.name}", fetched, facts, progress)
        except (DownloadError, ArchiveError):
            continue
    return _from_address(f"{last}/{fetched.name}", fetched, facts, progress)


def _from_address(address: str, fetched: Path, facts: Mapping[str, Any], progress: bool) -> None:
    download(address, fetched, facts["files"][fetched.name]["md5"], progress, MNIST_ADVICE)


def _from_mirror(fetched: Path, facts: Mapping[str, Any], mirror: str, progress: bool) -> None:
    """Fetch from a folder or an http(s) address; a mirror may have compressed the same bytes anew."""
    name = fetched.name
    if mirror.startswith(("http://", "https://")):
        origin = f"{mirror.rstrip('/')}/{name}"
        download(origin, fetched, None, progress, MNIST_ADVICE)
    else:
        origin = str(Path(mirror).expanduser() / name)
        copy(Path(origin), fetched, MNIST_ADVICE)
    if not _is_right(fetched, name, facts):
        raise ArchiveError(
            f"{origin} is not MNIST's published file (its MD5 is {md5(fetched)}): {MNIST_ADVICE}"
        )


def _is_right(path: Path, name: str, facts: Mapping[str, Any]) -> bool:
    try:
        content = _decompress(path)
    except ArchiveError:
        return False
    return hashlib.sha256(content).hexdigest() == facts["files"][name]["sha256_uncompressed"]


def _decompress(path: Path) -> bytes:
    """Decompress at most LARGEST bytes: a wrong file may inflate without end."""
    try:
        with gzip.open(path) as file:
            return file.read(LARGEST)
    except FileNotFoundError:
        raise ArchiveError(f"{path} is missing: fetch MNIST first") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{path} is no whole gzip file ({error}): delete it and fetch it again") from error


def _read_idx(path: Path, facts: Mapping[str, Any], shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """Read an idx file: two zeros, type, number of axes, their lengths in four bytes each, the values."""
    content = _decompress(path)
    published = facts["files"][path.name]["sha256_uncompressed"]
    if hashlib.sha256(content).hexdigest() != published:
        raise ArchiveError(f"{path} is not MNIST's published file: delete it and fetch it again")
    return np.frombuffer(content, np.uint8, offset=4 * (1 + len(shape))).reshape(shape)
