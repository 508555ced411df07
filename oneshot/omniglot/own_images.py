"""Own images in three splits that share no class: for training, for validation and for the test."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Shaped, UInt8

from oneshot.errors import ImageFolderError
from oneshot.files import load_arrays, save_arrays
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.drawings import pack_rows
from oneshot.omniglot.image_folder import ImageFolder, augment_classes

SPLITS = ("train", "validation", "test")
FEWEST_ALPHABETS = 3  # to be split by alphabets: one for each split
FEWEST_IMAGES = 2  # of a class that is asked: one to show, one to ask
OWN_IMAGES_FORMAT = "oneshot own images 1"


@dataclass(frozen=True, eq=False)
class OwnImages:
    """Images of classes, packed as `Drawings` packs its drawings, and what each image is.

    image_classes: the class of every image; copies: whether it is a distorted copy, not one of the user's.
    names, alphabets, splits: of every class.
    """

    bits: UInt8[np.ndarray, "n 105 14"]
    image_classes: Int32[np.ndarray, " n"]
    copies: Bool[np.ndarray, " n"]
    names: Shaped[np.ndarray, " classes"]
    alphabets: Shaped[np.ndarray, " classes"]
    splits: Shaped[np.ndarray, " classes"]

    def classes(self, split: str, *, copies: bool, least_images: int = 1) -> Classes:
        """Pick the classes of a split with at least so many images, with or without copies."""
        counted = self.copies <= copies
        kept = {}
        for k in np.flatnonzero(self.splits == split).tolist():
            images = np.flatnonzero(counted & (self.image_classes == k)).astype(np.int32)
            if len(images) >= least_images:
                kept[k] = images
        return Classes(tuple(kept.values()), tuple(self.alphabets[k].item() for k in kept))

    def sha256(self) -> str:
        """Compute the hexadecimal SHA-256 of all images and what they are."""
        digest = hashlib.sha256(self.bits.tobytes())
        digest.update(self.image_classes.astype("<i4").tobytes() + self.copies.tobytes())
        digest.update("\n".join([*self.names, *self.alphabets, *self.splits]).encode())
        return digest.hexdigest()


def split_own_images(
    own: ImageFolder,
    generator: np.random.Generator,
    *,
    validation_share: float,
    test_share: float,
    least_images: int,
) -> OwnImages:
    """Deal out whole alphabets, or classes where there are fewer than three alphabets, by chance.

    Classes of one image are not dealt to validation or test while there are others. Each of these gets its
    share, at least one. Training classes with fewer images than `least_images` are brought there by distorted
    copies; the others are judged on the user's images alone.

    Raises:
        ImageFolderError: there are fewer than three classes, or nothing is left to train on.
    """
    n_images = [len(numbers) for numbers in own.classes.images]
    splits = np.array(deal_classes(own.classes.alphabets, n_images, generator, validation_share, test_share))
    whole = augment_classes(own, least_images, generator, splits == "train")
    image_classes = np.empty(len(whole.images), np.int32)
    for k, numbers in enumerate(whole.classes.images):
        image_classes[numbers] = k
    return OwnImages(
        bits=pack_rows(whole.images),
        image_classes=image_classes,
        copies=np.arange(len(whole.images)) >= len(own.images),
        names=np.array(own.names),
        alphabets=np.array(own.classes.alphabets),
        splits=splits,
    )


def deal_classes(
    alphabets: Sequence[str],
    n_images: Sequence[int],
    generator: np.random.Generator,
    validation_share: float,
    test_share: float,
) -> list[str]:
    """Choose the split of every class. Classes of one image, which no test can use, go to training first."""
    names = list(dict.fromkeys(alphabets))
    by_alphabet = len(names) >= FEWEST_ALPHABETS
    units = [names.index(alphabet) for alphabet in alphabets] if by_alphabet else [*range(len(alphabets))]
    n_units = len(set(units))
    n_validation, n_test = (max(1, round(share * n_units)) for share in (validation_share, test_share))
    what = "alphabets" if by_alphabet else "classes"
    if n_validation + n_test >= n_units:
        raise ImageFolderError(
            f"of {n_units} {what}, {n_validation} for validation and {n_test} for the test leave none to "
            "train on: add some, or lower other_images.validation_share and test_share."
        )
    of_unit = ["validation"] * n_validation + ["test"] * n_test + ["train"] * n_units
    order = generator.permutation(n_units)
    if not by_alphabet:
        order = order[np.argsort(np.array(n_images)[order] < FEWEST_IMAGES, kind="stable")]
    places = np.argsort(order).tolist()
    return [of_unit[places[unit]] for unit in units]


def save_own_images(path: Path, images: OwnImages) -> None:
    """Write one .npz, the same bytes on every machine."""
    save_arrays(path, format=OWN_IMAGES_FORMAT, **vars(images))


def load_own_images(path: Path) -> OwnImages:
    """Read what save_own_images wrote.

    Raises:
        ImageFolderError: the file is missing, damaged, or something else.
    """
    advice = "run the stage prepare_classes again"
    arrays = load_arrays(path, advice, ImageFolderError)
    names = {field.name for field in fields(OwnImages)}
    if str(arrays.pop("format", None)) != OWN_IMAGES_FORMAT or arrays.keys() != names:
        raise ImageFolderError(f"{path} is not in the format {OWN_IMAGES_FORMAT!r}: {advice}.")
    return OwnImages(**arrays)
