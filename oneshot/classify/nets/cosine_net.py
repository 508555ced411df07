"""Small convolutional network whose codes are compared by their cosine, times a learned scale."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.classify.nets.ink_box import crop_to_ink, even_shares
from oneshot.classify.nets.network import Network, one_channel
from oneshot.omniglot.drawings import SIDE
from oneshot.training.initial_weights import fill_he

FIRST_SCALE = 10.0  # of cosines, before training
MOST_WEIGHTS = 10**8  # of the linear layer


class CosineNet(Network):
    """Blocks of 3 x 3 convolution, batch norm, ReLU, 2 x 2 max pools between them, and a linear layer.

    side: of the input, to which drawings of 105 x 105 are resampled, if `normalised` from the box around
    their ink. Weights are NaN until initialised or loaded.
    """

    score_name = "cosine"
    memory_format = torch.contiguous_format  # of what convolutions read; see set_order

    def __init__(
        self, channels: Sequence[int] = (24, 48, 96, 96), side: int = 32, n_code: int = 192,
        normalised: bool = True,
    ) -> None:  # fmt: skip
        """Make the layers. Raises ValueError if the linear one would have no weights, or too many."""
        n_inputs = channels[-1] * (side // 2 ** (len(channels) - 1)) ** 2
        if not 0 < n_inputs * n_code <= MOST_WEIGHTS:
            raise ValueError(
                f"with channels {list(channels)}, side {side} and n_code {n_code} the linear layer has "
                f"{n_inputs * n_code} weights"
            )
        super().__init__()
        self.n_code, self.side, self.normalised = n_code, side, normalised
        self.settings: dict[str, Any] = {
            "channels": list(channels), "side": side, "n_code": n_code, "normalised": normalised,
        }  # fmt: skip
        ends = pairwise((1, *channels))
        self.convolutions = nn.ModuleList(nn.Conv2d(*two, 3, padding=1, bias=False) for two in ends)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in channels)
        self.code = nn.Linear(n_inputs, n_code)
        self.log_scale = nn.Parameter(torch.tensor(FIRST_SCALE).log())
        for parameter in (*self.convolutions.parameters(), *self.code.parameters()):
            nn.init.constant_(parameter, torch.nan)

    def initialise(self, generator: np.random.Generator) -> "CosineNet":
        """Draw He's normal weights, no biases."""
        for layer in (*self.convolutions, self.code):
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            fill_he(layer.weight, generator)
        nn.init.zeros_(self.code.bias)
        return self

    @property
    def encoder(self) -> nn.Module:
        return self

    def forward(self, images: Float[Tensor, "b 105 105"]) -> Float[Tensor, "b n_code"]:
        x = one_channel(self.resample(images), self.memory_format)
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.relu(norm(convolution(F.max_pool2d(x, 2) if place else x)))
        return self.code(x.flatten(1)).float()

    def resample(self, images: Float[Tensor, "b 105 105"]) -> Float[Tensor, "b side side"]:
        """Give the inputs of the first convolution."""
        if self.normalised:
            return crop_to_ink(images, self.side)
        shares = even_shares(SIDE, self.side).to(images.device)
        return shares @ images @ shares.T

    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        return self.log_scale.exp() * F.normalize(queries, dim=1) @ F.normalize(supports, dim=1).T

    def present(self, scores: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Give the cosine of two codes, in -1..1."""
        return scores / self.log_scale.exp()

    @torch.no_grad()
    def whiten(self, within: Float[Tensor, "n_code n_code"], share: float) -> None:
        """Map codes so that those of one class vary alike in every direction.

        within: the covariance of codes around the means of their classes, to whose variances `share` of their
        mean is added: the more, the less is whitened. The map is folded into the layer.
        Source: Hatch, Kajarekar, Stolcke, Within-class Covariance Normalization for SVM-based Speaker
        Recognition (Interspeech 2006).
        """
        variances, directions = torch.linalg.eigh(within.cpu().double())  # mps has no float64
        variances = variances.clamp(min=0) + share * variances.mean()
        whitening = directions @ torch.diag(variances.rsqrt()) @ directions.T
        for parameter in (self.code.weight, self.code.bias):
            parameter.copy_(whitening @ parameter.cpu().double())
