"""Koch's affine distortions of drawings, as matrices: drawn here, applied where the images are.

Source: Koch et al. 2015, section 3.3: rotation, shear, scale and translation, each of them on both axes where
it has two; each component is there with probability 0.5, and then uniform.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Float32

N_COMPONENTS = 7
PRESENT = 0.5  # probability of each component
TURN_DEGREES = 10.0
SHEAR = 0.3  # radians, along each axis
STRETCH = 0.2  # at most this much more or less than 1, on each axis
TRANSLATION = 2.0  # pixels, along each axis
# Rotation; shear of x and y; scale of x and y; translation of x and y.
REACHES = np.array([np.deg2rad(TURN_DEGREES), SHEAR, SHEAR, STRETCH, STRETCH, TRANSLATION, TRANSLATION])


def choose_components(chance: Float[np.ndarray, "*n 2 7"]) -> Float[np.ndarray, "*n 7"]:
    """Turn two numbers in [0, 1) a component, for its presence and its size, into components as in REACHES.

    Scale is minus 1; 0 stands for none.
    """
    return np.where(chance[..., 0, :] < PRESENT, REACHES * (2 * chance[..., 1, :] - 1), 0.0)


def inverse_transforms(parts: Float[np.ndarray, "*n 7"]) -> Float32[np.ndarray, "*n 2 3"]:
    """Give, for components as in REACHES, where in the drawing each point of the result is read.

    Points (x, y) count pixels from the drawing's middle, x to the right and y downwards. A drawing is scaled,
    then sheared, then rotated, then moved.
    """
    angle, shear_x, shear_y, scale_x, scale_y, move_x, move_y = np.moveaxis(parts, -1, 0)
    cosine, sine, one = np.cos(angle), np.sin(angle), np.ones_like(angle)
    rotation = stack_rows([[cosine, -sine], [sine, cosine]])
    shear = stack_rows([[one, np.tan(shear_x)], [np.tan(shear_y), one]])
    scale = stack_rows([[1 + scale_x, 0 * one], [0 * one, 1 + scale_y]])
    inverse = np.linalg.inv(rotation @ shear @ scale)
    move = -inverse @ np.stack([move_x, move_y], -1)[..., None]
    return np.concatenate([inverse, move], -1).astype(np.float32)


def stack_rows(rows: list[list[Any]]) -> Float[np.ndarray, "*n 2 2"]:
    """Stack numbers or arrays of them into matrices."""
    return np.stack([np.stack(row, -1) for row in rows], -2)
