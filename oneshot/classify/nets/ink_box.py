"""Drawings brought to one place and size: the box around their ink, resampled by areas."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MARGIN = 1.2  # side of the box, in the longer side of the ink
INKED = 0.5  # a pixel above it is ink


def crop_to_ink(images: Float[Tensor, "b h h"], side: int) -> Float[Tensor, "b {side} {side}"]:
    """Resample the square box around each image's ink, a fifth wider than the ink; of a blank one, all of it.

    Each pixel of the result is the mean of the area that it covers; beyond the image there is paper, 0.
    """
    top, bottom = ends_of_ink(images.amax(2))
    left, right = ends_of_ink(images.amax(1))
    length = MARGIN * torch.maximum(bottom - top, right - left)
    first_row, first_column = (top + bottom - length) / 2, (left + right - length) / 2
    n_from = images.shape[-1]
    rows = area_shares(first_row, length, n_from, side)
    columns = area_shares(first_column, length, n_from, side)
    return rows @ images @ columns.mT


def ends_of_ink(darkest: Float[Tensor, "b n"]) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Give where ink begins and ends along one axis, in pixels; 0 and n where there is none."""
    n = darkest.shape[1]
    inked: Int[Tensor, "b n"] = (darkest > INKED).int()
    some = inked.amax(1) > 0
    begins, after = inked.argmax(1), inked.flip(1).argmax(1)  # the first of several maxima
    return torch.where(some, begins, 0).float(), torch.where(some, n - after, n).float()


def even_shares(n_from: int, n_to: int) -> Float[Tensor, "n_to n_from"]:
    """Give the share that each of n_from pixels in a row has in each of n_to wider ones."""
    first, length = torch.tensor([0, n_from], dtype=torch.float64)
    return area_shares(first, length, n_from, n_to)


def area_shares(
    first: Float[Tensor, "*b"], length: Float[Tensor, "*b"], n_from: int, n_to: int
) -> Float[Tensor, "*b n_to n_from"]:
    """Give the share that each of n_from pixels in a row has in each of n_to equal parts of a stretch.

    The stretch begins at `first` and is `length` pixels long; it may reach beyond the row.
    """
    width = (length / n_to)[..., None, None]
    parts = torch.arange(n_to, dtype=first.dtype, device=first.device)[:, None]
    pixels = torch.arange(n_from, dtype=first.dtype, device=first.device)
    starts = first[..., None, None] + parts * width
    overlap = torch.minimum(starts + width, pixels + 1) - torch.maximum(starts, pixels)
    return (overlap.clamp(min=0) / width).float()
