"""Drawings and recipes that several tests of scenes share."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from oneshot.clutter.scenes import SceneRecipe, Scenes
from oneshot.omniglot.drawings import Drawings, pack_rows


def make_drawings(pixels: np.ndarray) -> Drawings:
    """A character set 'train' of the given (characters, 20, 105, 105) ink, without any alphabet's name."""
    names = np.array([f"character{i:02d}" for i in range(len(pixels))])
    return Drawings(pack_rows(pixels), np.repeat("train", len(pixels)), names, names, names, "synthetic")


def bars(*boxes: tuple[int, int, int, int]) -> Drawings:
    """One character for each box of ink (left, top, width, height), the same by all drawers."""
    pixels = np.zeros((len(boxes), 20, 105, 105), np.uint8)
    for ink, (left, top, width, height) in zip(pixels, boxes, strict=True):
        ink[:, top : top + height, left : left + width] = 1
    return make_drawings(pixels)


def random_recipes(n: int, seed: int) -> Iterator[tuple[SceneRecipe, int]]:
    """Recipes of all kinds, each with the seed of a job; large enough for every glyph."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        first = int(rng.integers(0, 20))
        recipe = SceneRecipe(
            clutter_level=int(rng.integers(1, 41)),
            characters=str(rng.choice(["train", "eval", "test"])),
            drawers=(first, int(rng.integers(first, 20)) + 1),
            n_occluders=int(rng.choice([0, 0, 1, 7])),
            empty_share=float(rng.choice([0.0, 1.0, rng.random()])),
            scene_size=(int(rng.integers(96, 200)), int(rng.integers(96, 200))),
            target_size=(int(rng.integers(1, 80)), int(rng.integers(1, 80))),
        )
        yield recipe, int(rng.integers(2**32))


def assert_equals_oracle(scenes: Scenes, oracle: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    for found, plain in zip((scenes.images(), scenes.segmentation(), scenes.targets()), oracle, strict=True):
        assert found.dtype == plain.dtype
        assert np.array_equal(found, plain)


def assert_same(scenes: Scenes, other: Scenes) -> None:
    for field in fields(Scenes):
        found, expected = getattr(scenes, field.name), getattr(other, field.name)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
