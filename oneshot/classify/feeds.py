"""What networks learn from: batches of pairs or episodes that depend on the step alone, and their losses."""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int32, Num, UInt8
from torch import Tensor, nn

from oneshot.classify.distortions import GRID, distort, draw_distortions
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.nets.network import Network
from oneshot.classify.pairs import Pairs
from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.drawings import SIDE

N_TURNS = 4  # a character by 0, 90, 180 and 270 degrees is four classes
PAIR_SHARE = 0.5  # of an episode's loss, of networks that judge pairs: the rest is for the choice


class EpochFeed:
    """Batches of one size, by their step: so many pairs (or episodes) are an epoch, `n_steps` are all.

    A batch can lie across the end of an epoch, so that all are of one size.
    """

    seconds_waited = 0.0

    def __init__(self, n_epoch: int, batch_size: int, n_epochs: int) -> None:
        self.n_epoch, self.batch_size = n_epoch, batch_size
        self.n_steps = math.ceil(n_epochs * n_epoch / batch_size)

    def batches(self, first_step: int = 0) -> Iterator[tuple[Tensor, ...]]:
        for step in range(first_step, self.n_steps):
            yield self.batch(step)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Give a step's tensors, on the CPU."""
        raise NotImplementedError

    def count(self, batch: Any) -> int:
        return self.batch_size

    def epoch(self, step: int) -> int:
        """Give the epoch that a step belongs to, from 0."""
        return step * self.batch_size // self.n_epoch

    def ends_epoch(self, step: int) -> bool:
        return self.epoch(step) > self.epoch(step - 1)

    @property
    def n_epochs(self) -> int:
        """Epochs that are begun."""
        return -(-self.n_steps * self.batch_size // self.n_epoch)

    def about(self) -> dict[str, Any]:
        """Give what tells this feed from others."""
        raise NotImplementedError


class PairFeed(EpochFeed):
    """A fixed set, every epoch in a new order, of each pair the original and `n_copies` distorted ones."""

    def __init__(
        self, pairs: Pairs, *, batch_size: int, seed: int, n_copies: int = 0, n_epochs: int = 1
    ) -> None:
        super().__init__(len(pairs) * (1 + n_copies), batch_size, n_epochs)
        self.pairs, self.seed, self.n_copies = pairs, seed, n_copies
        # Two epochs: a batch can be of both.
        self.order = lru_cache(2)(self.shuffle)

    def about(self) -> dict[str, Any]:
        return {
            "pairs": self.pairs.sha256(), "batch_size": self.batch_size, "seed": self.seed,
            "n_copies": self.n_copies,
        }  # fmt: skip

    def shuffle(self, epoch: int) -> Int32[np.ndarray, " n_epoch"]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.n_epoch).astype(np.int32)

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Give the pairs' drawings, which are the same, and, with copies, how both are distorted."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.n_epoch)
        items = np.concatenate(
            [self.order(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs).tolist()]
        )
        copies, numbers = np.divmod(items, len(self.pairs))
        batch = [torch.from_numpy(self.pairs.drawings[numbers]), torch.from_numpy(self.pairs.same[numbers])]
        if self.n_copies:
            batch.append(torch.from_numpy(draw_distortions(self.seed, numbers, copies)))
        return tuple(batch)


class EpisodeFeed(EpochFeed):
    """Episodes by their step: n_way classes after one another, of each n_shot supports, then n_query queries.

    within_alphabets: the classes are of one alphabet; where it has too few, all of it and some of a next one.
    turned: each class by 0 to 3 quarters is four classes; an alphabet by its quarters is four alphabets.
    mirrored: with its mirror image, each of these is two.
    distorted: each image has an affine distortion of its own. displacement: the reach of a smooth one, see
    `distort`; 0: none. spliced: the share of classes whose images are the left half of one character's and
    the right half of any other's, as they stand on their canvases. An epoch is `n_epoch` episodes.

    Raises:
        ParameterError: there are fewer than n_way classes, or a class has fewer than n_shot + n_query images.
    Source: Snell, Swersky, Zemel 2017, section 3.1: 60 ways, 1 or 5 shots, 5 queries a class, 100 episodes;
    classes turned and of mixed alphabets.
    """

    def __init__(
        self, classes: Classes, *, seed: int, n_way: int, n_shot: int = 1, n_query: int = 5,
        n_epoch: int = 100, n_epochs: int = 1, within_alphabets: bool = False, turned: bool = True,
        mirrored: bool = False, distorted: bool = False, displacement: float = 0.0, spliced: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(n_epoch, 1, n_epochs)
        self.turns = list_turns(turned, mirrored)
        self.n_turns = len(self.turns)
        if not 2 <= n_way <= self.n_turns * len(classes):
            each = f", each turned or mirrored {self.n_turns} ways" if self.n_turns > 1 else ""
            raise ParameterError(f"{n_way} ways need 2 or more, of {len(classes)} classes{each}.")
        fewest = min(len(images) for images in classes.images)
        if n_shot < 1 or n_query < 1 or n_shot + n_query > fewest:
            raise ParameterError(
                f"{n_shot} + {n_query} images of a class need 1 or more of both, and a class has {fewest}."
            )
        self.classes, self.seed = classes, seed
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query
        self.within_alphabets = within_alphabets
        self.distorted, self.displacement, self.spliced = distorted, displacement, spliced
        names = np.array(classes.alphabets)
        self.alphabets = [np.flatnonzero(names == name) for name in dict.fromkeys(classes.alphabets)]

    def about(self) -> dict[str, Any]:
        return {
            "classes": self.classes.sha256(), "seed": self.seed, "n_way": self.n_way, "n_shot": self.n_shot,
            "n_query": self.n_query, "n_epoch": self.n_epoch, "within_alphabets": self.within_alphabets,
            "turns": self.turns.tolist(), "distorted": self.distorted, "displacement": self.displacement,
            "spliced": self.spliced,
        }  # fmt: skip

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Give images by number, how each is turned (see `turn`), and, if distorted, how (see `distort`).

        With a share of spliced classes every image has two numbers, the same twice where it is whole (see
        `PackedImages`). Smooth distortions come beside affine ones, which are the identity where none are
        asked for.
        """
        rng = np.random.default_rng((self.seed, step))
        classes, turns = self.draw_classes(rng)
        n_each = self.n_shot + self.n_query
        numbers = self.draw_images(rng, classes)
        batch = [torch.from_numpy(numbers), torch.from_numpy(turns.repeat(n_each))]
        n_images = self.n_way * n_each
        if self.distorted or self.displacement:
            n_pairs = -(-n_images // 2)  # distortions are looked up two by two
            places = np.arange(step * n_pairs, (step + 1) * n_pairs)
            copies = np.full_like(places, self.distorted)  # copy 0 is the original
            inverses = draw_distortions(self.seed, places, copies).reshape(-1, 2, 3)
            batch.append(torch.from_numpy(inverses[:n_images]))
        if self.displacement:
            moves = rng.uniform(-self.displacement, self.displacement, (n_images, 2, *GRID))
            batch.append(torch.from_numpy(moves.astype(np.float32)))
        if self.spliced:
            further = rng.integers(1, max(2, len(self.classes)), self.n_way)
            others = self.draw_images(rng, (classes + further) % len(self.classes))
            kept = (rng.random(self.n_way) >= self.spliced).repeat(n_each)
            batch[0] = torch.from_numpy(np.stack([numbers, np.where(kept, numbers, others)], axis=1))
        return tuple(batch)

    def draw_images(
        self, rng: np.random.Generator, classes: Int[np.ndarray, " n"]
    ) -> Int32[np.ndarray, " b"]:
        """Draw the numbers of different images of each class, by their places."""
        n_each = self.n_shot + self.n_query
        images = [rng.choice(self.classes.images[k], n_each, replace=False) for k in classes.tolist()]
        return np.concatenate(images)

    def draw_classes(
        self, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " n_way"], Int[np.ndarray, " n_way"]]:
        """Draw n_way different ones: their places in `classes`, and how each is turned."""
        if not self.within_alphabets:
            drawn = rng.choice(self.n_turns * len(self.classes), self.n_way, replace=False)
            places, turns = np.divmod(drawn, self.n_turns)
            return places, self.turns[turns]
        chosen: list[tuple[int, int]] = []
        for drawn in rng.permutation(self.n_turns * len(self.alphabets)).tolist():
            alphabet, turns = divmod(drawn, self.n_turns)
            chosen += [(place, turns) for place in rng.permutation(self.alphabets[alphabet]).tolist()]
            if len(chosen) >= self.n_way:
                break
        places, turns = np.array(chosen[: self.n_way]).T
        return places, self.turns[turns]


def list_turns(turned: bool, mirrored: bool) -> Int[np.ndarray, " n"]:
    """List the numbers that `turn` takes: of quarters, if turned, and of mirror images, if mirrored."""
    n_quarters, n_sides = N_TURNS if turned else 1, 2 if mirrored else 1
    return (np.arange(n_quarters) + N_TURNS * np.arange(n_sides)[:, None]).ravel()


def turn(images: Num[Tensor, "b h h"], turns: Int[Tensor, " b"]) -> Num[Tensor, "b h h"]:
    """Turn each image by its number of quarters, counter-clockwise; from 4 on its mirror image, by 4 less."""
    quarters = turns[:, None, None]
    images = torch.where(quarters >= N_TURNS, images.flip(2), images)
    images = torch.where(quarters % 2 == 1, images.rot90(1, (1, 2)), images)
    return torch.where(quarters % N_TURNS >= 2, images.flip(1, 2), images)


class PackedImages(nn.Module):
    """Images that stay on the device at one bit a pixel, unpacked where a batch is made.

    1,470 bytes an image, 48 MB for all of Omniglot; they move with the module that they are part of.
    """

    bits: Tensor
    places: Tensor

    def __init__(self, bits: UInt8[np.ndarray, "n 105 14"]) -> None:
        super().__init__()
        self.register_buffer("bits", torch.from_numpy(np.ascontiguousarray(bits)), persistent=False)
        self.register_buffer("places", torch.arange(8, dtype=torch.uint8), persistent=False)

    def forward(
        self, numbers: Int[Tensor, "b *two"], turns: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b 105 105"]:
        """Unpack the images of these numbers, ink 1, paper 0, each turned by its own number (see `turn`).

        Of two numbers, the left half is of the first one's image, the rest of the second one's.
        """
        bits = self.bits[numbers][..., None] >> self.places & 1  # the first pixel is in the lowest bit
        images = bits.flatten(-2)[..., :SIDE]
        if numbers.ndim == 2:
            images = torch.cat([images[:, 0, :, : SIDE // 2], images[:, 1, :, SIDE // 2 :]], 2)
        return (
            images if turns is None else turn(images, turns)
        ).float()  # a byte turns in a third of the time


class NetworkLoss(nn.Module):
    """The loss of a network on what a feed gives; only the network is trained and kept.

    `splits`: it is the mean over what a batch holds.
    """

    splits = False

    def __init__(self, net: Network, bits: UInt8[np.ndarray, "n 105 14"]) -> None:
        super().__init__()
        self.net = net
        self.images = PackedImages(bits)


class PairLoss(NetworkLoss):
    """Binary cross-entropy of pairs given by number, gathered and distorted on the device.

    Quirk: the paper prints the cross-entropy without its minus sign. Its L2 is the optimiser's weight decay.
    """

    net: SiamesePair
    splits = True

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


class EpisodeLoss(NetworkLoss):
    """Every query against every class: which is it? And of networks that judge pairs: is this pair the same?

    The first is the cross-entropy over the classes' scores, made as in scoring; the second the binary one
    over all pairs, same and different ones weighing half each, so that a logit of 0 stays the border.
    both_ways: half of the first is each class's question instead, which of all classes' queries are its own.
    """

    net: Network

    def __init__(
        self, net: Network, bits: UInt8[np.ndarray, "n 105 14"], n_way: int, n_shot: int,
        both_ways: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(net, bits)
        self.n_way, self.n_shot, self.both_ways = n_way, n_shot, both_ways

    def forward(
        self, numbers: Int[Tensor, "b *two"], turns: Int[Tensor, " b"],
        inverses: Float[Tensor, "b 2 3"] | None = None, moves: Float[Tensor, "b 2 n n"] | None = None,
    ) -> Float[Tensor, ""]:  # fmt: skip
        images = self.images(numbers, turns)
        if inverses is not None:
            images = distort(images, inverses, moves)
        codes = self.net.encoder(images).unflatten(0, (self.n_way, -1))
        supports = self.net.represent(codes[:, : self.n_shot])
        queries = codes[:, self.n_shot :]
        scores = self.net.compare(queries.flatten(0, 1), supports.flatten(0, 1))
        scores = scores.unflatten(1, supports.shape[:2])
        classes = torch.arange(self.n_way, device=scores.device).repeat_interleave(queries.shape[1])
        choice = F.cross_entropy(scores.mean(2), classes)
        if self.both_ways:
            of_classes = scores.mean(2).unflatten(0, (self.n_way, -1)).mean(1).T
            choice = (choice + F.cross_entropy(of_classes, classes[:: queries.shape[1]])) / 2
        if not self.net.judges_pairs:
            return choice
        same = F.one_hot(classes, self.n_way)[:, :, None].expand_as(scores).float()
        weights = same / 2 * self.n_way + (1 - same) / 2 * self.n_way / (self.n_way - 1)
        pairs = F.binary_cross_entropy_with_logits(scores, same, weights)
        return (1 - PAIR_SHARE) * choice + PAIR_SHARE * pairs
