"""Palette-coded scenes to float batches, against the images that the scenes themselves decode to."""

import numpy as np
import pytest
import torch

from oneshot.segment.batches import (
    PixelStatistics,
    characters_behind,
    code,
    decode,
    pick_others,
    pixel_statistics,
    read_colours,
    with_others,
)
from oneshot.segment.coded import join_coded
from tests.fake_scenes import fake_scenes, fake_targets, images_of

STATISTICS = PixelStatistics(4.5, 27.5)
FORMATS = [torch.contiguous_format, torch.channels_last]


def normalised(images: np.ndarray) -> np.ndarray:
    """Channels last and 0..255 to channels first and normalised."""
    return ((images.astype(np.float64) - 4.5) / 27.5).transpose(0, 3, 1, 2)


def test_pixel_statistics_are_scalars_over_the_first_1000_images():
    scenes = fake_scenes(1005, 3, seed=0, size=16)
    images = images_of(scenes)[:1000].astype(np.float64)
    statistics = pixel_statistics(scenes)
    assert statistics.mean == pytest.approx(images.sum() / images.size, rel=1e-12)
    assert statistics.std == pytest.approx(np.sqrt(((images - images.mean()) ** 2).mean()), rel=1e-12)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("level", "label_type"), [(4, np.uint8), (260, np.uint16)])
def test_decoded_batches_equal_the_images(level, label_type, memory_format):
    scenes = fake_scenes(6, level, seed=1, n_occluders=1)
    assert scenes.labels.dtype == label_type
    which = np.array([4, 0, 3])
    batch = decode(code(scenes), torch.from_numpy(which), STATISTICS, memory_format)
    np.testing.assert_allclose(batch.images.numpy(), normalised(images_of(scenes)[which]), atol=1e-5)
    np.testing.assert_allclose(batch.targets.numpy(), normalised(scenes.targets()[which]), atol=1e-5)
    np.testing.assert_array_equal(batch.masks.numpy(), scenes.masks[which])
    assert batch.images.is_contiguous(memory_format=memory_format)
    assert batch.targets.is_contiguous(memory_format=memory_format)
    assert batch.others is None
    assert batch.visible is None


@pytest.mark.parametrize(("level", "n_occluders"), [(4, 0), (256, 0), (4, 3), (260, 1)])
def test_pixels_of_one_colour_have_one_number_whatever_their_label(level, n_occluders):
    scenes = fake_scenes(5, level, seed=3, n_occluders=n_occluders)
    scenes.palette[:, 1] = scenes.palette[:, 3]  # two characters of one colour
    scenes.palette[:, 2] = 0  # and one that cannot be seen
    numbers = read_colours(code(scenes), slice(1, 4)).numpy()
    for found, image in zip(numbers, images_of(scenes)[1:4].astype(int), strict=True):
        packed = image @ [65536, 256, 1]
        assert ((found == 0) == (packed == 0)).all()
        pairs = {*zip(found.ravel().tolist(), packed.ravel().tolist(), strict=True)}
        assert len(pairs) == len({number for number, _ in pairs}) == len({colour for _, colour in pairs})


def test_a_level_of_256_characters_is_held_in_eight_bits():
    scenes = fake_scenes(40, 256, seed=2)
    assert scenes.labels.dtype == np.uint16
    assert scenes.labels.max() == 256
    coded = code(scenes)
    assert coded.labels.dtype == torch.uint8
    batch = decode(coded, slice(None), STATISTICS)
    np.testing.assert_allclose(batch.images.numpy(), normalised(images_of(scenes)), atol=1e-5)
    np.testing.assert_array_equal(batch.masks.numpy(), scenes.masks)


def test_widths_that_fill_no_byte_are_kept():
    scenes = fake_scenes(3, 4, seed=2, size=29)
    batch = decode(code(scenes), slice(None), STATISTICS)
    assert batch.images.shape == (3, 3, 29, 29)
    np.testing.assert_array_equal(batch.masks.numpy(), scenes.masks)


def test_parts_of_different_levels_join():
    parts = [fake_scenes(3, 4, seed=2), fake_scenes(3, 300, seed=3)]
    batch = decode(join_coded([code(part) for part in parts]), slice(2, 5), STATISTICS)
    expected = np.concatenate([images_of(part) for part in parts])[2:5]
    np.testing.assert_allclose(batch.images.numpy(), normalised(expected), atol=1e-5)


def test_others_are_distinct_distractors_of_their_scene():
    labels = pick_others(200, 8, 3, np.random.default_rng(0))
    assert labels.shape == (200, 3)
    assert all(len(set(row)) == 3 for row in labels.tolist())
    assert set(labels.flatten().tolist()) == set(range(1, 8))


def test_characters_behind_labels():
    scenes = fake_scenes(2, 4, seed=0)
    found = characters_behind(scenes.characters, np.array([[1, 3], [2, 1]]))
    assert found.tolist() == [
        [scenes.characters[0, 0], scenes.characters[0, 2]],
        [scenes.characters[1, 1], scenes.characters[1, 0]],
    ]


def test_matching_data_belong_to_their_scene_and_character():
    parts, others, coded_parts = [], [], []
    for level in (4, 6):
        scenes = fake_scenes(5, level, seed=level, size=24)
        labels = pick_others(5, level, 3, np.random.default_rng(level))
        parts.append(scenes)
        targets = fake_targets(level, characters_behind(scenes.characters, labels), seed=level)
        others.append((labels, targets))
        coded_parts.append(with_others(code(scenes), level, labels, targets))
    coded = join_coded(coded_parts)
    batch = decode(coded, torch.tensor([1, 7]), STATISTICS)
    assert batch.others is not None
    assert batch.visible is not None
    for place, (part, scene, level) in enumerate([(0, 1, 4), (1, 2, 6)]):
        sought = [level, *others[part][0][scene]]
        for k, label in enumerate(sought):
            shown = parts[part].labels[scene] == label
            shares = shown.reshape(3, 8, 3, 8).mean((1, 3))
            np.testing.assert_allclose(batch.visible[place, k].numpy(), shares, atol=1e-6)
        for k, label in enumerate(sought[1:]):
            ink = others[part][1].inks[scene, k]
            character = int(parts[part].characters[scene, label - 1])
            expected = (ink * character - 4.5) / 27.5
            np.testing.assert_allclose(batch.others[place, k, 0].numpy(), expected, atol=1e-5)
