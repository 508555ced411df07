"""Scoring against plain loops, and what may not change an answer; protocols in one pass over the images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from oneshot.classify.baselines import NearestNeighbour
from oneshot.classify.episodes import Episodes, mixed_classes
from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.scoring import (
    NetworkScorer,
    Outside,
    describe_everything,
    find_mistakes,
    find_pairs,
    find_threshold,
    judge_pairs,
    list_scored,
    score_episodes,
    score_everything,
    score_list,
    score_lists,
    score_pairs,
    score_protocols,
    score_queries,
)
from oneshot.omniglot.classes import Classes, turned_classes
from oneshot.omniglot.drawings import Drawings, unpack_rows
from tests.classify.test_protocols import SIZES

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
    def represent(self, supports: Tensor) -> Tensor:
        return supports.mean(1, keepdim=True)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N_CLASSES * N_IMAGES, 3, 3), dtype=np.uint8)


def draw(n_shot: int, seed: int = 0, n_way: int = 5) -> Episodes:
    numbers = np.arange(N_CLASSES * N_IMAGES, dtype=np.int32).reshape(N_CLASSES, -1)
    classes = Classes(tuple(numbers), ("",) * N_CLASSES)
    return mixed_classes(classes, n_way, n_shot, 30, np.random.default_rng(seed))


@pytest.mark.parametrize("n_shot", [1, 3])
@pytest.mark.parametrize("scorer", [Projection(), WithPrototypes()], ids=["mean", "prototypes"])
def test_answers_equal_those_of_plain_loops(images, scorer, n_shot):
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
def test_permuting_the_support_set_permutes_the_scores_and_changes_no_answer(images, seed):
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
def test_each_image_is_encoded_once_in_batches(images, batch_size):
    scorer, lists = Projection(), [draw(1, n_way=3), draw(2, seed=1)]
    more = np.concatenate([images, images])  # the second half is never needed
    hits = score_lists(scorer, more, lists, batch_size)
    needed = len(np.unique(np.concatenate([episodes.needed() for episodes in lists])))
    assert sum(scorer.batches) == needed
    assert max(scorer.batches) <= batch_size
    for found, episodes in zip(hits, lists, strict=True):
        np.testing.assert_array_equal(found, score_episodes(Projection(), images, episodes))


def test_mistakes_show_the_query_the_class_answered_and_the_right_one(images):
    class Alike(Projection):
        def compare(self, queries: Tensor, supports: Tensor) -> Tensor:
            return torch.zeros(len(queries), len(supports))  # always the first class

    episodes = draw(2)
    right = score_episodes(Alike(), images, episodes)
    scorer = Alike()
    found = find_mistakes(scorer, images, episodes, right, 7)
    assert found.shape == (7, 3, 3, 3)
    assert sum(scorer.batches) < len(episodes.needed()), "episodes of no mistake were answered, too"
    wrong = [(e, q) for e in range(len(episodes)) for q in range(5) if episodes.answers[e, q] != 0]
    expected = [
        images[
            [episodes.queries[e, q], episodes.support[e, 0], episodes.support[e, 2 * episodes.answers[e, q]]]
        ]
        for e, q in wrong
    ]
    places = [next(n for n, some in enumerate(expected) if np.array_equal(some, one)) for one in found]
    assert places[0] == 0
    assert places == sorted(set(places))
    assert places[-1] > len(wrong) * 3 // 4
    assert len(find_mistakes(Alike(), images, episodes, right, 10_000)) == len(wrong)
    assert find_mistakes(Alike(), images, episodes, np.ones_like(right), 7).shape == (0, 3, 3, 3)
    # What comes out right after all is not shown as a mistake.
    assert len(find_mistakes(Alike(), images, episodes, ~right, 10_000)) == 0


def test_a_tie_goes_to_the_first_class(images):
    class Alike(Projection):
        def compare(self, queries: Tensor, supports: Tensor) -> Tensor:
            return torch.zeros(len(queries), len(supports))

    episodes = draw(1)
    np.testing.assert_array_equal(score_episodes(Alike(), images, episodes), episodes.answers == 0)


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    return find_protocols(synthetic_drawings, SIZES)


@pytest.fixture
def outside(synthetic_drawings: Drawings) -> Outside:
    """Two ways, one query, which the second answers; over images of its own."""
    support = np.array([[0, 1]], np.int32)
    query, answer = np.array([[2]], np.int32), np.array([[1]], np.int32)
    images = unpack_rows(synthetic_drawings.bits[[3, 8, 8], 0])
    return Outside(images, Episodes("outside", 2, 1, support, query, answer))


def make_net() -> KochSmall:
    return KochSmall((2, 2, 2, 4), 8).initialise(np.random.default_rng(0))


def test_lists_scored_together_are_scored_as_each_alone(protocols):
    scorer = NearestNeighbour("cosine")
    names = ["within-alphabet", "rising-ways"]
    found = score_protocols(scorer, protocols, {}, names)
    assert list(found) == [name for name in protocols.lists if name in names]
    images = unpack_rows(protocols.bits)
    for name, hits in found.items():
        expected = [score_episodes(scorer, images, episodes) for episodes in protocols.lists[name]()]
        assert len(hits) == len(expected)
        for ours, theirs in zip(hits, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert 0.2 < np.mean(np.concatenate([h.ravel() for h in hits])) < 1


def test_benchmarks_on_images_of_their_own_are_scored_on_those(protocols, outside):
    scorer = NearestNeighbour("cosine")
    found = score_protocols(scorer, protocols, {"theirs": outside, "other": outside}, ["theirs", "unknown"])
    assert list(found) == ["theirs"]
    assert found["theirs"][0].tolist() == [[True]]


def test_verification_is_the_sign_of_every_pairs_logit(protocols):
    net = make_net()
    images = torch.from_numpy(unpack_rows(protocols.bits)).float()
    with torch.no_grad():
        first, second = images[torch.from_numpy(protocols.verification.drawings).long().T]
        logits = net(first, second)
        net.output.bias -= logits.median()  # else all would be on one side
        expected = (net(first, second) > 0).numpy() == protocols.verification.same
    pairs = {"verification": protocols.verification}
    found = score_pairs(NetworkScorer(net), protocols, pairs)["verification"]
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < found.mean() < 0.8


def test_other_pairs_are_verified_in_their_place(protocols):
    drawings = np.array([[5, 5], [9, 9], [5, 9]], np.int32)
    net = make_net()
    with torch.no_grad():
        net.output.weight.fill_(-1.0)
        net.output.bias.fill_(1e-6)  # so that only an image and itself are the same
    pairs = {"some": Pairs(drawings, np.array([True, False, False]))}
    found = score_pairs(NetworkScorer(net), protocols, pairs)["some"]
    assert found.tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_is_better_than_the_one_found(seed):
    generator = np.random.default_rng(seed)
    logits = generator.integers(-5, 6, 30).astype(np.float32)  # with ties
    same = generator.random(30) < 0.3 + 0.05 * logits
    found = find_threshold(logits, same)
    rights = {threshold: ((logits > threshold) == same).sum() for threshold in [-np.inf, *np.unique(logits)]}
    assert rights[found] == max(rights.values())
    assert all(right < rights[found] for threshold, right in rights.items() if threshold < found)


def test_the_best_threshold_is_chosen_on_the_validation_pairs(protocols):
    net = make_net()
    with torch.no_grad():
        net.output.weight.fill_(-1.0)
        net.output.bias.fill_(100.0)  # every pair is called the same
    scorer = NetworkScorer(net)
    found = score_pairs(scorer, protocols, find_pairs(scorer, protocols))
    assert found["verification"].mean() == 0.5
    chosen_on = protocols.threshold_pairs
    threshold = find_threshold(judge_pairs(scorer, protocols.bits, chosen_on), chosen_on.same)
    expected = (judge_pairs(scorer, protocols.bits, protocols.verification) > threshold) == (
        protocols.verification.same
    )
    np.testing.assert_array_equal(found["verification/best-threshold"], expected)
    assert 50 < threshold < 100
    assert found["verification/best-threshold"].mean() > 0.5


def test_turned_images_are_scored_as_they_are_shown(protocols):
    turned = turned_classes(protocols.training, len(protocols.bits))
    episodes = mixed_classes(turned, 8, 1, 10, np.random.default_rng(0))
    lists = replace(protocols, lists={"turned": lambda: [episodes]})
    scorer = NearestNeighbour("cosine")
    (found,) = score_protocols(scorer, lists, {}, ["turned"])["turned"]
    images = unpack_rows(protocols.bits)
    everything = np.concatenate([np.rot90(images, quarters, axes=(1, 2)) for quarters in range(4)])
    np.testing.assert_array_equal(found, score_episodes(scorer, everything, episodes))


def test_a_prototypical_network_is_scored_by_prototypes(synthetic_drawings):
    """Not by the mean of the squared distances from the shots, which is something else."""
    scorer = NetworkScorer(ProtoNet(4).initialise(np.random.default_rng(0)))
    codes = scorer.encode(synthetic_drawings.unpack()[:8, 0])
    supports, queries = codes[:6], codes[6:]
    found = score_queries(scorer, queries, supports, n_way=2, n_shot=3)
    prototypes = supports.view(2, 3, -1).mean(1)
    expected = -(queries[:, None] - prototypes).square().sum(2)
    torch.testing.assert_close(found, expected)
    means = scorer.compare(queries, supports).view(2, 2, 3).mean(2)
    assert (found - means).abs().max() > 1e-3


def test_everything_is_scored_and_described_under_the_same_names(protocols, outside):
    scorer = NetworkScorer(make_net())
    pairs = find_pairs(scorer, protocols, "background")
    assert list(pairs) == [
        "verification", "verification/best-threshold",
        "background-verification/validation", "background-verification/test",
    ]  # fmt: skip
    pairs = {"verification": pairs["verification"]}
    names = ["theirs", "within-alphabet", "rising-ways", "validation", "verification"]
    scores = score_everything(scorer, protocols, {"theirs": outside}, pairs, names)
    assert list(scores) == [name for name in describe_everything(protocols, {"theirs": outside}, pairs)
                            if name in names]  # fmt: skip
    assert {scores[name].dtype for name in names} == {np.dtype(np.uint8)}
    assert scores["rising-ways"].shape == (11, 20)
    assert scores["verification"].shape == (len(protocols.verification),)
    hits = score_list(scorer, protocols, protocols.validation)
    np.testing.assert_array_equal(scores["validation"], hits)


def test_what_a_recipe_trains_on_is_not_scored(protocols):
    pairs = find_pairs(NetworkScorer(make_net()), protocols)
    everything = [*protocols.lists, "validation", "selection", *pairs]
    assert list_scored(protocols, {}, pairs, "contrastive") == everything
    left = [*protocols.lists, "verification"]
    assert list_scored(protocols, {}, pairs, "contrastive_40") == left
    of_omniglot = replace(protocols, source="omniglot")
    names = list_scored(of_omniglot, {}, pairs, "contrastive_40")
    assert names == ["mixed-3-way-1-shot", "within-alphabet", "rising-ways-training", "verification"]


def test_pairs_are_judged_by_networks_that_can_and_background_ones_are_of_their_drawers(protocols):
    proto = NetworkScorer(ProtoNet(4).initialise(np.random.default_rng(0)))
    assert find_pairs(proto, protocols, "protonet") == find_pairs(NearestNeighbour("cosine"), protocols) == {}
    scorer = NetworkScorer(make_net())
    assert list(find_pairs(scorer, protocols, "own")) == ["verification", "verification/best-threshold"]
    pairs = find_pairs(scorer, protocols, "background")
    assert set(np.unique(pairs["background-verification/validation"].drawings % 20)) == {12, 13, 14, 15}
    assert set(np.unique(pairs["background-verification/test"].drawings % 20)) == {16, 17, 18, 19}
