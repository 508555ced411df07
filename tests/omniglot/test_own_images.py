"""Own images in three splits: dealt out by chance, made more for training alone, kept in one file."""

from pathlib import Path

import numpy as np
import pytest

from oneshot.errors import ImageFolderError
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.drawings import unpack_rows
from oneshot.omniglot.image_folder import ImageFolder
from oneshot.omniglot.own_images import (
    SPLITS,
    OwnImages,
    deal_classes,
    load_own_images,
    save_own_images,
    split_own_images,
)


def make_folder(n_images: list[int], alphabets: list[str]) -> ImageFolder:
    """Classes of so many images each, no two alike."""
    rng = np.random.default_rng(0)
    images = (rng.random((sum(n_images), 105, 105)) < 0.1).astype(np.uint8)
    ends = np.cumsum(n_images)
    numbers = tuple(np.arange(end - n, end, dtype=np.int32) for end, n in zip(ends, n_images, strict=True))
    names = tuple(f"class_{k}" for k in range(len(n_images)))
    return ImageFolder(images, names, Classes(numbers, tuple(alphabets)))


def split(own: ImageFolder, seed: int = 0, **changes: float) -> OwnImages:
    settings = {"validation_share": 0.2, "test_share": 0.3, "least_images": 3} | changes
    return split_own_images(own, np.random.default_rng(seed), **settings)


def test_alphabets_are_dealt_out_whole() -> None:
    alphabets = [name for name in "abcdefghij" for _ in range(3)]
    splits = deal_classes(alphabets, [2] * 30, np.random.default_rng(1), 0.2, 0.3)
    by_alphabet = {
        name: {s for a, s in zip(alphabets, splits, strict=True) if a == name} for name in "abcdefghij"
    }
    assert {len(found) for found in by_alphabet.values()} == {1}
    assert [splits.count(name) // 3 for name in SPLITS] == [5, 2, 3]


def test_with_fewer_than_three_alphabets_classes_are_dealt_out() -> None:
    splits = deal_classes(["a"] * 6 + ["b"] * 4, [2] * 10, np.random.default_rng(1), 0.2, 0.3)
    assert [splits.count(name) for name in SPLITS] == [5, 2, 3]


def test_classes_of_one_image_are_trained_on_while_others_can_be_asked() -> None:
    n_images = [1, 3] * 10
    for seed in range(5):
        splits = deal_classes([""] * 20, n_images, np.random.default_rng(seed), 0.2, 0.2)
        asked = [n for n, split in zip(n_images, splits, strict=True) if split != "train"]
        assert asked == [3] * 8
    few = deal_classes([""] * 10, [1] * 9 + [2], np.random.default_rng(0), 0.2, 0.2)
    assert [few.count(name) for name in SPLITS] == [6, 2, 2]
    assert few[-1] != "train"


def test_every_split_gets_at_least_one_and_training_must_get_some() -> None:
    assert sorted(deal_classes([""] * 3, [2] * 3, np.random.default_rng(0), 0.01, 0.01)) == sorted(SPLITS)
    with pytest.raises(
        ImageFolderError, match="of 2 classes, 1 for validation and 1 for the test leave none"
    ):
        deal_classes(["", ""], [2, 2], np.random.default_rng(0), 0.2, 0.2)
    with pytest.raises(ImageFolderError, match="of 4 alphabets, 2 for validation and 2 for the test"):
        deal_classes(["a", "b", "c", "d"], [2] * 4, np.random.default_rng(0), 0.5, 0.5)


def test_copies_are_made_for_training_classes_alone() -> None:
    own = make_folder([1, 2, 4, 1, 2, 4, 1, 2, 4, 1], [""] * 10)
    images = split(own)
    assert len(images.bits) == len(own.images) + images.copies.sum()
    assert (unpack_rows(images.bits[~images.copies]) == own.images).all()
    for k, numbers in enumerate(own.classes.images):
        of_class = images.image_classes == k
        assert np.flatnonzero(of_class & ~images.copies).tolist() == numbers.tolist()
        n_copies = max(0, 3 - len(numbers)) if images.splits[k] == "train" else 0
        assert (of_class & images.copies).sum() == n_copies
    copied = np.flatnonzero(images.copies)
    assert len(copied) > 0
    assert not (unpack_rows(images.bits[copied]) == own.images[0]).all((1, 2)).any()


def test_classes_of_a_split_are_with_or_without_copies_and_not_too_small() -> None:
    own = make_folder([1] * 10, [""] * 10)
    images = split(own)
    assert [len(numbers) for numbers in images.classes("train", copies=True).images] == [3] * 5
    assert [len(numbers) for numbers in images.classes("train", copies=False).images] == [1] * 5
    assert len(images.classes("test", copies=False, least_images=2)) == 0
    assert len(images.classes("test", copies=False)) == 3


def test_a_saved_file_holds_the_same_images(tmp_path: Path) -> None:
    images = split(make_folder([1, 2, 3, 4], ["a", "a", "b", "b"]))
    save_own_images(tmp_path / "images.npz", images)
    found = load_own_images(tmp_path / "images.npz")
    assert found.sha256() == images.sha256()
    for name, array in vars(images).items():
        np.testing.assert_array_equal(getattr(found, name), array)


def test_the_checksum_tells_images_and_splits_apart() -> None:
    own = make_folder([2] * 10, [""] * 10)
    other = make_folder([2] * 10, ["a"] * 10)
    assert len({split(own).sha256(), split(own, seed=5).sha256(), split(other).sha256()}) == 3
    assert split(own).sha256() == split(own).sha256()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 half", b"no archive"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "images.npz").write_bytes(content)
    with pytest.raises(ImageFolderError, match=r"images\.npz is damaged"):
        load_own_images(tmp_path / "images.npz")
    with pytest.raises(ImageFolderError, match="is missing: run the stage prepare_classes"):
        load_own_images(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", format="another", bits=np.zeros(3))
    with pytest.raises(ImageFolderError, match=r"other\.npz is not in the format"):
        load_own_images(tmp_path / "other.npz")
