"""Classification without learning: nearest neighbour on pixels, the modified Hausdorff distance, guessing.

All are scorers (oneshot.classify.scoring): encode images, then compare codes.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from oneshot.classify.hausdorff_kernels import hausdorff_distances

EXACT_IN_FLOAT32 = 2**24  # the largest whole number up to which all are


class NearestNeighbour:
    """The support image with the most similar pixels: by cosine, or by Euclidean distance.

    centred: move each image by whole pixels first, so that the ink's centre of mass lies in the middle.

    Source: Koch 2015, table 2, "1-nearest neighbour": 21.7 % right, which cosine on raw pixels gives.
    """

    def __init__(self, by: Literal["cosine", "euclidean"], centred: bool = False) -> None:
        self.by = by
        self.centred = centred

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> UInt8[Tensor, "n h w"]:
        """Give the pixels themselves, as bytes: an eighth of what distances are computed in."""
        return torch.from_numpy(centre_ink(images) if self.centred else images.copy())

    def compare(
        self, queries: UInt8[Tensor, "q h w"], supports: UInt8[Tensor, "s h w"]
    ) -> Float[Tensor, "q s"]:
        # The type holds all sums exactly, so that ties are ties on every machine: float32 those of ink and
        # paper, float64 those of grey values.
        n_pixels, brightest = supports[0].numel(), max(int(queries.max()), int(supports.max()))
        dtype = torch.float32 if n_pixels * brightest**2 <= EXACT_IN_FLOAT32 else torch.float64
        a, b = queries.flatten(1).to(dtype), supports.flatten(1).to(dtype)
        squares_a, squares_b = (some.square().sum(1).double() for some in (a, b))
        products = (a @ b.T).double()
        if self.by == "euclidean":
            return -(squares_a[:, None] + squares_b - 2 * products).clamp(min=0).sqrt()
        return products / (squares_a[:, None] * squares_b).sqrt().clamp(min=1)


class Hausdorff:
    """The support image with the smallest modified Hausdorff distance between the pixels with ink, centred.

    The larger of the two mean distances from one drawing's points to the nearest of the other's.
    Source: Dubuisson and Jain 1994 (their number 22); Lake 2015's demonstration, which centres both drawings.
    """

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> UInt8[Tensor, "n h w"]:
        """Give the images themselves: their points, differing in number, are found faster than padded."""
        return torch.from_numpy(images.copy())

    def compare(
        self, queries: UInt8[Tensor, "q h w"], supports: UInt8[Tensor, "s h w"]
    ) -> Float[Tensor, "q s"]:
        return -torch.from_numpy(hausdorff_distances(queries.numpy(), supports.numpy()))


class Guess:
    """Random scores: what an answer is worth that looks at nothing."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n 1"]:
        return torch.zeros(len(images), 1)

    def compare(self, queries: Float[Tensor, "q 1"], supports: Float[Tensor, "s 1"]) -> Float[Tensor, "q s"]:
        return torch.from_numpy(self.generator.random((len(queries), len(supports))))


def make_baselines(seed: int) -> dict[str, NearestNeighbour | Hausdorff | Guess]:
    """Make all of them by the names that tables use; seed: what is guessed by."""
    return {
        "cosine": NearestNeighbour("cosine"),
        "cosine_centred": NearestNeighbour("cosine", centred=True),
        "euclidean": NearestNeighbour("euclidean"),
        "euclidean_centred": NearestNeighbour("euclidean", centred=True),
        "hausdorff": Hausdorff(),
        "guess": Guess(np.random.default_rng(seed)),
    }


def centre_ink(images: UInt8[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "n h w"]:
    """Move images by whole pixels so that the ink's centre of mass lies in the middle; paper moves in.

    Ink that leaves the image is cut off. An image without ink stays.
    """
    n, h, w = images.shape
    weights = images.astype(np.int64)
    n_ink = np.maximum(weights.sum((1, 2)), 1)
    down = np.rint((h - 1) / 2 - weights.sum(2) @ np.arange(h) / n_ink).astype(int).tolist()
    right = np.rint((w - 1) / 2 - weights.sum(1) @ np.arange(w) / n_ink).astype(int).tolist()
    moved = np.zeros_like(images)
    for k in range(n):
        rows, rows_from = _overlap(h, down[k])
        columns, columns_from = _overlap(w, right[k])
        moved[k, rows, columns] = images[k, rows_from, columns_from]
    return moved


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Find where the pixels that stay inside go, and where they come from."""
    return slice(max(shift, 0), length + min(shift, 0)), slice(max(-shift, 0), length - max(shift, 0))
