"""Prototypical network: a class is the mean of its drawings' codes, a query belongs to the nearest one.

Source: Snell, Swersky, Zemel, Prototypical Networks for Few-shot Learning (NeurIPS 2017), section 3.1.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.classify.nets.ink_box import even_shares
from oneshot.classify.nets.network import Network, one_channel
from oneshot.omniglot.drawings import SIDE
from oneshot.training.initial_weights import fill_he

INPUT_SIDE = 28
N_BLOCKS = 4


class ProtoNet(Network):
    """Four times 3 x 3 convolution, batch norm, ReLU, 2 x 2 max pool: drawings of 105 x 105 to codes of 64.

    111,936 parameters with the published 64 filters; weights are NaN until initialised or loaded.
    """

    score_name = "minus the squared distance"
    shares: Tensor
    memory_format = torch.contiguous_format  # of what convolutions read; see set_order

    def __init__(self, n_filters: int = 64) -> None:
        super().__init__()
        self.n_code = n_filters
        self.settings: dict[str, Any] = {"n_filters": n_filters}
        widths = (1, *[n_filters] * N_BLOCKS)
        convolutions = [nn.utils.skip_init(nn.Conv2d, *ends, 3, padding=1) for ends in pairwise(widths)]
        for parameter in nn.ModuleList(convolutions).parameters():
            nn.init.constant_(parameter, torch.nan)
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n_filters) for _ in range(N_BLOCKS)])
        self.register_buffer("shares", even_shares(SIDE, INPUT_SIDE), persistent=False)

    def initialise(self, generator: np.random.Generator) -> "ProtoNet":
        """Draw He's normal weights, no biases; the paper names no distribution."""
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            fill_he(convolution.weight, generator)
            nn.init.zeros_(convolution.bias)
        return self

    @property
    def encoder(self) -> nn.Module:
        return self

    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        """Give minus the squared Euclidean distances.

        In full: the shorter form |q|^2 - 2qp + |p|^2 loses digits in half precision.
        """
        return -(queries[:, None] - supports[None]).square().sum(-1)

    def represent(self, supports: Float[Tensor, "n_way n_shot c"]) -> Float[Tensor, "n_way 1 c"]:
        """Give every class's prototype, the mean of its shots' codes."""
        return supports.mean(1, keepdim=True)

    def forward(self, images: Float[Tensor, "b 105 105"]) -> Float[Tensor, "b n_code"]:
        x = one_channel(self.shares @ images @ self.shares.T, self.memory_format)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(convolution(x))), 2)
        return x.flatten(1).float()
