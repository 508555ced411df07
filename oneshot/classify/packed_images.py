"""Drawings that stay on the device at one bit a pixel, unpacked where a batch is made."""

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from oneshot.omniglot.drawings import SIDE


class PackedImages(nn.Module):
    """1,470 bytes an image, 48 MB for all of Omniglot; moves with the module that it is part of."""

    bits: Tensor
    places: Tensor

    def __init__(self, bits: UInt8[np.ndarray, "n 105 14"]) -> None:
        super().__init__()
        self.register_buffer("bits", torch.from_numpy(np.ascontiguousarray(bits)), persistent=False)
        self.register_buffer("places", torch.arange(8, dtype=torch.uint8), persistent=False)

    def forward(self, numbers: Int[Tensor, " b"]) -> Float[Tensor, "b 105 105"]:
        """Unpack the images of these numbers, ink 1, paper 0."""
        bits = self.bits[numbers][..., None] >> self.places & 1  # the first pixel is in the lowest bit
        return bits.flatten(2)[..., :SIDE].float()
