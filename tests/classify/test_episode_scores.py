"""Scoring episodes: against plain loops, and what may not change an answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from oneshot.classify.episode_scores import accuracy, score_episodes, score_lists, score_queries
from oneshot.classify.episodes import Episodes, mixed_classes
from oneshot.omniglot.classes import Classes

N_CLASSES, N_IMAGES = 12, 6


class Projection:
    """Random codes of images, compared by their negative distance; counts what it encodes."""

    def __init__(self) -> None:
        self.weights = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.batches: list[int] = []

    def encode(self, images: np.ndarray) -> Tensor:
        self.batches.append(len(images))
        return torch.from_numpy(images).double().flatten(1) @ self.weights

    def compare(self, queries: Tensor, supports: Tensor) -> Tensor:
        return -torch.cdist(queries, supports)


class WithPrototypes(Projection):
    def prototypes(self, codes: Tensor, n_way: int, n_shot: int) -> Tensor:
        return codes.unflatten(0, (n_way, n_shot)).mean(1)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N_CLASSES * N_IMAGES, 3, 3), dtype=np.uint8)


def draw(n_shot: int, seed: int = 0, n_way: int = 5) -> Episodes:
    numbers = np.arange(N_CLASSES * N_IMAGES, dtype=np.int32).reshape(N_CLASSES, -1)
    classes = Classes(tuple(numbers), ("",) * N_CLASSES)
    return mixed_classes(classes, n_way, n_shot, 30, np.random.default_rng(seed))


@pytest.mark.parametrize("n_shot", [1, 3])
@pytest.mark.parametrize("scorer", [Projection(), WithPrototypes()], ids=["mean", "prototypes"])
def test_answers_equal_those_of_plain_loops(images: np.ndarray, scorer: Projection, n_shot: int) -> None:
    episodes = draw(n_shot)
    weights = scorer.weights.numpy()
    expected = np.zeros(episodes.answers.shape, bool)
    for e in range(len(episodes)):
        for q, query in enumerate(episodes.queries[e]):
            code = images[query].reshape(-1) @ weights
            scores = []
            for k in range(episodes.n_way):
                shots = (
                    images[episodes.support[e, k * n_shot : (k + 1) * n_shot]].reshape(n_shot, -1) @ weights
                )
                if isinstance(scorer, WithPrototypes):
                    shots = shots.mean(0, keepdims=True)
                scores.append(-np.mean([np.linalg.norm(code - shot) for shot in shots]))
            expected[e, q] = np.argmax(scores) == episodes.answers[e, q]
    hits = score_episodes(scorer, images, episodes)
    assert 0 < hits.mean() < 1
    np.testing.assert_array_equal(hits, expected)


@pytest.mark.parametrize("seed", range(10))
def test_permuting_the_support_set_permutes_the_scores_and_changes_no_answer(
    images: np.ndarray, seed: int
) -> None:
    episodes, scorer, n_shot = draw(2, seed), Projection(), 2
    order = np.random.default_rng(seed).permutation(5)
    support = episodes.support.reshape(-1, 5, n_shot)[:, order].reshape(-1, 5 * n_shot)
    answers = np.argsort(order)[episodes.answers].astype(np.int32)
    permuted = replace(episodes, support=support, answers=answers)
    codes = scorer.encode(images)
    scores, permuted_scores = (
        score_queries(scorer, codes[which.queries[0]], codes[which.support[0]], 5, n_shot)
        for which in (episodes, permuted)
    )
    torch.testing.assert_close(permuted_scores, scores[:, order], rtol=0, atol=1e-9)
    assert (score_episodes(scorer, images, permuted) == score_episodes(scorer, images, episodes)).all()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_each_image_is_encoded_once_in_batches(images: np.ndarray, batch_size: int) -> None:
    scorer, lists = Projection(), [draw(1, n_way=3), draw(2, seed=1)]
    more = np.concatenate([images, images])  # the second half is never needed
    hits = score_lists(scorer, more, lists, batch_size)
    needed = len(np.unique(np.concatenate([episodes.needed() for episodes in lists])))
    assert sum(scorer.batches) == needed
    assert max(scorer.batches) <= batch_size
    for found, episodes in zip(hits, lists, strict=True):
        np.testing.assert_array_equal(found, score_episodes(Projection(), images, episodes))


def test_a_tie_goes_to_the_first_class(images: np.ndarray) -> None:
    class Alike(Projection):
        def compare(self, queries: Tensor, supports: Tensor) -> Tensor:
            return torch.zeros(len(queries), len(supports))

    episodes = draw(1)
    np.testing.assert_array_equal(score_episodes(Alike(), images, episodes), episodes.answers == 0)


def test_accuracy_counts_every_query() -> None:
    hits = np.array([[True, True, False], [True, False, False]])
    found = accuracy(hits)
    assert (found.value, found.n) == (0.5, 6)
    assert found.low < 0.5 < found.high
