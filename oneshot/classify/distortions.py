"""Affine distortions of drawings: drawn on the CPU, looked up by number; applied in batches on the device."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from oneshot.classify.counter_random import uniforms

DISTORTIONS = 2  # keeps these random numbers apart from those of pairs under the same seed
PRESENT = 0.5  # probability of each component
ROTATION_DEGREES = 10.0
SHEAR = 0.3  # radians, along each axis
SCALE = 0.2  # at most this much more or less than 1, on each axis
TRANSLATION = 2.0  # pixels, along each axis
# Rotation; shear of x and y; scale of x and y; translation of x and y.
REACHES = np.array([np.deg2rad(ROTATION_DEGREES), SHEAR, SHEAR, SCALE, SCALE, TRANSLATION, TRANSLATION])


def draw_distortions(
    seed: int, numbers: Int[np.ndarray, " n"], copies: Int[np.ndarray, " n"]
) -> Float32[np.ndarray, "n 2 2 3"]:
    """For both drawings of each pair, as numbered, where each pixel of the result is read (see `distort`).

    Copy 0 is the original; every drawing of every other copy has a transform of its own.

    Source: Koch et al. 2015, section 3.3: each component is there with probability 0.5, and then uniform.
    """
    chance = uniforms(28, seed, DISTORTIONS, numbers, copies).reshape(-1, 2, 2, 7)
    present = (chance[:, 0] < PRESENT) & (copies != 0)[:, None, None]
    return inverse_transforms(np.where(present, REACHES * (2 * chance[:, 1] - 1), 0.0))


def inverse_transforms(parts: Float[np.ndarray, "*n 7"]) -> Float32[np.ndarray, "*n 2 3"]:
    """From components as in REACHES (scale minus 1; 0 for none): from points of the result to the drawing.

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


def stack_rows(rows: list[list[np.ndarray]]) -> Float[np.ndarray, "*n 2 2"]:
    return np.stack([np.stack(row, -1) for row in rows], -2)


def distort(
    images: Float[Tensor, "b side side"], inverses: Float[Tensor, "b 2 3"]
) -> Float[Tensor, "b side side"]:
    """Each pixel of the result is read at its place in the image, linearly between pixels; outside is 0."""
    side = images.shape[-1]
    half = (side - 1) / 2
    # grid_sample's coordinates go from -1 to 1 between the middles of the outer pixels. Summed up term by
    # term, since affine_grid is a matrix product, which autocast would round to bfloat16: 0.1 pixels.
    x = torch.linspace(-1, 1, side, device=images.device)
    matrix, move = inverses[..., :2, None, None], inverses[..., 2, None, None] / half
    grid = matrix[:, :, 0] * x + matrix[:, :, 1] * x[:, None] + move
    grid = grid.permute(0, 2, 3, 1)
    return F.grid_sample(images[:, None], grid, padding_mode="zeros", align_corners=True)[:, 0]
