"""Distortions of drawings in training: looked up by number on the CPU; applied in batches on the device."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from oneshot.classify.counter_random import uniforms
from oneshot.omniglot.distortions import N_COMPONENTS, choose_components, inverse_transforms

GRID = (5, 5)  # of the points that smooth distortions are drawn for
DISTORTIONS = 2  # keeps these random numbers apart from those of pairs under the same seed


def draw_distortions(
    seed: int, numbers: Int[np.ndarray, " n"], copies: Int[np.ndarray, " n"]
) -> Float32[np.ndarray, "n 2 2 3"]:
    """Draw for both drawings of each pair, as numbered, where each pixel of the result is read.

    Copy 0 is the original; every drawing of every other copy has a transform of its own.
    """
    chance = uniforms(4 * N_COMPONENTS, seed, DISTORTIONS, numbers, copies).reshape(-1, 2, 2, N_COMPONENTS)
    components = choose_components(chance.swapaxes(1, 2))
    return inverse_transforms(np.where((copies != 0)[:, None, None], components, 0.0))


def distort(
    images: Float[Tensor, "b side side"],
    inverses: Float[Tensor, "b 2 3"],
    moves: Float[Tensor, "b 2 n n"] | None = None,
) -> Float[Tensor, "b side side"]:
    """Read each pixel of the result at its place in the image, linearly between pixels; outside is 0.

    moves: how much further to the right and downwards n x n points, evenly spread over the result, are read,
    in halves of a side (n >= 2); those between them by linear interpolation.
    """
    side = images.shape[-1]
    half = (side - 1) / 2
    n = side if moves is None else moves.shape[-1]
    # grid_sample's coordinates go from -1 to 1 between the middles of the outer pixels. Summed up term by
    # term, since affine_grid is a matrix product, which autocast would round to bfloat16: 0.1 pixels.
    x = torch.linspace(-1, 1, n, device=images.device)
    matrix, move = inverses[..., :2, None, None], inverses[..., 2, None, None] / half
    grid = matrix[:, :, 0] * x + matrix[:, :, 1] * x[:, None] + move
    if moves is not None:  # an affine map, too, is what linear interpolation makes of its n x n points
        grid = F.interpolate(grid + moves, (side, side), mode="bilinear", align_corners=True)
    grid = grid.permute(0, 2, 3, 1)
    return F.grid_sample(images[:, None], grid, padding_mode="zeros", align_corners=True)[:, 0]
