"""Scenes of coloured rectangles: quick to make, and nothing of the renderer is needed."""

import numpy as np

from oneshot.clutter.scenes import Scenes, Targets


def fake_scenes(n: int, level: int, seed: int, size: int = 32, n_occluders: int = 0) -> Scenes:
    generator = np.random.default_rng(seed)
    n_characters = level + n_occluders
    labels = np.zeros((n, size, size), np.uint8 if n_characters < 256 else np.uint16)
    masks = np.zeros((n, size, size), bool)
    for scene in range(n):
        for label in range(1, n_characters + 1):
            top, left = generator.integers(0, size - 9, 2)
            height, width = generator.integers(3, 9, 2)
            labels[scene, top : top + height, left : left + width] = label
            if label == level:
                masks[scene, top : top + height, left : left + width] = True
    palette = generator.integers(0, 256, (n, n_characters + 1, 3), np.uint8)
    palette[:, 0] = 0
    characters = generator.integers(0, 50, (n, n_characters), np.uint16)
    return Scenes(
        labels=labels,
        palette=palette,
        masks=masks,
        characters=characters,
        target_inks=generator.random((n, 32, 32)) < 0.2,
        target_tints=generator.integers(0, 256, (n, 3), np.uint8),
        target_characters=characters[:, level - 1].copy(),
    )


def images_of(scenes: Scenes) -> np.ndarray:
    """Every pixel looked up in its scene's palette, by NumPy's indexing."""
    return scenes.palette[np.arange(len(scenes))[:, None, None], scenes.labels]


def fake_targets(level: int, characters: np.ndarray, seed: int) -> Targets:
    """Every pixel of a target's tint is its character, so that tests can tell who was asked for."""
    inks = np.random.default_rng(seed).random((*characters.shape, 32, 32)) < 0.2
    return Targets(inks, np.repeat(characters[..., None], 3, axis=2).astype(np.uint8))
