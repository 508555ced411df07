"""Where MaskNet looks, and what its discriminator is shown of a mask: geometry, without any network.

Source: Michaelis, Bethge, Ecker 2018, section 4; github.com/michaelisc/cluttered-omniglot at 0cd38ba.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from oneshot.segment.batches import LOCATION
from oneshot.segment.metrics import centre

TARGET_SIZE = 32  # pixels, each way, of a target and of a crop
CROP_SHARE = 1 / 3  # of the scene's height and width


def near_locations(centres: Int[Tensor, "b 2"], n_rows: int, n_columns: int) -> Int[Tensor, "b 4"]:
    """Give the four locations around a centre (row, column) in whole pixels: floor and ceiling of an eighth.

    Order: upper left, upper right, lower left, lower right. A location that would lie beyond the last row or
    column is that last one.

    Quirk: a location stands for the pixels 8 i to 8 i + 7, so these four lie lower and further right than the
    centre, as published. There a column beyond the last began the next row instead, and a row beyond it gave
    a proposal of nothing; both need a centre within 7 pixels of the edge.
    """
    low = centres // LOCATION
    high = (centres + LOCATION - 1) // LOCATION
    rows = torch.stack([low[:, 0], high[:, 0]], 1).clamp(max=n_rows - 1)
    columns = torch.stack([low[:, 1], high[:, 1]], 1).clamp(max=n_columns - 1)
    return (rows[:, :, None] * n_columns + columns[:, None]).flatten(1)


def centre_location(centres: Int[Tensor, "b 2"], n_rows: int, n_columns: int) -> Int[Tensor, " b"]:
    """Give the location whose 8 x 8 pixels hold a centre."""
    rows = (centres[:, 0] // LOCATION).clamp(max=n_rows - 1)
    return rows * n_columns + (centres[:, 1] // LOCATION).clamp(max=n_columns - 1)


def sampling_matrix(
    centres: Int[Tensor, " n"], size: int, n_samples: int
) -> Float[Tensor, "n {n_samples} {size}"]:
    """Give bilinear weights, along one axis, of the pixels that every sample of a crop is made of.

    The samples reach from a sixth of the size before the centre to a sixth beyond it.

    Quirk: as in TensorFlow's spatial transformer, a centre c of `size` pixels is taken for
    c * size / (size - 1), up to a pixel further on, and samples outside the first and last pixel are zero.
    """
    steps = torch.linspace(-1, 1, n_samples, device=centres.device)
    places = (centres[:, None] * (size / (size - 1)) + steps * (size * CROP_SHARE / 2))[..., None]
    weights = (1 - (places - torch.arange(size, device=centres.device)).abs()).clamp(min=0)
    return weights * ((places >= 0) & (places <= size - 1))


def crop(masks: Bool[Tensor, "n h w"], centres: Int[Tensor, "n 2"]) -> Float[Tensor, "n 32 32"]:
    """Cut a third of the scene around each mask's centre, bilinearly sampled; in 0..1."""
    _, h, w = masks.shape
    with torch.autocast(masks.device.type, enabled=False):
        rows = sampling_matrix(centres[:, 0], h, TARGET_SIZE)
        columns = sampling_matrix(centres[:, 1], w, TARGET_SIZE)
        return rows @ masks.float() @ columns.mT


def crops_of(
    masks: Bool[Tensor, "n h w"],
    pixel_means: Float[Tensor, " n"],
    pixel_stds: Float[Tensor, " n"],
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Float[Tensor, "n 3 32 32"]:
    """Make what the discriminator reads of masks: white on black, normalised as their scenes are.

    A mask without any pixel gives a crop without any.
    """
    crops = (255 * crop(masks, centre(masks)) - pixel_means[:, None, None]) / pixel_stds[:, None, None]
    return crops[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=memory_format)
