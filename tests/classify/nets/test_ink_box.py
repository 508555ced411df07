"""The box around ink: where it lies, what it is resampled to, and what makes no difference to it."""

import numpy as np
import torch

from oneshot.classify.nets.ink_box import MARGIN, crop_to_ink, ends_of_ink, even_shares


def test_averaging_shares_every_pixel_out_once():
    shares = even_shares(105, 28)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(shares.sum(0), 28 / 105, atol=1e-6)
    # The second of 28 covers pixels 3.75 to 7.5.
    np.testing.assert_allclose(shares[1, 3:8] * 3.75, [0.25, 1, 1, 1, 0.5], atol=1e-6)


def crop_pixel_by_pixel(image, side):
    """Sample the box around the ink densely, and average what falls into each pixel of the result."""
    rows, columns = np.nonzero(image)
    length = MARGIN * max(np.ptp(rows) + 1, np.ptp(columns) + 1)
    middle = [(some.min() + some.max() + 1) / 2 for some in (rows, columns)]
    n_samples = 20
    steps = (np.arange(side * n_samples) + 0.5) / (side * n_samples)
    y, x = (np.floor(where - length / 2 + length * steps).astype(int) for where in middle)
    n = len(image)
    inside = ((y >= 0) & (y < n))[:, None] & ((x >= 0) & (x < n))
    dense = np.where(inside, image[y.clip(0, n - 1)][:, x.clip(0, n - 1)], 0)
    return dense.reshape(side, n_samples, side, n_samples).mean((1, 3))


def test_crops_equal_those_sampled_pixel_by_pixel(synthetic_drawings):
    images = synthetic_drawings.unpack()[::9, 2]
    for side in (32, 105):
        found = crop_to_ink(torch.from_numpy(images).float(), side)
        expected = np.stack([crop_pixel_by_pixel(image, side) for image in images])
        np.testing.assert_allclose(found, expected, atol=0.12)
        assert abs(found.numpy() - expected).mean() < 0.004


def test_place_makes_no_difference_and_quarters_turn_the_crop(synthetic_drawings):
    image = torch.zeros(105, 105)
    image[40:70, 35:60] = torch.from_numpy(synthetic_drawings.unpack()[0, 0]).float()[40:70, 35:60]
    image[40, 35] = image[69, 59] = 1.0
    moved = image.roll((20, -15), (0, 1))
    crops = crop_to_ink(torch.stack([image, moved, image.rot90()]), 32)
    torch.testing.assert_close(crops[1], crops[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(crops[2], crops[0].rot90(), atol=1e-5, rtol=0)


def test_ends_of_ink_are_those_of_pixels_and_blank_images_are_taken_whole():
    rows = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1.0]])
    begins, ends = ends_of_ink(rows)
    assert (begins.tolist(), ends.tolist()) == ([1, 0, 0], [4, 5, 5])
    blank = crop_to_ink(torch.zeros(1, 105, 105), 8)
    assert blank.abs().max() == 0


def test_the_box_is_a_fifth_wider_than_the_ink():
    image = torch.zeros(1, 105, 105)
    image[0, 20:70, 30:80] = 1
    expected = torch.zeros(60, 60)
    expected[5:55, 5:55] = 1
    torch.testing.assert_close(crop_to_ink(image, 60)[0], expected, atol=1e-4, rtol=0)
