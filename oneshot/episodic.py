"""Training a prototypical network on episodes; characters turned by quarters are classes of their own."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from oneshot.errors import ParameterError
from oneshot.koch_training import LossOfNet
from oneshot.nets.protonet import ProtoNet, squared_distances
from oneshot.omniglot import N_DRAWERS, Drawings
from oneshot.packed import PackedImages

N_TURNS = 4  # a character by 0, 90, 180 and 270 degrees is four classes


class EpisodeFeed:
    """Episodes by their step: n_way classes after one another, of each n_shot supports, then n_query queries.

    characters: their indices within the whole Drawings. An epoch is `n_epoch` episodes.

    Source: Snell, Swersky, Zemel 2017, section 3.1: 60 ways, 1 or 5 shots, 5 queries a class, 100 episodes.
    """

    batch_size = 1  # episodes

    def __init__(
        self, characters: Int[np.ndarray, " characters"], *, seed: int, n_way: int = 60, n_shot: int = 1,
        n_query: int = 5, n_epoch: int = 100,
    ) -> None:  # fmt: skip
        if n_way > N_TURNS * len(characters) or n_shot + n_query > N_DRAWERS:
            raise ParameterError(
                f"{n_way} ways of {n_shot} + {n_query} drawings need more than {len(characters)} characters, "
                f"each turned {N_TURNS} ways, of {N_DRAWERS} drawings."
            )
        self.characters, self.seed, self.n_epoch = characters, seed, n_epoch
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query

    def about(self) -> dict[str, Any]:
        return {
            "characters": self.characters.tolist(), "seed": self.seed, "n_way": self.n_way,
            "n_shot": self.n_shot, "n_query": self.n_query, "n_epoch": self.n_epoch,
        }  # fmt: skip

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Numbers of drawings, and by how many quarters each is turned."""
        rng = np.random.default_rng((self.seed, step))
        classes = rng.choice(N_TURNS * len(self.characters), self.n_way, replace=False)
        places, turns = np.divmod(classes, N_TURNS)
        n_each = self.n_shot + self.n_query
        drawers = np.stack([rng.choice(N_DRAWERS, n_each, replace=False) for _ in range(self.n_way)])
        numbers = self.characters[places][:, None] * N_DRAWERS + drawers
        return torch.from_numpy(numbers.ravel()), torch.from_numpy(turns.repeat(n_each))


def turn(images: Float[Tensor, "b h h"], turns: Int[Tensor, " b"]) -> Float[Tensor, "b h h"]:
    """Each image by its own number of quarters, counter-clockwise."""
    turned = torch.stack([images.rot90(n, (1, 2)) for n in range(N_TURNS)])
    return turned[turns, torch.arange(len(images), device=images.device)]


class EpisodeLoss(LossOfNet):
    """Cross-entropy of the queries over minus their squared distances from the prototypes."""

    def __init__(self, net: ProtoNet, drawings: Drawings, n_way: int, n_shot: int) -> None:
        super().__init__(net)
        self.n_way, self.n_shot = n_way, n_shot
        self.images = PackedImages.of(drawings)

    def forward(self, drawings: Int[Tensor, " b"], turns: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        codes = self.net(turn(self.images(drawings), turns)).unflatten(0, (self.n_way, -1))
        prototypes = codes[:, : self.n_shot].mean(1)
        queries = codes[:, self.n_shot :]
        logits = -squared_distances(queries.flatten(0, 1), prototypes)
        classes = torch.arange(self.n_way, device=logits.device).repeat_interleave(queries.shape[1])
        return F.cross_entropy(logits, classes)
