"""Own images: a folder with one sub-folder a class, read as images of ink like Omniglot's.

Layout: FOLDER/CLASS/IMAGE, or FOLDER/ALPHABET/CLASS/IMAGE; hidden files and folders are left alone.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from oneshot.errors import ImageFolderError
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.distortions import N_COMPONENTS, choose_components, inverse_transforms
from oneshot.omniglot.drawings import N_DRAWERS, SIDE, Drawings, pack_rows

OWN_CHARACTERS = "own"  # the character set of drawings that come from own images
FLATTEST = 8  # of 256 grey values between an image's darkest and lightest pixel: less is a blank sheet


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images of some classes, ink 1, paper 0; class by class in name order, and what each class is."""

    images: UInt8[np.ndarray, "n 105 105"]
    names: tuple[str, ...]
    classes: Classes


def read_image_folder(folder: Path) -> ImageFolder:
    """Read every image of every class; without the level of alphabets all classes share the alphabet ''.

    Raises:
        ImageFolderError: the folder is missing or mixes both layouts, a class is empty, or a file is no
            readable image or blank.
    """
    alphabets, names, numbers = [], [], []
    images: list[UInt8[np.ndarray, "105 105"]] = []
    for alphabet, path in _find_classes(folder):
        files = [file for file in _visible(path) if file.is_file()]
        if not files:
            raise ImageFolderError(f"the class {str(path)!r} has no images: add some, or delete the folder")
        numbers.append(np.arange(len(images), len(images) + len(files), dtype=np.int32))
        images += [read_image(file) for file in files]
        alphabets.append(alphabet)
        names.append(path.name)
    return ImageFolder(np.stack(images), tuple(names), Classes(tuple(numbers), tuple(alphabets)))


def read_own_drawings(folder: Path) -> Drawings:
    """Read own images as drawings of characters, one for each class, to render scenes from.

    A class's images take the places of Omniglot's twenty drawers: of more than twenty images those first by
    name, fewer are repeated in turn.

    Raises:
        ImageFolderError: as `read_image_folder` does; or there is a single class.
    """
    own = read_image_folder(folder)
    if len(own.names) < 2:
        raise ImageFolderError(
            f"{str(folder)!r} has one class: give two or more, since the target is to be told from others"
        )
    chosen = np.stack([np.resize(numbers, N_DRAWERS) for numbers in own.classes.images])
    return Drawings(
        bits=pack_rows(own.images[chosen]),
        character_sets=np.repeat(OWN_CHARACTERS, len(own.names)),
        alphabets=np.array(own.classes.alphabets),
        characters=np.array(own.names),
        prefixes=np.array([f"{number:04d}" for number in range(1, len(own.names) + 1)]),
        source="own",
    )


def read_image(path: Path) -> UInt8[np.ndarray, "105 105"]:
    """Read an image of any size and format as ink 1 on paper 0: see fit_image.

    Raises:
        ImageFolderError: Pillow cannot read it, or it is blank.
    """
    try:
        # Pillow warns of some damage before it raises: the sentence below says it all.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageFolderError(f"{str(path)!r} is not a readable image: replace or delete it") from error
    sheet = Image.new("RGBA", upright.size, "white")  # what is transparent is paper
    grey = np.asarray(Image.alpha_composite(sheet, upright).convert("L"))
    if np.ptp(grey) < FLATTEST:
        raise ImageFolderError(f"{str(path)!r} is blank: replace or delete it")
    return fit_image(grey)


def fit_image(grey: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "105 105"]:
    """Fit grey values into 105 x 105 with their aspect kept, in the middle; ink 1, paper 0.

    The paper is light if the border's median is nearer to the lightest pixel than to the darkest, else dark.
    The longer side becomes 105 px, antialiased; ink is what then reaches half the strongest contrast with
    the paper, so that strokes thinner than a pixel survive.
    """
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    darkest, lightest = float(grey.min()), float(grey.max())
    paper_is_light = np.median(border) >= (darkest + lightest) / 2
    contrast = lightest - grey if paper_is_light else grey - darkest
    height, width = (max(1, round(SIDE * length / max(grey.shape))) for length in grey.shape)
    resized = Image.fromarray(contrast.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    fitted = np.asarray(resized)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[top : top + height, left : left + width] = fitted >= fitted.max() / 2
    return ink


def augment_classes(
    own: ImageFolder,
    n_images: int,
    generator: np.random.Generator,
    chosen: Bool[np.ndarray, " classes"] | None = None,
) -> ImageFolder:
    """Bring classes to at least n_images by distorted copies of their images in turn, put after all images.

    chosen: which classes; None: all. Copies of one drawing resemble each other: an accuracy on a class of
    copies says less than it seems to.
    """
    images, numbers = list(own.images), []
    for place, old in enumerate(own.classes.images):
        wanted = n_images if chosen is None or chosen[place] else 0
        n_copies = max(0, wanted - len(old))
        new = np.arange(len(images), len(images) + n_copies, dtype=np.int32)
        images += [distort_image(own.images[old[k % len(old)]], generator) for k in range(n_copies)]
        numbers.append(np.concatenate([old, new]))
    return ImageFolder(np.stack(images), own.names, Classes(tuple(numbers), own.classes.alphabets))


def distort_image(
    image: UInt8[np.ndarray, "h w"], generator: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """Copy an image rotated, sheared, scaled and moved at random about the middle, as Koch does."""
    from scipy import ndimage  # here, since it loads slowly and only own images need it

    chance = generator.random((2, N_COMPONENTS))
    inverse = inverse_transforms(choose_components(chance)).astype(float)[::-1]  # of (row, column) now
    matrix, move = inverse[:, 1::-1], inverse[:, 2]
    middle = (np.array(image.shape) - 1) / 2
    grey = ndimage.affine_transform(
        image.astype(np.float32), matrix, offset=middle + move - matrix @ middle, order=1
    )
    return (grey >= 0.5).astype(np.uint8)


def _find_classes(folder: Path) -> list[tuple[str, Path]]:
    """List the alphabet and the folder of every class, in name order."""
    if not folder.is_dir():
        raise ImageFolderError(f"{str(folder)!r} is no folder: give one with a sub-folder for each class")
    tops = [path for path in _visible(folder) if path.is_dir()]
    if not tops:
        raise ImageFolderError(
            f"{str(folder)!r} has no sub-folders: give one with a sub-folder for each class"
        )
    below = {path: [inner for inner in _visible(path) if inner.is_dir()] for path in tops}
    if not any(below.values()):
        return [("", path) for path in tops]
    for path, inner in below.items():
        if not inner:
            raise ImageFolderError(
                f"{str(path)!r} holds no classes though others beside it do: put classes into alphabets "
                "everywhere or nowhere"
            )
    return [(path.name, inner) for path in tops for inner in below[path]]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
