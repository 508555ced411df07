"""Omniglot's drawings: one packed array with its tables, its file, and how the image archives are read."""

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from oneshot.errors import ArchiveError, ChecksumError, DrawingsError, ParameterError
from oneshot.files import load_arrays, save_arrays

SIDE = 105  # pixels, height and width of a drawing
N_DRAWERS = 20  # of every character
N_EVAL_ALPHABETS = 10  # the first of images_evaluation, in name order; the others are the test set
DRAWINGS_FORMAT = "oneshot drawings 1"
CHARACTER_TABLES = ("character_sets", "alphabets", "characters", "prefixes")

# An Omniglot PNG takes about 250 bytes: more than this is no drawing, and is not inflated.
LARGEST_PNG = 65_536  # bytes
MEMBER = re.compile(
    r"(?P<folder>[^/]+)/(?P<alphabet>[^/]+)/(?P<character>character\d\d)/(?P<prefix>\d{4})_(?P<drawer>\d\d)\.png"
)


@dataclass(frozen=True, eq=False)
class Drawings:
    """Drawings of some characters, packed to one bit a pixel, and what each character is.

    bits: rows of 105 pixels from the left, eight to a byte, the first in the lowest bit; ink 1, paper 0;
        the 7 bits left over at the end of a row are 0. Axes: character, drawer, row, byte.
    character_sets: 'train', 'eval' or 'test' of each character, 'own' of own images; alphabets, characters:
        its names; prefixes: the number that upstream's file names begin with.
    source: 'omniglot', 'synthetic' or 'own'.
    Characters lie alphabet by alphabet, in name order, as in the published archives.
    """

    bits: UInt8[np.ndarray, "characters 20 105 14"]
    character_sets: Shaped[np.ndarray, " characters"]
    alphabets: Shaped[np.ndarray, " characters"]
    characters: Shaped[np.ndarray, " characters"]
    prefixes: Shaped[np.ndarray, " characters"]
    source: str

    def __len__(self) -> int:
        return len(self.bits)

    def of(self, character_set: str) -> "Drawings":
        """Pick the characters of one set, in the same order. Raises ParameterError if there is none."""
        chosen = self.character_sets == character_set
        if not chosen.any():
            known = ", ".join(dict.fromkeys(self.character_sets.tolist()))
            raise ParameterError(f"there is no character set {character_set!r} here; there are: {known}")
        tables = {name: getattr(self, name)[chosen] for name in CHARACTER_TABLES}
        return Drawings(bits=self.bits[chosen], source=self.source, **tables)

    def numbered(self) -> UInt8[np.ndarray, "drawings 105 14"]:
        """List the packed drawings by their number, character * 20 + drawer."""
        return self.bits.reshape(-1, *self.bits.shape[2:])

    def unpack(self) -> UInt8[np.ndarray, "characters 20 105 105"]:
        """Unpack to a byte a pixel, ink 1, paper 0: 220,500 bytes a character, 358 MB for all of Omniglot."""
        return unpack_rows(self.bits)

    def sha256(self) -> str:
        """Compute the hexadecimal SHA-256 of `unpack()`'s bytes, character by character to save memory."""
        digest = hashlib.sha256()
        for character in self.bits:
            digest.update(unpack_rows(character).data)
        return digest.hexdigest()

    def check_published(self, facts: Mapping[str, Any], origin: str) -> None:
        """Raise ChecksumError unless these are all of Omniglot's drawings, to the bit.

        facts: oneshot/published/omniglot.json; origin: where they came from, for the message.
        """
        found, published = self.sha256(), facts["drawings"]["sha256"]
        if found != published:
            raise ChecksumError(
                f"the drawings in {origin} have the SHA-256 {found}, not the published {published}: "
                f"delete {origin} and download them again"
            )

    def file_name(self, character: int, drawer: int) -> str:
        """Name a drawing's file as upstream does, such as 0709_01.png; drawer counts from 0."""
        return f"{self.prefixes[character]}_{drawer + 1:02d}.png"


def pack_rows(pixels: UInt8[np.ndarray, "*n 105 105"]) -> UInt8[np.ndarray, "*n 105 14"]:
    """Pack pixels of 0 and 1 to the rows of Drawings.bits."""
    return np.packbits(pixels, axis=-1, bitorder="little")


def unpack_rows(bits: UInt8[np.ndarray, "*n 105 14"]) -> UInt8[np.ndarray, "*n 105 105"]:
    """Undo pack_rows."""
    return np.unpackbits(bits, axis=-1, count=SIDE, bitorder="little")


def save_drawings(path: Path, drawings: Drawings) -> None:
    """Write one .npz, the same bytes on every machine: so not compressed, as zlib's versions differ."""
    tables = {name: getattr(drawings, name) for name in CHARACTER_TABLES}
    save_arrays(path, format=DRAWINGS_FORMAT, source=drawings.source, bits=drawings.bits, **tables)


def load_drawings(path: Path) -> Drawings:
    """Read what save_drawings wrote.

    Raises:
        DrawingsError: the file is missing, damaged, or something else.
    """
    arrays = load_arrays(path, "run the stages download and prepare again", DrawingsError)
    if missing := {"format", "source", "bits", *CHARACTER_TABLES} - arrays.keys():
        raise DrawingsError(f"{path} holds no drawings (no {min(missing)}): delete it and prepare again")
    bits = arrays["bits"]
    if (
        str(arrays["format"]) != DRAWINGS_FORMAT
        or bits.dtype != np.uint8
        or bits.shape[1:] != (N_DRAWERS, SIDE, 14)
    ):
        raise DrawingsError(f"{path} is not in the format {DRAWINGS_FORMAT!r}: delete it and prepare again")
    tables = {name: arrays[name] for name in CHARACTER_TABLES}
    if any(table.dtype.kind != "U" or table.shape != bits.shape[:1] for table in tables.values()):
        raise DrawingsError(f"{path} has tables that do not fit its drawings: delete it and prepare again")
    return Drawings(bits=bits, source=str(arrays["source"]), **tables)


def read_archives(
    background_zip: Path, evaluation_zip: Path, n_characters: Mapping[str, int] | None = None
) -> Drawings:
    """Read all drawings of images_background.zip and images_evaluation.zip in memory.

    n_characters: how many each character set must have; None leaves that to the checksum of the result.

    Raises:
        ArchiveError: an archive is missing, cut off, unsafe, or not what its name says.
    """
    both = (
        read_archive(background_zip, "images_background"),
        read_archive(evaluation_zip, "images_evaluation"),
    )
    arrays = {
        name: np.concatenate([getattr(drawings, name) for drawings in both])
        for name in ("bits", *CHARACTER_TABLES)
    }
    for name, expected in (n_characters or {}).items():
        n_found = int((arrays["character_sets"] == name).sum())
        if n_found != expected:
            archive = background_zip if name == "train" else evaluation_zip
            raise ArchiveError(
                f"{archive} holds {n_found} characters for the set {name!r}, not {expected}: "
                "delete it and run the stage download again"
            )
    return Drawings(source="omniglot", **arrays)


def read_archive(path: Path, folder: str) -> Drawings:
    """Read the drawings of one archive; folder: the one that they all lie in, which differs between archives.

    images_background is the character set train; of images_evaluation the first ten alphabets are eval and
    the others test.

    Raises:
        ArchiveError: the archive is missing, cut off, unsafe, or does not hold 20 drawers a character.
    Source: the character sets are those of Cluttered Omniglot (michaelisc/cluttered-omniglot).
    """
    with opening_archive(path) as archive:
        found = sorted(_find_drawings(archive, path, folder).items())
        bits = [_read_character(archive, path, members) for _, members in found]
    alphabets, characters, prefixes = zip(*(name for name, _ in found), strict=True)
    eval_alphabets = sorted(set(alphabets))[:N_EVAL_ALPHABETS]
    character_sets = [
        "train" if folder == "images_background" else "eval" if alphabet in eval_alphabets else "test"
        for alphabet in alphabets
    ]
    return Drawings(
        bits=np.stack(bits),
        character_sets=np.array(character_sets),
        alphabets=np.array(alphabets),
        characters=np.array(characters),
        prefixes=np.array(prefixes),
        source="omniglot",
    )


@contextmanager
def opening_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive to read. Raises ArchiveError if it is missing, or damaged wherever it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise ArchiveError(f"{path} is missing: run the stage download first") from None
    # RuntimeError is how zipfile refuses an encrypted member or an unknown compression.
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ArchiveError(
            f"{path} is no whole zip archive ({error}): delete it and download it again"
        ) from error


Name = tuple[str, str, str]  # alphabet, character, prefix


def _find_drawings(archive: zipfile.ZipFile, path: Path, folder: str) -> dict[Name, list[zipfile.ZipInfo]]:
    """List the 20 members of each character, by drawer; hidden files and all but PNGs are ignored."""
    found: dict[Name, list[zipfile.ZipInfo]] = {}
    for member in archive.infolist():
        check_member(member, path)
        if not member.filename.endswith(".png") or re.search(r"(^|/)(\.|__MACOSX)", member.filename):
            continue
        match = MEMBER.fullmatch(member.filename)
        if not match or match["folder"] != folder:
            raise ArchiveError(f"{path} holds {member.filename!r}, which is no drawing of {folder}")
        found.setdefault((match["alphabet"], match["character"], match["prefix"]), []).append(member)
    if not found:
        raise ArchiveError(f"{path} holds no drawings of {folder}")
    for members in found.values():
        members.sort(key=lambda member: member.filename)
    _check_whole(found, path)
    return found


def _check_whole(found: dict[Name, list[zipfile.ZipInfo]], path: Path) -> None:
    """Refuse a character without its 20 drawers, and a gap or a repeat in an alphabet's characters."""
    n_before: dict[str, int] = {}
    for name in sorted(found):
        alphabet, character, _ = name
        drawers = [member.filename[-6:-4] for member in found[name]]
        if drawers != [f"{drawer:02d}" for drawer in range(1, N_DRAWERS + 1)]:
            raise ArchiveError(
                f"{path} has other drawers than 01 to 20 of {alphabet}/{character}: {' '.join(drawers)}"
            )
        n_before[alphabet] = n_before.get(alphabet, 0) + 1
        if character != f"character{n_before[alphabet]:02d}":
            raise ArchiveError(
                f"{path} has {alphabet}/{character} where character{n_before[alphabet]:02d} should be"
            )


def check_member(member: zipfile.ZipInfo, path: Path) -> None:
    """Refuse a path that would leave the folder it is unpacked in, and a member too large for a drawing."""
    name = member.orig_filename
    if name.startswith("/") or ".." in name.split("/") or any(sign in name for sign in "\\:\0"):
        raise ArchiveError(f"{path} holds an unsafe path, {name!r}: delete it and download it again")
    if member.file_size > LARGEST_PNG:
        raise ArchiveError(f"{path} holds {name!r} of {member.file_size} bytes: too large for a drawing")


def _read_character(
    archive: zipfile.ZipFile, path: Path, members: list[zipfile.ZipInfo]
) -> UInt8[np.ndarray, "20 105 14"]:
    rows = b"".join(read_png(archive.read(member), path, member.filename) for member in members)
    return np.frombuffer(rows, np.uint8).reshape(N_DRAWERS, SIDE, 14)


def read_png(content: bytes, path: Path, name: str) -> bytes:
    """Decode one drawing to packed rows, ink 1."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != (SIDE, SIDE):
                raise ArchiveError(
                    f"{path} holds {name!r} of {image.width} x {image.height} pixels, not 105 x 105"
                )
            one_bit = image if image.mode == "1" else image.convert("1", dither=Image.Dither.NONE)
            # Pillow's raw mode 1;IR: one bit a pixel, inverted (the files store ink as 0), lowest bit first.
            return one_bit.tobytes("raw", "1;IR")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ArchiveError(f"{path} holds {name!r}, which is not a readable PNG") from error
