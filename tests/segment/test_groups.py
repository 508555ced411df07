"""Groups and crops beside slow, obvious ones, pixel by pixel."""

import numpy as np
import pytest

from oneshot.segment.groups import CROP_SIZE, Groups, crop_groups, crop_targets, group_colours
from tests.fake_scenes import fake_scenes
from tests.oracle import groups_numpy as oracle


def few_colours(n: int, seed: int, height: int = 20, width: int = 27) -> np.ndarray:
    """Images of rectangles in few colours, some of which recur, on black."""
    generator = np.random.default_rng(seed)
    images = np.zeros((n, height, width, 3), np.uint8)
    palette = generator.integers(0, 256, (6, 3), np.uint8)
    palette[0] = (0, 0, 1)  # nearly black is a colour
    for image in images:
        for _ in range(9):
            top, left = generator.integers(0, height), generator.integers(0, width)
            bottom, right = top + generator.integers(1, 8), left + generator.integers(1, 8)
            image[top:bottom, left:right] = palette[generator.integers(len(palette))]
    return images


def test_groups_are_those_of_every_pixel_by_pixel() -> None:
    images = np.concatenate([few_colours(6, 1), np.zeros((1, 20, 27, 3), np.uint8), few_colours(3, 2)])
    groups = group_colours(images)
    for image, found in zip(images, groups.maps, strict=True):
        assert np.array_equal(found, oracle.map_of(image))
    assert groups.counts.tolist() == [len(oracle.colours_of(image)) for image in images]
    for place, (image, number) in enumerate(zip(*groups.list_all(), strict=True)):
        group = groups.maps[image] == number
        assert tuple(groups.boxes[place]) == oracle.box_of(group)
        assert groups.areas[place] == group.sum()


def test_every_pixel_may_have_a_colour_of_its_own() -> None:
    """The table of colours never fills up."""
    n = 96 * 96
    colours = np.random.default_rng(0).choice(2**24 - 1, n, replace=False) + 1
    image = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8)
    groups = group_colours(image.reshape(1, 96, 96, 3))
    assert np.array_equal(groups.maps.ravel(), np.arange(1, n + 1))


def test_groups_do_not_depend_on_labels_but_on_colours() -> None:
    """Two characters of one colour are one group."""
    scenes = fake_scenes(3, 6, seed=4)
    scenes.palette[:, 2] = scenes.palette[:, 5]
    groups = group_colours(scenes.images())
    same = (scenes.labels == 2) | (scenes.labels == 5)
    for numbers, where in zip(groups.maps, same, strict=True):
        assert len(np.unique(numbers[where])) == 1
        assert np.array_equal(numbers == numbers[where][0], where)


@pytest.mark.parametrize("framing", ["box", "window"])
def test_crops_are_those_of_every_pixel_by_pixel(framing) -> None:
    groups = group_colours(few_colours(4, 3))
    images, numbers = groups.list_all()
    crops = crop_groups(groups, images, numbers, framing)
    for place, (image, number) in enumerate(zip(images, numbers, strict=True)):
        expected = oracle.crop_of(groups.maps[image], number, CROP_SIZE, framing)
        assert np.array_equal(crops.pixels[place], expected)
        np.testing.assert_allclose(
            crops.shapes[place], oracle.shape_of(groups.maps[image] == number), rtol=1e-6, atol=1e-6
        )


def test_crops_can_be_of_any_groups_in_any_order_and_number_zero_is_empty() -> None:
    groups = group_colours(few_colours(4, 5))
    images, numbers = groups.list_all()
    every = crop_groups(groups, images, numbers)
    order = np.random.default_rng(0).permutation(len(images))
    some = crop_groups(groups, images[order], numbers[order])
    assert np.array_equal(some.pixels, every.pixels[order])
    assert np.array_equal(some.shapes, every.shapes[order])
    empty = crop_groups(groups, np.array([0, 3]), np.array([0, 0]))
    assert not empty.pixels.any()
    assert not empty.shapes.any()


def test_a_crop_does_not_depend_on_place_and_colour() -> None:
    """Nor, in a box, on the size: the pixels of a drawing twice as large are the same."""
    generator = np.random.default_rng(1)
    drawing = generator.random((12, 10)) < 0.5
    drawing[0] = drawing[-1] = drawing[:, 0] = drawing[:, -1] = True
    images = np.zeros((3, 64, 64, 3), np.uint8)
    images[0, 5:17, 9:19][drawing] = (9, 0, 200)
    images[1, 40:52, 50:60][drawing] = (1, 255, 3)
    images[2, 30:54, 20:40][drawing.repeat(2, 0).repeat(2, 1)] = (1, 255, 3)
    crops = crop_targets(images)
    assert np.array_equal(crops.pixels[0], crops.pixels[1])
    assert np.array_equal(crops.pixels[0], crops.pixels[2])
    assert np.array_equal(crops.shapes[0], crops.shapes[1])
    np.testing.assert_allclose(crops.shapes[2] - crops.shapes[0], np.log([4, 2, 2, 1]), atol=1e-5)


def test_a_target_without_ink_is_an_empty_crop() -> None:
    images = few_colours(2, 7)
    images[0] = 0
    assert not crop_targets(images).pixels[0].any()
    assert crop_targets(images).pixels[1].any()


def test_groups_without_any_are_empty() -> None:
    groups = group_colours(np.zeros((2, 8, 8, 3), np.uint8))
    assert isinstance(groups, Groups)
    assert groups.counts.tolist() == [0, 0]
    assert len(groups.list_all()[0]) == 0
