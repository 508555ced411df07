"""What a network learns from: batches of pairs that depend on the step alone, and the loss on them."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int, Int32
from torch import Tensor

from oneshot.classify.distortions import distort, draw_distortions
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.packed_images import Images, PackedImages
from oneshot.classify.pairs import Pairs, PairSource
from oneshot.classify.training import LossOfNet


def to_tensors(pairs: Pairs, inverses: Float32[np.ndarray, "b 2 2 3"] | None) -> tuple[Tensor, ...]:
    """What PairLoss takes."""
    batch = (torch.from_numpy(pairs.drawings), torch.from_numpy(pairs.same))
    return batch if inverses is None else (*batch, torch.from_numpy(inverses))


class FixedPairs:
    """A fixed set, every epoch in a new order, of each pair the original and `n_copies` distorted ones.

    A batch can lie across the end of an epoch, so that all are of one size.
    """

    def __init__(self, pairs: Pairs, *, batch_size: int, seed: int, n_copies: int = 0) -> None:
        self.pairs, self.batch_size, self.seed, self.n_copies = pairs, batch_size, seed, n_copies
        self.n_epoch = len(pairs) * (1 + n_copies)
        # Two epochs: a batch can be of both.
        self.order = lru_cache(2)(self.shuffle)

    def about(self) -> dict[str, Any]:
        """What tells one feed from another."""
        return {
            "pairs": self.pairs.sha256(), "batch_size": self.batch_size, "seed": self.seed,
            "n_copies": self.n_copies,
        }  # fmt: skip

    def shuffle(self, epoch: int) -> Int32[np.ndarray, " n_epoch"]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.n_epoch).astype(np.int32)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.n_epoch)
        items = np.concatenate(
            [self.order(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs).tolist()]
        )
        copies, numbers = np.divmod(items, len(self.pairs))
        inverses = draw_distortions(self.seed, numbers, copies) if self.n_copies else None
        return to_tensors(Pairs(self.pairs.drawings[numbers], self.pairs.same[numbers]), inverses)


class EndlessPairs:
    """New pairs all the time, each with distortions of its own; an epoch is as many as is said."""

    def __init__(
        self, source: PairSource, *, batch_size: int, seed: int, n_epoch: int, distorted: bool = True
    ) -> None:
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self.n_epoch, self.distorted = n_epoch, distorted

    def about(self) -> dict[str, Any]:
        """What tells one feed from another; the source by its first pairs."""
        return {
            "pairs": self.source.draw(np.arange(1000), self.seed).sha256(), "batch_size": self.batch_size,
            "seed": self.seed, "n_epoch": self.n_epoch, "distorted": self.distorted,
        }  # fmt: skip

    def batch(self, step: int) -> tuple[Tensor, ...]:
        numbers = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        inverses = None
        if self.distorted:
            inverses = draw_distortions(self.seed, numbers, np.ones_like(numbers))
        return to_tensors(self.source.draw(numbers, self.seed), inverses)


class PairLoss(LossOfNet):
    """Binary cross-entropy of pairs given by number, gathered and distorted on the device.

    Quirk: the paper prints the cross-entropy without its minus sign. Its L2 is the optimiser's weight decay.
    """

    def __init__(self, net: SiamesePair, images: Images) -> None:
        super().__init__(net)
        self.images = PackedImages.of(images)

    def forward(
        self,
        drawings: Int[Tensor, "b 2"],
        same: Bool[Tensor, " b"],
        inverses: Float[Tensor, "b 2 2 3"] | None = None,
    ) -> Float[Tensor, ""]:
        images = self.images(drawings.T.flatten())
        if inverses is not None:
            images = distort(images, inverses.transpose(0, 1).flatten(0, 1))
        logits = self.net(*images.chunk(2))
        return F.binary_cross_entropy_with_logits(logits, same.float())
