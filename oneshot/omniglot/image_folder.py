"""Own images: a folder with one sub-folder a class, read as images of ink like Omniglot's.

Layout: FOLDER/CLASS/IMAGE, or FOLDER/ALPHABET/CLASS/IMAGE. What is hidden, belongs to the system or has the
name of another kind of file is left alone, with one line of notice on standard error.
"""

import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from oneshot.errors import ImageFolderError, ParameterError, shorten
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.distortions import N_COMPONENTS, choose_components, inverse_transforms
from oneshot.omniglot.drawings import N_DRAWERS, SIDE, Drawings, pack_rows

OWN_CHARACTERS = "own"  # the character set of drawings that come from own images
FLATTEST = 8  # of 256 grey values between an image's darkest and lightest pixel: less is a blank sheet
OF_SYSTEMS = {"thumbs.db", "desktop.ini", "__macosx"}  # files and folders, in any case
DEEPEST = 65535  # grey value of images with more than 8 bits


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images of some classes, ink 1, paper 0; class by class in name order, and what each class is."""

    images: UInt8[np.ndarray, "n 105 105"]
    names: tuple[str, ...]
    classes: Classes


def read_image_folder(folder: Path) -> ImageFolder:
    """Read every image of every class; without the level of alphabets all classes share the alphabet ''.

    Raises:
        ImageFolderError: the folder is missing or mixes both layouts, images lie beside sub-folders, a class
            is empty, or a file is no readable image or blank.
    """
    alphabets, names, numbers = [], [], []
    images: list[UInt8[np.ndarray, "105 105"]] = []
    for alphabet, path, files in list_classes(folder):
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


def list_classes(folder: Path) -> list[tuple[str, Path, list[Path]]]:
    """List the alphabet, the folder and the image files of every class, in name order.

    Raises:
        ImageFolderError: the folder is missing or mixes both layouts, images lie beside sub-folders, or a
            class is empty.
    """
    skipped: list[Path] = []
    found = []
    for alphabet, path in _find_classes(folder, skipped):
        files = [file for file in _list_images_or_folders(path, skipped) if file.is_file()]
        if not files:
            raise ImageFolderError(f"the class {str(path)!r} has no images: add some, or delete the folder")
        found.append((alphabet, path, files))
    _report_skipped(folder, skipped)
    return found


def name_classes(folder: Path) -> dict[str, list[Path]]:
    """Give the image files of every class by its name, or ALPHABET/CLASS. Raises as `list_classes` does."""
    return {
        f"{alphabet}/{path.name}" if alphabet else path.name: files
        for alphabet, path, files in list_classes(folder)
    }


def list_images(folder: Path) -> list[Path]:
    """List the image files right in a folder, in name order.

    Raises:
        ImageFolderError: there are none, or there is no such folder.
    """
    if not folder.is_dir():
        raise ImageFolderError(f"{str(folder)!r} is no folder: give one with images")
    skipped: list[Path] = []
    files = [path for path in _visible(folder, skipped) if path.is_file()]
    if not files:
        raise ImageFolderError(f"{str(folder)!r} has no images right in it: give a folder that has")
    _report_skipped(folder, skipped)
    return files


def read_image(path: Path) -> UInt8[np.ndarray, "105 105"]:
    """Read an image of any size and format as ink 1 on paper 0: see fit_image.

    Raises:
        ImageFolderError: Pillow cannot read it, or it is blank.
    """
    grey = np.asarray(Image.fromarray(read_pixels(path)).convert("L"))
    if np.ptp(grey) < FLATTEST:
        raise ImageFolderError(f"{str(path)!r} is blank: replace or delete it")
    return fit_image(grey)


def read_pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image of any format, turned upright, as R, G, B in 0..255; what is transparent is white.

    Raises:
        ImageFolderError: Pillow cannot read it.
    """
    try:
        # Pillow warns of some damage before it raises: the sentence below says it all.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode[0] in "IF":  # more than 8 bits: converting would cut off what is above 255
                values = np.asarray(upright).astype(np.float64)
                most = DEEPEST if values.max() > 255 else 255
                upright = Image.fromarray((values.clip(0, most) * (255 / most)).astype(np.uint8))
            upright = upright.convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageFolderError(f"{str(path)!r} is not a readable image: replace or delete it") from error
    sheet = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(sheet, upright).convert("RGB"))


def take_pixels(image: Any, what: str) -> UInt8[np.ndarray, "h w 3"]:
    """Give the pixels of a file, or check an array of them (h x w x 3, uint8); what: its name in messages.

    Raises:
        ImageFolderError: the file is no readable image.
        ParameterError: the array is no such array, or empty.
    """
    if isinstance(image, str | Path):
        return read_pixels(Path(image))
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ParameterError(
            f"the {what} is an array of {pixels.dtype} {pixels.shape}; give height x width x 3 of uint8, or "
            "a file."
        )
    return pixels


def take_ink(image: Any, what: str) -> UInt8[np.ndarray, "105 105"]:
    """Give an image as ink 1 on paper 0: a file, an array of pixels, or of ink.

    Arrays: h x w x 3 or h x w, uint8; of truth values, or with no number above 1, they are ink already.

    Raises:
        ImageFolderError: the file is no readable image, or blank.
        ParameterError: the array is no such array, or blank.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    pixels = np.asarray(image)
    paper_is_light = None
    if pixels.ndim == 2 and pixels.size:
        if pixels.dtype == np.bool_ or (pixels.dtype == np.uint8 and pixels.max() <= 1):
            pixels = (255 * (1 - pixels.astype(np.uint8))).astype(np.uint8)
            paper_is_light = True
        pixels = np.repeat(pixels[..., None], 3, 2)
    grey = np.asarray(Image.fromarray(take_pixels(pixels, what)).convert("L"))
    if np.ptp(grey) < FLATTEST:
        raise ParameterError(f"the {what} is blank: give an image of a character.")
    return fit_image(grey, paper_is_light)


def fit_image(
    grey: UInt8[np.ndarray, "h w"], paper_is_light: bool | None = None
) -> UInt8[np.ndarray, "105 105"]:
    """Fit grey values into 105 x 105 with their aspect kept, in the middle; ink 1, paper 0.

    paper_is_light: None: it is if the border's median is nearer to the lightest pixel than to the darkest.
    The longer side becomes 105 px, antialiased; ink is what then reaches half the strongest contrast with
    the paper, so that strokes thinner than a pixel survive.
    """
    darkest, lightest = float(grey.min()), float(grey.max())
    if paper_is_light is None:
        border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
        paper_is_light = bool(np.median(border) >= (darkest + lightest) / 2)
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


def _find_classes(folder: Path, skipped: list[Path]) -> list[tuple[str, Path]]:
    """List the alphabet and the folder of every class, in name order."""
    if not folder.is_dir():
        raise ImageFolderError(f"{str(folder)!r} is no folder: give one with a sub-folder for each class")
    tops = [path for path in _list_images_or_folders(folder, skipped) if path.is_dir()]
    if not tops:
        raise ImageFolderError(
            f"{str(folder)!r} has no sub-folders: give one with a sub-folder for each class"
        )
    below = {
        path: [inner for inner in _list_images_or_folders(path, skipped) if inner.is_dir()] for path in tops
    }
    if not any(below.values()):
        return [("", path) for path in tops]
    for path, inner in below.items():
        if not inner:
            raise ImageFolderError(
                f"{str(path)!r} holds no classes though others beside it do: put classes into alphabets "
                "everywhere or nowhere"
            )
    return [(path.name, inner) for path in tops for inner in below[path]]


def _list_images_or_folders(folder: Path, skipped: list[Path]) -> list[Path]:
    """List the images or the sub-folders of a folder. Raises ImageFolderError if it holds both."""
    found = _visible(folder, skipped)
    files = [path for path in found if not path.is_dir()]
    if files and len(files) < len(found):
        raise ImageFolderError(
            f"{str(files[0])!r} lies beside sub-folders: let every folder hold either images or sub-folders"
        )
    return found


def _visible(folder: Path, skipped: list[Path]) -> list[Path]:
    """List what a folder holds, in name order, but for what is no image by its name: that is `skipped`."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        (found if _claims_to_be_image(path) or _is_plain_folder(path) else skipped).append(path)
    return found


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name.lower() not in OF_SYSTEMS


def _claims_to_be_image(path: Path) -> bool:
    """Say if a file is not hidden, and its name ends as those of images do, or has no ending at all."""
    if path.is_dir() or path.name.startswith(".") or path.name.lower() in OF_SYSTEMS:
        return False
    return not path.suffix or path.suffix.lower() in Image.registered_extensions()


def _report_skipped(folder: Path, skipped: Iterable[Path]) -> None:
    names = sorted({path.name for path in skipped})
    if names:
        print(
            f"note: {folder} also holds what is no image, left alone: {shorten(', '.join(names))}",
            file=sys.stderr,
        )
