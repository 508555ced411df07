"""Small archives laid out like Omniglot's, whole and broken."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from oneshot.omniglot.drawings import CHARACTER_TABLES, Drawings, unpack_rows


def pick(drawings: Drawings, chosen: np.ndarray) -> Drawings:
    """The chosen characters alone, in the same order."""
    tables = {name: getattr(drawings, name)[chosen] for name in CHARACTER_TABLES}
    return Drawings(bits=drawings.bits[chosen], source=drawings.source, **tables)


def png(pixels: np.ndarray) -> bytes:
    """A 1-bit PNG like upstream's: ink is 0."""
    content = io.BytesIO()
    Image.fromarray(pixels == 0).save(content, "PNG")
    return content.getvalue()


def members(drawings: Drawings, folder: str) -> dict[str, bytes]:
    """Name and content of each drawing's file."""
    return {
        f"{folder}/{drawings.alphabets[i]}/{drawings.characters[i]}/{drawings.file_name(i, drawer)}": png(
            pixels
        )
        for i in range(len(drawings))
        for drawer, pixels in enumerate(unpack_rows(drawings.bits[i]))
    }


def write_zip(
    path: Path, contents: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents:
            archive.writestr(name, content)
    return path


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path: Path, where: int) -> None:
    content = bytearray(path.read_bytes())
    content[where] ^= 0x10
    path.write_bytes(content)


NAMES = ["all_runs.zip", "images_background.zip", "images_evaluation.zip"]


def assert_same_files(folder: Path, other: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in NAMES)
