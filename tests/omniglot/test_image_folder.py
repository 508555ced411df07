"""Own images: found, fitted, made more, and refused where nothing can be made of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.classify.episodes import within_alphabets
from oneshot.errors import ImageFolderError
from oneshot.omniglot.drawings import Drawings
from oneshot.omniglot.image_folder import (
    augment_classes,
    fit_image,
    read_image,
    read_image_folder,
    read_own_drawings,
    read_pixels,
    take_ink,
)
from tests.conftest import refusing


def save(path: Path, seed: int = 0, shape: tuple[int, int] = (40, 30)) -> None:
    """A dark rectangle somewhere on light paper."""
    rng = np.random.default_rng(seed)
    grey = np.full(shape, 240, np.uint8)
    top, left = rng.integers(2, 10, 2)
    grey[top : top + 12, left : left + 9] = 20
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes of 1 to 4 images, in many formats."""
    suffixes = ("png", "jpg", "bmp", "gif", "tiff")
    for k, name in enumerate(("ant", "bee", "cat", "dog")):
        for image in range(k + 1):
            save(tmp_path / "own" / name / f"{image}.{suffixes[(k + image) % 5]}", 10 * k + image)
    (tmp_path / "own" / ".hidden").mkdir()
    (tmp_path / "own" / "ant" / ".DS_Store").write_bytes(b"x")
    return tmp_path / "own"


def test_a_folder_is_read_class_by_class(folder: Path) -> None:
    own = read_image_folder(folder)
    assert own.names == ("ant", "bee", "cat", "dog")
    assert [numbers.tolist() for numbers in own.classes.images] == [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert own.classes.alphabets == ("",) * 4
    assert own.images.shape == (10, 105, 105)
    assert (own.images[4] == read_image(next((folder / "cat").glob("1.*")))).all()


def group(folder: Path) -> Path:
    """Move the classes into two alphabets."""
    (folder / "insects").mkdir()
    (folder / "pets").mkdir()
    for name, alphabet in (("ant", "insects"), ("bee", "insects"), ("cat", "pets"), ("dog", "pets")):
        (folder / name).rename(folder / alphabet / name)
    return folder


def test_classes_may_be_grouped_by_alphabet(folder: Path) -> None:
    own = read_image_folder(group(folder))
    assert own.classes.alphabets == ("insects", "insects", "pets", "pets")
    episodes = within_alphabets(own.classes, ["pets"], 5, np.random.default_rng(0), n_way=2, n_queries=2)
    assert episodes.needed().min() >= 3


def test_augmenting_keeps_the_old_images_and_depends_on_the_seed_alone(folder: Path) -> None:
    own = read_image_folder(folder)
    once, again, other = (augment_classes(own, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (once.images[:10] == own.images).all()
    assert (once.images == again.images).all()
    assert (once.images != other.images).any()
    assert once.images[10:].any((1, 2)).all()


@pytest.mark.parametrize("shape", [(105, 105), (210, 210), (35, 35), (420, 210), (50, 100)])
@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (90, 10), (180, 250)])
def test_ink_is_found_on_any_paper_at_any_size(shape: tuple[int, int], paper: int, ink: int) -> None:
    height, width = shape
    grey = np.full(shape, paper, np.uint8)
    grey[height // 5 : height // 2, width // 5 : 4 * width // 5] = ink
    fitted = fit_image(grey)
    scale = 105 / max(shape)
    top, left = ((105 - scale * length) / 2 for length in shape)
    rows, columns = np.nonzero(fitted.any(1))[0], np.nonzero(fitted.any(0))[0]
    assert rows[[0, -1]] == pytest.approx(
        [top + scale * (height // 5), top + scale * (height // 2) - 1], abs=1
    )
    assert columns[[0, -1]] == pytest.approx(
        [left + scale * (width // 5), left + scale * (4 * width // 5) - 1], abs=1
    )
    assert 0 <= len(rows) * len(columns) - int(fitted.sum()) <= 4  # resampling rounds the corners off


def test_an_omniglot_drawing_comes_back_as_it_was(synthetic_drawings: Drawings) -> None:
    drawing = synthetic_drawings.unpack()[0, 0]
    assert (fit_image((255 * (1 - drawing)).astype(np.uint8)) == drawing).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_ink_that_fills_the_border_of_an_array_stays_ink(dtype: type) -> None:
    box = np.ones((30, 30), dtype)
    box[4:-4, 4:-4] = 0
    fitted = take_ink(box, "box")
    assert fitted[:10].all()
    assert not fitted[20:85, 20:85].any()
    margins = np.pad(box, 20)
    assert (take_ink(margins, "box") == fit_image((255 * (1 - margins)).astype(np.uint8))).all()


def test_a_stroke_thinner_than_a_pixel_survives() -> None:
    grey = np.full((1050, 1050), 255, np.uint8)
    grey[200:800, 504:506] = 0
    assert int(fit_image(grey).sum()) == pytest.approx(60, abs=2)


def test_transparent_pixels_are_paper(tmp_path: Path) -> None:
    pixels = np.zeros((105, 105, 4), np.uint8)  # black all over, opaque in a square
    pixels[20:40, 30:60, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.argwhere(read_image(tmp_path / "a.png")).tolist() == [
        [y, x] for y in range(20, 40) for x in range(30, 60)
    ]


def blank(folder: Path) -> None:
    Image.new("L", (20, 20), 200).save(folder / "bee" / "blank.png")


def put_sub_folders(folder: Path) -> None:
    for name in ("ant", "bee", "cat", "dog"):
        save(folder / name / "old" / "x.png")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty class": (lambda folder: (folder / "eel").mkdir(), r"class '.*eel' has no images"),
    "text": (lambda folder: (folder / "bee" / "a.png").write_text("x"), r"'.*bee/a\.png' is not a readable"),
    "cut off": (
        lambda folder: (folder / "bee" / "a.png").write_bytes((folder / "dog" / "1.tiff").read_bytes()[:60]),
        r"'.*bee/a\.png' is not a readable",
    ),
    "blank": (blank, r"'.*bee/blank\.png' is blank"),
    "both layouts": (lambda folder: save(folder / "bugs" / "fly" / "a.png"), r"'.*ant' holds no classes"),
    "an image beside classes": (lambda folder: save(folder / "a.png"), r"'.*own/a\.png' lies beside sub-f"),
    "a sub-folder in each class": (put_sub_folders, r"'.*ant/0\.png' lies beside sub-folders: let every"),
    "an image beside an alphabet's classes": (
        lambda folder: save(group(folder) / "pets" / "a.png"), r"'.*pets/a\.png' lies beside sub-folders"
    ),
    "a sub-folder in an alphabet's class": (
        lambda folder: save(group(folder) / "pets" / "cat" / "old" / "x.png"), r"'.*cat/0\.\w+' lies beside"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(folder: Path, case: str) -> None:
    alter, message = REFUSED[case]
    alter(folder)
    with refusing(ImageFolderError, message):
        read_image_folder(folder)


def test_no_folder_and_no_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFolderError, match=r"'.*nothing' is no folder: give one [^()]*$"):
        read_image_folder(tmp_path / "nothing")
    save(tmp_path / "a.png")
    with pytest.raises(ImageFolderError, match="has no sub-folders"):
        read_image_folder(tmp_path)


def test_own_drawings_repeat_few_images_in_turn_and_take_the_first_of_many(folder: Path) -> None:
    for k in range(25):
        save(folder / "eel" / f"{k:02d}.png", 100 + k)
    own, drawings = read_image_folder(folder), read_own_drawings(folder)
    assert drawings.characters.tolist() == ["ant", "bee", "cat", "dog", "eel"]
    assert set(drawings.character_sets.tolist()) == {"own"}
    pixels = drawings.unpack()
    cat, eel = own.images[3:6], own.images[10:30]
    assert pixels.shape == (5, 20, 105, 105)
    assert (pixels[2] == cat[[k % 3 for k in range(20)]]).all()
    assert (pixels[4] == eel).all()


def test_scenes_of_a_single_own_character_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "own" / "ant" / "1.png")
    with refusing(ImageFolderError, "has one class: give two or more"):
        read_own_drawings(tmp_path / "own")


def test_what_is_no_image_by_its_name_is_left_alone_with_one_line_of_notice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = read_image_folder(folder)
    capsys.readouterr()
    (folder / "__MACOSX" / "ant").mkdir(parents=True)
    for name in ("Thumbs.db", "bee/desktop.ini", "bee/notes.txt", "cat/._0.png"):
        (folder / name).write_bytes(b"no image")
    own = read_image_folder(folder)
    assert own.names == plain.names
    assert (own.images == plain.images).all()
    (line,) = capsys.readouterr().err.splitlines()
    for name in (".DS_Store", ".hidden", "Thumbs.db", "desktop.ini", "notes.txt", "._0.png", "__MACOSX"):
        assert name in line


def test_images_of_any_mode_are_read_upright(tmp_path: Path) -> None:
    grey = np.zeros((30, 50), np.uint8)
    grey[5:9, 10:40] = 200
    plain = np.repeat(grey[..., None], 3, 2)
    image = Image.fromarray(grey)
    turned = Image.Exif()
    turned[274] = 6  # a quarter to the right, to be seen upright
    Image.fromarray(np.rot90(grey).copy()).save(tmp_path / "turned.png", exif=turned)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for mode in ("P", "L", "RGBA", "LA"):
        image.convert(mode).save(tmp_path / f"{mode}.png")
    for path in tmp_path.iterdir():
        assert (read_pixels(path) == plain).all(), path.name
