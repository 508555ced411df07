"""Classes of images, which episodes are drawn from: the images of each, and its alphabet."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import N_DRAWERS, Drawings, unpack_rows


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes with any number of images each: Omniglot's characters, MNIST's digits, or a user's own.

    images: the image numbers of every class. alphabets: the alphabet of every class.
    same_drawers: whether the k-th images of all classes come from one drawer, so that an episode can take its
        support set from one drawer and its queries from another.
    """

    images: tuple[Int32[np.ndarray, "_"], ...]
    alphabets: tuple[str, ...]
    same_drawers: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def sha256(self) -> str:
        """Compute the hexadecimal SHA-256 of every class's alphabet and image numbers, class after class."""
        digest = hashlib.sha256()
        for alphabet, images in zip(self.alphabets, self.images, strict=True):
            digest.update(f"{alphabet} {images.tolist()}\n".encode())
        return digest.hexdigest()

    def of_alphabet(self, alphabet: str) -> "Classes":
        """Pick the classes of one alphabet, in order. Raises ParameterError if there is none."""
        chosen = [k for k, name in enumerate(self.alphabets) if name == alphabet]
        if not chosen:
            raise ParameterError(f"there is no alphabet {alphabet!r} among {len(self)} classes")
        return Classes(tuple(self.images[k] for k in chosen), (alphabet,) * len(chosen), self.same_drawers)


def omniglot_classes(
    drawings: Drawings, chosen: Bool[np.ndarray, " characters"], drawers: tuple[int, int] = (0, N_DRAWERS)
) -> Classes:
    """Make classes of the chosen characters, by the drawers from the first number to before the second.

    Drawers count from 0. An image's number is its drawing's, character * 20 + drawer, with the character
    counted over all of `drawings`.
    """
    first, end = drawers
    if not 0 <= first < end <= N_DRAWERS:
        raise ParameterError(f"the drawers {first} to {end} do not lie within 0 to {N_DRAWERS}")
    characters = np.flatnonzero(chosen)
    images = tuple(
        np.arange(k * N_DRAWERS + first, k * N_DRAWERS + end, dtype=np.int32) for k in characters.tolist()
    )
    return Classes(images, tuple(drawings.alphabets[characters].tolist()), same_drawers=True)


def turned_classes(classes: Classes, n_images: int) -> Classes:
    """Make four classes of each: as they are, then turned by one, two and three quarters.

    n_images: of all images that the numbers count. Image k turned by q quarters has the number
    q * n_images + k, which `unpack_turned` reads.
    """
    images = tuple(of_class + quarters * n_images for quarters in range(4) for of_class in classes.images)
    return Classes(images, classes.alphabets * 4, classes.same_drawers)


def unpack_turned(
    bits: UInt8[np.ndarray, "images 105 14"], numbers: Int32[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n 105 105"]:
    """Unpack images by number, also by the numbers of `turned_classes`: quarters count anticlockwise."""
    quarters, places = np.divmod(numbers, len(bits))
    images = unpack_rows(bits[places])
    for turn in range(1, 4):
        chosen = quarters == turn
        images[chosen] = np.rot90(images[chosen], turn, axes=(1, 2))
    return images


def labelled_classes(labels: UInt8[np.ndarray, " n"]) -> Classes:
    """Make one class of each label, such as MNIST's digits, all in one alphabet."""
    names = np.unique(labels).tolist()
    images = tuple(np.flatnonzero(labels == name).astype(np.int32) for name in names)
    return Classes(images, ("",) * len(names))


def pick_drawings(drawings: Drawings, numbers: Int32[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 105 105"]:
    """Unpack drawings by their number: ink 1, paper 0."""
    return unpack_rows(drawings.numbered()[numbers])
