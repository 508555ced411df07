"""Training batches of groups: who is in them, and that only the chosen scenes are."""

import numpy as np
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.segment.coded import join_coded
from oneshot.segment.group_batches import (
    ALL_VIEWS,
    PICKING_SEED,
    code_groups,
    decode_groups,
    pick_groups,
    target_groups,
    turn_crops,
)
from oneshot.segment.groups import Groups, crop_groups, crop_targets, group_colours
from tests.fake_scenes import fake_scenes


def scenes_with_a_hidden_target() -> Scenes:
    scenes = fake_scenes(6, 5, seed=3)
    scenes.masks[2] = False
    scenes.labels[2][scenes.labels[2] == 5] = 0
    return scenes


def test_the_targets_group_is_the_one_under_the_mask() -> None:
    scenes = scenes_with_a_hidden_target()
    groups = group_colours(scenes.images())
    numbers = target_groups(groups, scenes.masks)
    for scene, number in enumerate(numbers):
        assert np.array_equal(
            groups.maps[scene] == number if number else np.False_, scenes.masks[scene] * True
        ) or (scene == 2 and number == 0)


def test_others_are_picked_once_and_never_the_target() -> None:
    groups = group_colours(fake_scenes(50, 12, seed=1).images())
    targets = np.minimum(np.arange(50) % 5, groups.counts)
    numbers = pick_groups(groups, targets, 7, np.random.default_rng(0))
    assert np.array_equal(numbers[:, 0], targets)
    for row, count, target in zip(numbers, groups.counts, targets, strict=True):
        others = row[1:][row[1:] > 0]
        assert len(set(others)) == len(others) == min(7, count - (target > 0))
        assert target not in others
        assert others.max() <= count
    assert len({tuple(row[1:]) for row in numbers}) > 10


def test_where_there_are_too_few_groups_none_is_in_their_place() -> None:
    scenes = fake_scenes(4, 3, seed=2)
    coded = code_groups(scenes, "box", n_others=7)
    n_groups = group_colours(scenes.images()).counts
    assert ((coded.characters >= 0).sum(1).numpy() == n_groups).all()
    assert not coded.pixels[coded.characters < 0].any()


def draws_of(scenes: Scenes, groups: Groups, n_others: int) -> tuple[np.ndarray, np.ndarray]:
    """Turns and groups as they are drawn for a job."""
    generator = np.random.default_rng(PICKING_SEED)
    turns = generator.integers(ALL_VIEWS, size=len(scenes))
    return turns, pick_groups(groups, target_groups(groups, scenes.masks), n_others, generator)


def test_coded_groups_are_turned_crops_with_the_characters_behind_them() -> None:
    scenes = scenes_with_a_hidden_target()
    coded = code_groups(scenes, "window", n_others=3, n_views=ALL_VIEWS)
    groups = group_colours(scenes.images())
    turns, numbers = draws_of(scenes, groups, 3)
    for scene in range(len(scenes)):
        for place, number in enumerate(numbers[scene]):
            crop = crop_groups(groups, np.array([scene]), np.array([number]), "window")
            turned = turn_crops(crop, turns[[scene]])
            assert np.array_equal(coded.pixels[scene, place], turned.pixels[0])
            assert np.array_equal(coded.shapes[scene, place], turned.shapes[0])
            labels = np.unique(scenes.labels[scene][groups.maps[scene] == number]) if number else []
            characters = [scenes.characters[scene, label - 1] for label in labels]
            expected = [ALL_VIEWS * int(one) + turns[scene] for one in characters] or [-1]
            assert coded.characters[scene, place] in expected
    assert coded.characters[2, 0] == -1
    targets = turn_crops(crop_targets(scenes.targets(), "window"), turns)
    assert np.array_equal(coded.target_pixels, targets.pixels)
    assert (
        coded.target_characters.tolist()
        == (ALL_VIEWS * scenes.target_characters.astype(int) + turns).tolist()
    )


def test_crops_turn_as_their_images_do() -> None:
    """The crop of a turned image is the turned crop: in all eight ways, and its shape, too."""
    images = np.zeros((ALL_VIEWS, 40, 40, 3), np.uint8)
    images[:, 7:19, 20:30] = 200 * (np.random.default_rng(0).random((12, 10, 1)) < 0.5)
    images[:, [7, 18], 20:30] = images[:, 7:19, [20, 29]] = 200
    ways = [np.rot90(image, turn)[:, :: -1 if turn >= 4 else 1] for turn, image in enumerate(images)]
    turned = turn_crops(crop_targets(images), np.arange(ALL_VIEWS))
    expected = crop_targets(np.stack(ways))
    assert np.array_equal(turned.pixels, expected.pixels)
    np.testing.assert_allclose(turned.shapes, expected.shapes, rtol=1e-6)
    assert len({crop.tobytes() for crop in turned.pixels}) == ALL_VIEWS


def test_batches_hold_the_chosen_scenes_and_parts_can_be_joined() -> None:
    parts = [code_groups(fake_scenes(5, level, seed=level), "box", n_others=3) for level in (4, 9)]
    coded = join_coded(parts)
    batch = decode_groups(coded, torch.tensor([7, 0]))
    assert len(coded) == 10
    assert len(batch) == 2
    torch.testing.assert_close(batch.pixels[:4], parts[1].pixels[2] / 4)
    torch.testing.assert_close(batch.target_pixels[1], parts[0].target_pixels[0] / 4)
    assert batch.characters.tolist() == [parts[1].characters[2].tolist(), parts[0].characters[0].tolist()]
    assert 0 <= batch.pixels.min() <= batch.pixels.max() <= 1
