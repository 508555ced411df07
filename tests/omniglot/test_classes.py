"""Classes of images that are turned: which numbers they get, and which pixels these stand for."""

import numpy as np
import pytest

from oneshot.omniglot.classes import Classes, turned_classes, unpack_turned
from oneshot.omniglot.drawings import Drawings


def test_turned_classes_are_four_of_each_in_the_order_of_their_quarters() -> None:
    classes = Classes((np.array([0, 2], np.int32), np.array([1], np.int32)), ("a", "b"), same_drawers=True)
    turned = turned_classes(classes, n_images=10)
    assert [images.tolist() for images in turned.images] == [
        [0, 2], [1], [10, 12], [11], [20, 22], [21], [30, 32], [31],
    ]  # fmt: skip
    assert turned.alphabets == ("a", "b") * 4
    assert turned.same_drawers


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_number_beyond_all_images_is_an_image_turned(synthetic_drawings: Drawings, quarters: int) -> None:
    bits = synthetic_drawings.numbered()
    places = np.array([5, 0, 7, 5], np.int32)
    found = unpack_turned(bits, places + np.int32(quarters * len(bits)))
    plain = synthetic_drawings.unpack().reshape(-1, 105, 105)[places]
    for image, drawn in zip(found, plain, strict=True):
        expected = drawn.tolist()
        for _ in range(quarters):  # anticlockwise: the last column becomes the first row
            expected = [[row[column] for row in expected] for column in reversed(range(105))]
        assert image.tolist() == expected


def test_images_turned_and_not_may_stand_in_one_list(synthetic_drawings: Drawings) -> None:
    bits = synthetic_drawings.numbered()
    numbers = np.array([3 * len(bits) + 4, 4, len(bits) + 4], np.int32)
    found = unpack_turned(bits, numbers)
    for number, image in zip(numbers, found, strict=True):
        assert (image == unpack_turned(bits, number[None])[0]).all()
    assert (found[0] != found[1]).any()
