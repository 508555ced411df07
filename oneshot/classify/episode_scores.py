"""Scores of episodes: who answers, which answers are right, and the share of right ones."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, UInt8
from torch import Tensor

from oneshot.classify.episodes import Episodes
from oneshot.intervals import Figure, mean_of_hits

BATCH_SIZE = 256  # images encoded at a time


@runtime_checkable
class Scorer(Protocol):
    """Anything that tells how alike two images are: a trained network, or a baseline."""

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Tensor:
        """One code an image, in the first axis."""

    def compare(self, queries: Tensor, supports: Tensor) -> Float[Tensor, "q s"]:
        """How alike each query's code is to each of the support set's: higher is more alike."""


@runtime_checkable
class PrototypeScorer(Protocol):
    """A scorer that makes one code of a class's shots, in place of the mean of their scores."""

    def prototypes(self, codes: Tensor, n_way: int, n_shot: int) -> Tensor:
        """From the codes of a support set, class by class, one code a class."""


def score_episodes(
    scorer: Scorer, images: UInt8[np.ndarray, "n h w"], episodes: Episodes, batch_size: int = BATCH_SIZE
) -> Bool[np.ndarray, "episodes queries"]:
    """Whether each query gets the right class, the one whose support images are most alike on average.

    images: what the episodes' image numbers count. Each image that occurs is encoded once.
    A tie goes to the class that stands first in the support set, right or wrong.
    """
    return score_lists(scorer, images, [episodes], batch_size)[0]


@torch.no_grad()
def score_lists(
    scorer: Scorer,
    images: UInt8[np.ndarray, "n h w"],
    lists: Sequence[Episodes],
    batch_size: int = BATCH_SIZE,
) -> list[Bool[np.ndarray, "_ _"]]:
    """score_episodes of several lists, each image encoded once for all of them."""
    numbers = np.unique(np.concatenate([episodes.needed() for episodes in lists]))
    codes = torch.cat(
        [
            scorer.encode(images[numbers[first : first + batch_size]])
            for first in range(0, len(numbers), batch_size)
        ]
    )
    return [_score_list(scorer, codes, episodes.renumbered(numbers)) for episodes in lists]


def score_queries(
    scorer: Scorer, queries: Tensor, supports: Tensor, n_way: int, n_shot: int
) -> Float[Tensor, "q {n_way}"]:
    """Every class's score for every query of one episode, from codes.

    With several shots the mean of the scores of a class's images, or the score of its prototype if the scorer
    makes prototypes.
    """
    if isinstance(scorer, PrototypeScorer):
        return scorer.compare(queries, scorer.prototypes(supports, n_way, n_shot))
    return scorer.compare(queries, supports).unflatten(1, (n_way, n_shot)).mean(2)


def accuracy(hits: Bool[np.ndarray, "episodes queries"]) -> Figure:
    """Share of right answers with Wilson's interval, which takes all queries for independent trials."""
    return mean_of_hits(hits.reshape(-1))


def _score_list(scorer: Scorer, codes: Tensor, episodes: Episodes) -> Bool[np.ndarray, "episodes queries"]:
    answers = []
    for support, queries in zip(episodes.support, episodes.queries, strict=True):
        scores = score_queries(
            scorer,
            codes[_index(queries, codes)],
            codes[_index(support, codes)],
            episodes.n_way,
            episodes.n_shot,
        )
        answers.append(scores.argmax(1))  # the first of several maxima
    # One transfer for all episodes: reading each back would make a GPU wait.
    return torch.stack(answers).cpu().numpy() == episodes.answers


def _index(numbers: Int32[np.ndarray, " n"], codes: Tensor) -> Int[Tensor, " n"]:
    return torch.from_numpy(numbers).to(codes.device, torch.long)
