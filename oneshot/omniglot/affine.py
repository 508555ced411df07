"""Koch's affine distortions of a drawing, as numbers: their components, their ranges, their transforms.

Source: Koch et al. 2015, section 3.3: each component is there with probability 0.5, and then uniform.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Float32

PRESENT = 0.5  # probability of each component
ROTATION = np.deg2rad(10.0)
SHEAR = 0.3  # radians, along each axis
SCALE = 0.2  # at most this much more or less than 1, on each axis
TRANSLATION = 2.0  # pixels, along each axis
# Rotation; shear of x and y; scale of x and y; translation of x and y.
REACHES = np.array([ROTATION, SHEAR, SHEAR, SCALE, SCALE, TRANSLATION, TRANSLATION])


def invert_transforms(parts: Float[np.ndarray, "*n 7"]) -> Float32[np.ndarray, "*n 2 3"]:
    """Map points of the result to the drawing, given components as in REACHES (scale minus 1; 0 for none).

    Points (x, y) count pixels from the drawing's middle, x to the right and y downwards. A drawing is scaled,
    then sheared, then rotated, then moved.
    """
    angle, shear_x, shear_y, scale_x, scale_y, move_x, move_y = np.moveaxis(parts, -1, 0)
    cosine, sine, one = np.cos(angle), np.sin(angle), np.ones_like(angle)
    rotation = _stack_rows([[cosine, -sine], [sine, cosine]])
    shear = _stack_rows([[one, np.tan(shear_x)], [np.tan(shear_y), one]])
    scale = _stack_rows([[1 + scale_x, 0 * one], [0 * one, 1 + scale_y]])
    inverse = np.linalg.inv(rotation @ shear @ scale)
    move = -inverse @ np.stack([move_x, move_y], -1)[..., None]
    return np.concatenate([inverse, move], -1).astype(np.float32)


def _stack_rows(rows: list[list[Any]]) -> Float[np.ndarray, "*n 2 2"]:
    return np.stack([np.stack(row, -1) for row in rows], -2)
