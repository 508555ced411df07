"""Where MaskNet looks and what its discriminator is shown, against plain oracles and by hand."""

import numpy as np
import pytest
import torch

from oneshot.segment.metrics import centre
from oneshot.segment.proposals import centre_location, crop, crops_of, near_locations
from tests.oracle import masknet_numpy as oracle


def random_masks(n: int, size: int = 96) -> torch.Tensor:
    """Blots anywhere, some over the edge."""
    generator = np.random.default_rng(0)
    masks = np.zeros((n, size, size), bool)
    for mask in masks:
        top, left = generator.integers(-6, size - 3, 2)
        height, width = generator.integers(8, 30, 2)
        rows, columns = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
        mask[rows, columns] = generator.random(mask[rows, columns].shape) < 0.5
    return torch.from_numpy(masks)


def test_near_locations_equal_the_oracle():
    masks = random_masks(200)
    found = near_locations(centre(masks), 12, 12).tolist()
    expected = [[12 * r + c for r, c in oracle.near_locations(mask)] for mask in masks.numpy()]
    assert found == expected
    assert len({location for four in found for location in four}) > 80


@pytest.mark.parametrize(
    ("centre_of_mass", "locations"),
    [
        ((20, 44), [(2, 5), (2, 6), (3, 5), (3, 6)]),
        ((16, 41), [(2, 5), (2, 6), (2, 5), (2, 6)]),  # a whole multiple of 8: floor and ceiling agree
        ((90, 93), [(11, 11), (11, 11), (11, 11), (11, 11)]),  # nothing beyond the last row and column
    ],
)
def test_near_locations_are_the_floor_and_ceiling_of_an_eighth(centre_of_mass, locations):
    found = near_locations(torch.tensor([centre_of_mass]), 12, 12)[0].tolist()
    assert [divmod(location, 12) for location in found] == locations


def test_centre_location_holds_the_centre():
    centres = torch.tensor([[0, 0], [7, 8], [95, 50]])
    assert centre_location(centres, 12, 12).tolist() == [0, 1, 11 * 12 + 6]


def test_crops_equal_the_oracle():
    masks = random_masks(12)
    masks[0] = False
    found = crop(masks, centre(masks))
    for mask, cropped in zip(masks.numpy(), found, strict=True):
        np.testing.assert_allclose(cropped.numpy(), oracle.crop(mask), atol=1e-4)
    assert not found[0].any()


def test_a_crop_is_centred_and_holds_a_third_of_the_scene():
    mask = torch.zeros(1, 96, 96, dtype=torch.bool)
    mask[0, 40:57, 20:27] = True  # around (48, 23)
    cropped = crop(mask, centre(mask))[0]
    assert cropped.shape == (32, 32)
    assert cropped.sum().item() == pytest.approx(17 * 7 * (31 / 32) ** 2, rel=0.02)
    rows, columns = (cropped.sum(axis) for axis in (1, 0))
    places = torch.arange(32.0)
    assert ((rows * places).sum() / rows.sum()).item() == pytest.approx(15.5, abs=1)
    assert ((columns * places).sum() / columns.sum()).item() == pytest.approx(15.5, abs=1)


def test_crops_are_white_on_black_normalised_with_their_scenes_statistics():
    masks = torch.zeros(2, 96, 96, dtype=torch.bool)
    masks[:, 30:70, 30:70] = True  # more than a crop holds
    crops = crops_of(masks, torch.tensor([5.0, 40.0]), torch.tensor([25.0, 50.0]))
    assert crops.shape == (2, 3, 32, 32)
    torch.testing.assert_close(crops[0], torch.full((3, 32, 32), 10.0))
    torch.testing.assert_close(crops[1], torch.full((3, 32, 32), 4.3))
    blank = crops_of(torch.zeros_like(masks), torch.tensor([5.0, 40.0]), torch.tensor([25.0, 50.0]))
    torch.testing.assert_close(blank[0], torch.full((3, 32, 32), -0.2))
