"""Training on episodes, many comparisons of few images; characters turned by quarters are further classes."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from oneshot.classify.distortions import distort, draw_distortions
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.nets.protonet import ProtoNet, squared_distances
from oneshot.classify.packed_images import Images, PackedImages
from oneshot.classify.training import LossOfNet
from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes

N_TURNS = 4  # a character by 0, 90, 180 and 270 degrees is four classes


class EpisodeFeed:
    """Episodes by their step: n_way classes after one another, of each n_shot supports, then n_query queries.

    within_alphabets: the classes are of one alphabet; where it has too few, all of it and some of a next one.
    turned: each class by 0 to 3 quarters is four classes; an alphabet by its quarters is four alphabets.
    distorted: each image has an affine distortion of its own. An epoch is `n_epoch` episodes.

    Raises:
        ParameterError: there are fewer than n_way classes, or a class has fewer than n_shot + n_query images.
    Source: Snell, Swersky, Zemel 2017, section 3.1: 60 ways, 1 or 5 shots, 5 queries a class, 100 episodes;
    classes turned and of mixed alphabets.
    """

    batch_size = 1  # episodes

    def __init__(
        self, classes: Classes, *, seed: int, n_way: int, n_shot: int = 1, n_query: int = 5,
        n_epoch: int = 100, within_alphabets: bool = False, turned: bool = True, distorted: bool = False,
    ) -> None:  # fmt: skip
        self.n_turns = N_TURNS if turned else 1
        if not 2 <= n_way <= self.n_turns * len(classes):
            each = f", each turned {N_TURNS} ways" if turned else ""
            raise ParameterError(f"{n_way} ways need 2 or more, of {len(classes)} classes{each}.")
        fewest = min(len(images) for images in classes.images)
        if n_shot < 1 or n_query < 1 or n_shot + n_query > fewest:
            raise ParameterError(
                f"{n_shot} + {n_query} images of a class need 1 or more of both, and a class has {fewest}."
            )
        self.classes, self.seed, self.n_epoch = classes, seed, n_epoch
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query
        self.within_alphabets, self.turned, self.distorted = within_alphabets, turned, distorted
        names = np.array(classes.alphabets)
        self.alphabets = [np.flatnonzero(names == name) for name in dict.fromkeys(classes.alphabets)]

    def about(self) -> dict[str, Any]:
        return {
            "classes": self.classes.sha256(), "seed": self.seed, "n_way": self.n_way, "n_shot": self.n_shot,
            "n_query": self.n_query, "n_epoch": self.n_epoch, "within_alphabets": self.within_alphabets,
            "turned": self.turned, "distorted": self.distorted,
        }  # fmt: skip

    def batch(self, step: int) -> tuple[Tensor, ...]:
        """Numbers of images, by how many quarters each is turned, and, if distorted, how (see `distort`)."""
        rng = np.random.default_rng((self.seed, step))
        classes, turns = self.draw_classes(rng)
        n_each = self.n_shot + self.n_query
        images = [rng.choice(self.classes.images[k], n_each, replace=False) for k in classes.tolist()]
        batch = [torch.from_numpy(np.concatenate(images)), torch.from_numpy(turns.repeat(n_each))]
        if self.distorted:
            n_pairs = -(-self.n_way * n_each // 2)  # distortions are looked up two by two
            places = np.arange(step * n_pairs, (step + 1) * n_pairs)
            inverses = draw_distortions(self.seed, places, np.ones_like(places)).reshape(-1, 2, 3)
            batch.append(torch.from_numpy(inverses[: self.n_way * n_each]))
        return tuple(batch)

    def draw_classes(
        self, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " n_way"], Int[np.ndarray, " n_way"]]:
        """n_way different ones, by their place in `classes`, and quarters turned."""
        if not self.within_alphabets:
            drawn = rng.choice(self.n_turns * len(self.classes), self.n_way, replace=False)
            places, turns = np.divmod(drawn, self.n_turns)
            return places, turns
        chosen: list[tuple[int, int]] = []
        for drawn in rng.permutation(self.n_turns * len(self.alphabets)).tolist():
            alphabet, turns = divmod(drawn, self.n_turns)
            chosen += [(place, turns) for place in rng.permutation(self.alphabets[alphabet]).tolist()]
            if len(chosen) >= self.n_way:
                break
        places, turns = np.array(chosen[: self.n_way]).T
        return places, turns


def turn(images: Float[Tensor, "b h h"], turns: Int[Tensor, " b"]) -> Float[Tensor, "b h h"]:
    """Each image by its own number of quarters, counter-clockwise."""
    turned = torch.stack([images.rot90(n, (1, 2)) for n in range(N_TURNS)])
    return turned[turns, torch.arange(len(images), device=images.device)]


def alter(
    images: Float[Tensor, "b h h"], turns: Int[Tensor, " b"], inverses: Float[Tensor, "b 2 3"] | None
) -> Float[Tensor, "b h h"]:
    """Each image turned, then distorted, as an EpisodeFeed tells."""
    images = turn(images, turns)
    return images if inverses is None else distort(images, inverses)


class EpisodeLoss(LossOfNet):
    """Cross-entropy of the queries over minus their squared distances from the prototypes."""

    def __init__(self, net: ProtoNet, images: Images, n_way: int, n_shot: int) -> None:
        super().__init__(net)
        self.n_way, self.n_shot = n_way, n_shot
        self.images = PackedImages.of(images)

    def forward(
        self, numbers: Int[Tensor, " b"], turns: Int[Tensor, " b"],
        inverses: Float[Tensor, "b 2 3"] | None = None,
    ) -> Float[Tensor, ""]:  # fmt: skip
        codes = self.net(alter(self.images(numbers), turns, inverses)).unflatten(0, (self.n_way, -1))
        prototypes = codes[:, : self.n_shot].mean(1)
        queries = codes[:, self.n_shot :]
        logits = -squared_distances(queries.flatten(0, 1), prototypes)
        classes = torch.arange(self.n_way, device=logits.device).repeat_interleave(queries.shape[1])
        return F.cross_entropy(logits, classes)


class SiameseEpisodeLoss(LossOfNet):
    """Every query against every support: which class is it, and is this pair the same or not?

    The first is the cross-entropy over the classes' logits (means over their shots, as in scoring); the
    second the binary one over all pairs, same and different ones weighing half each, so that a logit of 0
    stays the border between them. pair_share: the weight of the second; the first has the rest.
    """

    net: SiamesePair

    def __init__(
        self, net: SiamesePair, images: Images, n_way: int, n_shot: int, pair_share: float = 0.5
    ) -> None:
        super().__init__(net)
        self.n_way, self.n_shot, self.pair_share = n_way, n_shot, pair_share
        self.images = PackedImages.of(images)

    def forward(
        self, numbers: Int[Tensor, " b"], turns: Int[Tensor, " b"],
        inverses: Float[Tensor, "b 2 3"] | None = None,
    ) -> Float[Tensor, ""]:  # fmt: skip
        codes = self.net.base(alter(self.images(numbers), turns, inverses)).unflatten(0, (self.n_way, -1))
        supports = codes[:, : self.n_shot].flatten(0, 1)
        queries = codes[:, self.n_shot :]
        logits = self.net.output(queries.flatten(0, 1)[:, None], supports[None])
        logits = logits.unflatten(1, (self.n_way, self.n_shot))
        classes = torch.arange(self.n_way, device=logits.device).repeat_interleave(queries.shape[1])
        choice = F.cross_entropy(logits.mean(2), classes)
        same = F.one_hot(classes, self.n_way)[:, :, None].expand_as(logits).float()
        weights = same / 2 * self.n_way + (1 - same) / 2 * self.n_way / (self.n_way - 1)
        pairs = F.binary_cross_entropy_with_logits(logits, same, weights)
        return (1 - self.pair_share) * choice + self.pair_share * pairs
