"""The published generator's rules, written plainly with Pillow and NumPy's RandomState: slow, and obvious.

Shares nothing with the compiled renderer but the drawings. Also the baseline of the rendering benchmark.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from oneshot.clutter.scenes import SceneRecipe


@dataclass
class Glyph:
    ink: np.ndarray  # (height, width) bool, cropped
    colour: np.ndarray  # (3,) uint8


def render_job_plainly(drawings, recipe: SceneRecipe, seed: int, n_scenes: int):
    """``drawings``: (characters, 20, 105, 105), ink 1. Returns images, segmentation, targets as published."""
    rng = np.random.RandomState(seed)
    scenes = [render_scene(drawings, recipe, rng) for _ in range(n_scenes)]
    return tuple(np.stack(arrays) for arrays in zip(*scenes, strict=True))


def render_scene(drawings, recipe: SceneRecipe, rng):
    width, height = recipe.scene_size
    scene, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width, 1), np.uint8)

    target_drawing = pick_drawing(drawings, recipe, rng)
    for _ in range(recipe.clutter_level - 1):
        place(scene, draw_other(drawings, recipe, rng), rng)

    empty = rng.random_sample() < recipe.empty_share
    drawing = pick_drawing(drawings, recipe, rng) if empty else target_drawing
    place(scene, draw_until_it_works(drawing, 2.0, rng), rng, mask=None if empty else mask)
    for _ in range(recipe.n_occluders):
        place(scene, draw_other(drawings, recipe, rng), rng)

    target = centre(draw_until_it_works(target_drawing, 1.0, rng), recipe.target_size)
    return scene, mask, target


def pick_drawing(drawings, recipe, rng):
    character = rng.randint(0, len(drawings))
    drawer = rng.randint(*recipe.drawers)
    return drawings[character, drawer]


def draw_other(drawings, recipe, rng) -> Glyph:
    glyph = None
    while glyph is None:
        glyph = draw_glyph(pick_drawing(drawings, recipe, rng), 2.0, rng)
    return glyph


def draw_until_it_works(drawing, scale, rng) -> Glyph:
    glyph = None
    while glyph is None:
        glyph = draw_glyph(drawing, scale, rng)
    return glyph


def draw_glyph(drawing, scale, rng) -> Glyph | None:
    """None if nothing is left of the drawing; the random draws made until then stay spent."""
    warped = warp(drawing, scale, rng)
    if not warped.any():
        return None
    colour = (255 * rng.random_sample(3)).astype(np.uint8)
    rows, columns = np.nonzero(warped.any(1))[0], np.nonzero(warped.any(0))[0]
    cropped = warped[rows[0] : rows[-1], columns[0] : columns[-1]]  # without the last row and column
    return Glyph(cropped, colour) if cropped.size else None


def warp(drawing, scale, rng):
    phi = math.radians(rng.uniform(-20, 20))
    theta = math.radians(rng.uniform(-10, 10))
    a = scale ** rng.uniform(-1, 1)
    b = scale ** rng.uniform(-1, 1)
    rotation = np.array(
        [[math.cos(phi + theta), math.sin(phi - theta)], [-math.sin(phi + theta), math.cos(phi - theta)]]
    )
    corners = np.array([[0, 0], [105 * a, 0], [0, 105 * b], [105 * a, 105 * b]]) @ rotation.T
    shift = corners.min(0)
    width, height = corners.max(0) - shift

    inverse = np.linalg.inv(rotation @ np.diag([a, b]))
    offset = inverse @ shift
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    image = Image.fromarray(drawing.astype(bool))
    image = image.transform((int(width), int(height)), Image.Transform.AFFINE, coefficients)
    image = image.resize((int(32 * width / 105), int(32 * height / 105)), Image.Resampling.NEAREST)
    return np.asarray(image)


def place(scene, glyph: Glyph, rng, mask=None):
    height, width = glyph.ink.shape
    left = rng.randint(0, scene.shape[1] - width + 1)
    top = rng.randint(0, scene.shape[0] - height + 1)
    scene[top : top + height, left : left + width][glyph.ink] = glyph.colour
    if mask is not None:
        mask[top : top + height, left : left + width][glyph.ink] = 1


def centre(glyph: Glyph, size):
    """The glyph in the middle of an image of (width, height); what is larger is cut by the border."""
    target = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - glyph.ink.shape[1]) // 2, (size[1] - glyph.ink.shape[0]) // 2
    for row, column in np.argwhere(glyph.ink):
        if 0 <= row + top < size[1] and 0 <= column + left < size[0]:
            target[row + top, column + left] = glyph.colour
    return target
