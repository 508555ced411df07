"""Distortions against a sampler that goes pixel by pixel, and how often each component is there."""

import numpy as np
import pytest
import torch

from oneshot.classify.distortions import GRID, distort, draw_distortions
from oneshot.omniglot.distortions import REACHES, choose_components, inverse_transforms
from oneshot.omniglot.image_folder import distort_image
from tests.oracle import koch_numpy as oracle


@pytest.fixture(scope="module")
def images(synthetic_drawings):
    return synthetic_drawings.unpack()[::5, 3]


@pytest.mark.parametrize("place", [*range(7), "all"])
def test_every_component_and_all_together_equal_the_oracle(place, images):
    parts = REACHES * np.random.default_rng(0).uniform(-1, 1, 7)
    if place != "all":
        parts = np.where(np.arange(7) == place, REACHES, 0)
    found = distort(torch.from_numpy(images[:1]).float(), torch.from_numpy(inverse_transforms(parts[None])))
    angle, shear_x, shear_y, scale_x, scale_y, *move = parts
    expected = oracle.affine(images[0], angle, shear_x, shear_y, 1 + scale_x, 1 + scale_y, *move)
    np.testing.assert_allclose(found[0], expected, atol=2e-4)
    assert abs(expected - images[0]).max() > 0.5


def test_ink_goes_where_the_components_say():
    """A dot to the right of the middle: right and down are positive, rotations go clockwise on the page."""
    image = torch.zeros(1, 105, 105)
    image[0, 52, 72] = 1

    def place(**parts):
        names = ["angle", "shear_x", "shear_y", "scale_x", "scale_y", "move_x", "move_y"]
        drawn = np.array([[parts.get(name, 0.0) for name in names]])
        row, column = divmod(int(distort(image, torch.from_numpy(inverse_transforms(drawn))).argmax()), 105)
        return row - 52, column - 52

    assert place() == (0, 20)
    assert place(angle=np.pi / 2) == (20, 0)
    assert place(scale_x=0.2) == (0, 24)
    assert place(move_x=2.0, move_y=-1.0) == (-1, 22)
    assert place(shear_y=np.arctan(0.25)) == (5, 20)


def test_smooth_distortions_move_what_each_pixel_reads_by_numbers_between_those_of_the_points(images):
    moves = torch.from_numpy(np.random.default_rng(0).uniform(-0.1, 0.1, (1, 2, *GRID)).astype(np.float32))
    inverse = draw_distortions(0, np.array([7]), np.array([1]))[0, :1]
    found = distort(torch.from_numpy(images[:1]).float(), torch.from_numpy(inverse), moves)[0]
    expected = np.zeros((105, 105))
    for row, column in np.ndindex(105, 105):
        x, y = inverse[0].astype(float) @ (column - 52, row - 52, 1)
        right, down = (
            52 * oracle.bilinear(axis, row / 26, column / 26) for axis in moves[0].numpy().astype(float)
        )
        expected[row, column] = oracle.bilinear(images[0], 52 + y + down, 52 + x + right)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert abs(expected - images[0]).max() > 0.5


def test_both_drawings_every_pair_and_every_copy_have_their_own():
    numbers, copies = np.divmod(np.arange(3000), 3)
    inverses = draw_distortions(0, numbers, copies)
    others = inverses[copies > 0].reshape(-1, 6)
    # One in 128 has no component at all.
    assert len(np.unique(others, axis=0)) == pytest.approx(len(others) * 127 / 128, rel=0.01)
    np.testing.assert_array_equal(draw_distortions(0, np.array([7]), np.array([2]))[0], inverses[7 * 3 + 2])
    assert (draw_distortions(1, numbers, copies) != inverses).any()


def test_components_are_there_half_the_time_and_within_their_reach():
    inverses = draw_distortions(0, np.arange(20_000), np.ones(20_000, int)).reshape(-1, 2, 3)
    transforms = np.linalg.inv(inverses[:, :, :2].astype(float))
    moves = -(transforms @ inverses[:, :, 2:])[..., 0]
    assert abs(moves).max() == pytest.approx(2, abs=0.01)
    assert (abs(moves) > 1e-4).mean(0) == pytest.approx([0.5, 0.5], abs=0.01)
    assert np.linalg.det(transforms).max() < 1.2**2 * (1 + np.tan(0.3) ** 2)
    unchanged = (abs(transforms - np.eye(2)) < 1e-6).all((1, 2)).mean()
    assert unchanged == pytest.approx(1 / 32, abs=0.004)


def test_own_images_are_distorted_by_the_same_transforms(images):
    """Both axes sheared, as in training: numbers that are drawn in turn stand in for those looked up."""
    drawing = images[0]
    for seed in range(20):
        copy = distort_image(drawing, np.random.default_rng(seed))
        parts = choose_components(np.random.default_rng(seed).random((2, 7)))
        inverse = torch.from_numpy(inverse_transforms(parts[None]))
        expected = distort(torch.from_numpy(drawing[None]).float(), inverse)[0].numpy()
        sure = abs(expected - 0.5) > 1e-2
        np.testing.assert_array_equal(copy[sure], (expected >= 0.5)[sure])
