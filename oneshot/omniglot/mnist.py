"""MNIST's test set, for networks trained on Omniglot: fetched, proven, and turned into images of ink."""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from oneshot.errors import ArchiveError, DownloadError
from oneshot.omniglot.download import download, fetch_files
from oneshot.omniglot.drawings import SIDE

MNIST_IMAGES, MNIST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
MNIST_ADVICE = f"set MNIST_MIRROR to a folder or an http address that holds {MNIST_IMAGES} and {MNIST_LABELS}"
LARGEST = 10_000_000  # bytes, uncompressed: more than either file holds
LEAST_INK = 128  # grey values from here on are ink; MNIST's paper is 0, its darkest ink 255


def fetch_mnist(
    folder: Path, facts: Mapping[str, Any], mirror: str | None, progress: bool
) -> tuple[Path, Path]:
    """Put the test set's images and labels into `folder`, as `fetch_files` does; returns their paths.

    facts: published/mnist.json, whose addresses are asked one after the other. Right is the published SHA-256
    of the uncompressed bytes: a mirror may have compressed them anew.
    """

    def from_upstream(fetched: Path) -> None:
        *others, last = (f"{address}/{fetched.name}" for address in facts["addresses"])
        published_md5 = facts["files"][fetched.name]["md5"]
        for address in others:
            try:
                return download(address, fetched, published_md5, progress, MNIST_ADVICE)
            except (DownloadError, ArchiveError):
                continue
        return download(last, fetched, published_md5, progress, MNIST_ADVICE)

    def is_right(path: Path, name: str) -> bool:
        published = facts["files"][name]["sha256_uncompressed"]
        try:
            return hashlib.sha256(_decompress(path)).hexdigest() == published
        except ArchiveError:
            return False

    paths = fetch_files(
        folder, (MNIST_IMAGES, MNIST_LABELS), mirror, is_right, from_upstream, MNIST_ADVICE, progress
    )
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


def ink_images(grey: UInt8[np.ndarray, "n 28 28"]) -> UInt8[np.ndarray, "n 105 105"]:
    """Enlarge images to Omniglot's size, ink 1 and paper 0: bilinear, then ink from half of black on.

    Quirk: the rule is our own. Thresholding matches Omniglot's two values; strokes stay about three times as
    thick as Omniglot's, so that a network sees something it was not trained on, as in the paper.
    """
    ink = np.empty((len(grey), SIDE, SIDE), np.uint8)
    for k, pixels in enumerate(grey):
        enlarged = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        ink[k] = np.asarray(enlarged) >= LEAST_INK
    return ink


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
