"""Threshold, IoU, localisation and intervals, on hand-drawn grids and against plain NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from oneshot.clutter.scenes import Scenes
from oneshot.library import load_scenes
from oneshot.omniglot.drawings import Drawings
from oneshot.segment.batches import code, read_colours
from oneshot.segment.metrics import (
    centre,
    foreground,
    has_same_class_distractor,
    iou,
    localised,
    snap_to_colours,
)
from tests.fake_scenes import fake_scenes
from tests.oracle.siamese_unet_numpy import softmax


def grid(*rows: str) -> torch.Tensor:
    return torch.tensor([[pixel == "#" for pixel in row] for row in rows])[None]


def dot(row: int, column: int, size: int = 32) -> torch.Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[0, row, column] = True
    return mask


def test_foreground_is_a_softmax_probability_above_0_3():
    logits = torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = softmax(logits.numpy(), 1)[:, 1] > 0.3
    np.testing.assert_array_equal(foreground(logits).numpy(), expected)


def drawn(*rows: str) -> torch.Tensor:
    """One number a pixel, digit by digit."""
    return torch.tensor([[int(pixel) for pixel in row] for row in rows])[None]


@pytest.mark.parametrize(
    ("tenths", "expected"),
    [
        # The brightest pixel is of colour 1, whose mean is lower than that of 2; black is brighter still.
        (("9190", "0044", "9904"), grid("....", "..##", "...#")),
        # Below the threshold of the network's own answer, too, a colour is marked: all of its pixels.
        (("0200", "0000", "0000"), grid("##..", "....", "..#.")),
    ],
)
def test_the_colour_of_the_highest_mean_probability_is_marked_whole(
    tenths: tuple[str, ...], expected: torch.Tensor
) -> None:
    colours = drawn("1103", "0022", "0012")
    found = snap_to_colours(drawn(*tenths) / 10, colours, 5)
    assert (found == expected).all()


def test_a_scene_without_any_colour_snaps_to_nothing_and_others_beside_it_are_not_touched() -> None:
    colours = torch.cat([drawn("000", "000"), drawn("010", "002")])
    probabilities = torch.cat([drawn("999", "999"), drawn("091", "008")]) / 10
    found = snap_to_colours(probabilities, colours, 3)
    assert (found == torch.cat([grid("...", "..."), grid(".#.", "...")])).all()


def test_snapping_is_the_plain_loop_over_the_colours_of_the_image() -> None:
    """Colours taken from the images' R, G and B, some shared by two characters, some black."""
    scenes = fake_scenes(6, 12, seed=3)
    scenes.palette[:, 5] = scenes.palette[:, 9]
    scenes.palette[:, 7] = 0
    coded = code(scenes)
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(6, 32, 32, generator=generator) * (torch.from_numpy(scenes.labels) + 1)
    found = snap_to_colours(probabilities, read_colours(coded, slice(0, 6)), coded.palette.shape[1])
    for mask, image, values in zip(found.numpy(), scenes.images(), probabilities.numpy(), strict=True):
        colours = {tuple(colour) for colour in image.reshape(-1, 3).tolist()} - {(0, 0, 0)}
        masks = [(image == colour).all(2) for colour in sorted(colours)]
        best = max(masks, key=lambda chosen: values[chosen].mean())
        assert (mask == best).all()


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        (grid("##.", "##.", "..."), grid(".##", ".##", "..."), 2 / 6),
        (grid("##.", "##.", "..."), grid("##.", "##.", "..."), 1),
        (grid("#..", "...", "..."), grid("...", "...", "..#"), 0),
        (grid("...", "...", "..."), grid("...", "...", "..#"), 0),
        (grid("#..", "...", "..."), grid("...", "...", "..."), 0),
        (grid("...", "...", "..."), grid("...", "...", "..."), 1),
    ],
)
def test_iou_of_hand_drawn_grids(predicted, true, expected):
    assert iou(predicted, true).item() == pytest.approx(expected)


def test_centre_of_mass_equals_scipys():
    masks = torch.rand(20, 24, 31, generator=torch.Generator().manual_seed(1)) < 0.1
    expected = [np.floor(ndimage.center_of_mass(mask)) for mask in masks.numpy()]
    np.testing.assert_array_equal(centre(masks).numpy(), expected)


@pytest.mark.parametrize(
    ("row", "column", "hit"),
    [(10, 10, True), (14, 10, True), (15, 10, False), (10, 5, False), (13, 13, True), (13, 14, False)],
)
def test_localised_means_less_than_five_pixels(row, column, hit):
    assert localised(dot(row, column), dot(10, 10)).item() is hit


def test_localisation_floors_before_it_measures():
    """Centres 4.5 and 0 apart by 4.5; floored, 4. Centres 5 and 0.5: 4.5 apart, but floored 5."""
    between = dot(4, 0) | dot(5, 0)
    assert localised(between, dot(0, 0)).item() is True
    assert localised(dot(5, 0), dot(0, 0) | dot(1, 0)).item() is False


def test_an_empty_mask_is_never_localised():
    empty = torch.zeros(1, 32, 32, dtype=torch.bool)
    near_origin = dot(1, 1)
    assert localised(empty, near_origin).item() is False
    assert localised(near_origin, empty).item() is False
    assert localised(empty, empty).item() is False


def scenes_of(characters: list[list[int]], targets: list[int]) -> Scenes:
    """Scenes that hold these characters, in the order of drawing, and search these."""
    scenes = fake_scenes(len(targets), len(characters[0]), seed=0)
    return replace(
        scenes, characters=np.array(characters, np.uint16), target_characters=np.array(targets, np.uint16)
    )


def test_a_same_class_distractor_is_another_instance_and_not_the_target_itself():
    scenes = scenes_of([[7, 2, 7], [1, 2, 7], [7, 7, 7], [7, 1, 2]], [7, 7, 7, 2])
    assert has_same_class_distractor(scenes).tolist() == [True, False, True, False]


@pytest.mark.omniglot
@pytest.mark.parametrize(("level", "share"), [(4, 0.01), (256, 0.52)])
def test_half_of_the_fullest_one_shot_scenes_have_a_same_class_distractor(
    drawings: Drawings, level: int, share: float
):
    scenes = load_scenes("test-one-shot", level, 2000, drawings)
    assert has_same_class_distractor(scenes).mean() == pytest.approx(share, abs=0.015)
    # The target is where the mask is: no scene's own target counts as a distractor.
    assert (scenes.characters[:, level - 1] == scenes.target_characters).all()
