"""What every network for classification has: codes of images, and a way to compare them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


class Network(nn.Module):
    """Base of all networks: images to codes, and queries' codes against those of a support set.

    n_code: numbers in a code. settings: the arguments to build another one with. judges_pairs: its scores are
    logits that two images show the same class, so that it can be trained on pairs and verify them.
    score_name: what `present` gives.
    """

    n_code: int
    settings: dict[str, Any]
    judges_pairs = False
    score_name = "score"

    def initialise(self, generator: np.random.Generator) -> "Network":
        """Draw the initial weights."""
        raise NotImplementedError

    @property
    def encoder(self) -> nn.Module:
        """The part that turns images (b x 105 x 105, ink 1) into codes (b x n_code)."""
        raise NotImplementedError

    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        """Score each query against each support: higher is more alike."""
        raise NotImplementedError

    def judge(self, first: Float[Tensor, "b c"], second: Float[Tensor, "b c"]) -> Float[Tensor, " b"]:
        """Give the logits that the codes of two images are of the same class, where judges_pairs."""
        raise NotImplementedError

    def represent(self, supports: Float[Tensor, "n_way n_shot c"]) -> Float[Tensor, "n_way k c"]:
        """Give the codes that stand for a class: all its shots, whose scores' mean counts, or fewer."""
        return supports

    def present(self, scores: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Turn scores of `compare` into what people can read, in the same order."""
        return scores


def set_order(net: nn.Module, order: torch.memory_format) -> None:
    """Tell all parts that order their input themselves, having one channel, how it is to lie in memory."""
    for part in net.modules():
        if hasattr(part, "memory_format"):
            part.memory_format = order  # type: ignore[assignment]


def one_channel(images: Float[Tensor, "b h w"], order: torch.memory_format) -> Float[Tensor, "b 1 h w"]:
    """Add a channel with strides that say the order: those of one channel fit both."""
    return images[..., None].permute(0, 3, 1, 2) if order is torch.channels_last else images[:, None]
