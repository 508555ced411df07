"""Several networks that answer together, each by a drawing and distorted copies of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.classify.distortions import GRID, distort, draw_distortions
from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.nets.network import Network

COPIES_SEED = 1803  # of the distortions, which are the same for every drawing


class Ensemble(Network):
    """Several trained CosineNets, the mean of whose cosines counts.

    A member's code of a drawing is the mean of its codes, of unit length each, of the drawing and of
    `n_copies` distorted copies (test-time augmentation). The distortions are drawn once, as in training:
    affine ones, and smooth ones that reach `displacement` halves of a side. members: the settings of each.
    """

    score_name = "cosine"
    inverses: Float[Tensor, "n_copies 2 3"]
    moves: Float[Tensor, "n_copies 2 n n"]

    def __init__(
        self, members: Sequence[Mapping[str, Any]] = ({},), n_copies: int = 0, displacement: float = 0.0
    ) -> None:
        """Make the members. Raises ValueError if there are none."""
        if not members:
            raise ValueError("an ensemble has at least one member")
        super().__init__()
        nets = [CosineNet(**settings) for settings in members]
        self.members = nn.ModuleList(nets)
        self.n_code = sum(net.n_code for net in nets)
        self.settings: dict[str, Any] = {
            "members": [net.settings for net in nets], "n_copies": n_copies, "displacement": displacement,
        }  # fmt: skip
        numbers = np.arange(n_copies)
        inverses = draw_distortions(COPIES_SEED, numbers, np.ones_like(numbers))[:, 0]
        chance = np.random.default_rng(COPIES_SEED)
        moves = chance.uniform(-displacement, displacement, (n_copies, 2, *GRID)).astype(np.float32)
        self.register_buffer("inverses", torch.from_numpy(inverses), persistent=False)
        self.register_buffer("moves", torch.from_numpy(moves), persistent=False)

    def initialise(self, generator: np.random.Generator) -> "Ensemble":
        """Draw the weights of all members."""
        for member in self.members:
            assert isinstance(member, CosineNet)
            member.initialise(generator)
        return self

    @property
    def encoder(self) -> nn.Module:
        return self

    def forward(self, images: Float[Tensor, "b 105 105"]) -> Float[Tensor, "b n_code"]:
        versions = [images, *(self.copy(images, k) for k in range(len(self.inverses)))]
        codes = [
            torch.stack([F.normalize(member(some), dim=1) for some in versions]) for member in self.members
        ]
        return torch.cat([F.normalize(code.mean(0), dim=1) for code in codes], 1)

    def copy(self, images: Float[Tensor, "b 105 105"], k: int) -> Float[Tensor, "b 105 105"]:
        """Distort all images in the k-th way."""
        n = images.shape[0]  # of len() the exporter to ONNX makes a constant
        return distort(images, self.inverses[k].expand(n, -1, -1), self.moves[k].expand(n, -1, -1, -1))

    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        return queries @ supports.T / len(self.members)
