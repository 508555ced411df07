"""Scores on all protocols: the same as list by list and pair by pair, in one pass over the images."""

import numpy as np
import pytest
import torch

from oneshot.classify.baselines import NearestNeighbour
from oneshot.classify.episode_scores import score_episodes
from oneshot.classify.episodes import Episodes
from oneshot.classify.nets.koch import KochSmall, SiamesePair
from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.scorers import SiameseScorer
from oneshot.classify.scoring import (
    Outside,
    score_list,
    score_protocols,
    score_verification,
    summarise,
    summarise_hits,
    summarise_rising,
)
from oneshot.omniglot.drawings import Drawings, unpack_rows
from tests.classify.test_protocols import SIZES


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


def make_net() -> SiamesePair:
    return SiamesePair(KochSmall((2, 2, 2, 4), 8)).initialise(torch.Generator().manual_seed(0))


def test_lists_scored_together_are_scored_as_each_alone(protocols: Protocols) -> None:
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


def test_benchmarks_on_images_of_their_own_are_scored_on_those(
    protocols: Protocols, outside: Outside
) -> None:
    scorer = NearestNeighbour("cosine")
    found = score_protocols(scorer, protocols, {"theirs": outside, "other": outside}, ["theirs", "unknown"])
    assert list(found) == ["theirs"]
    assert found["theirs"][0].tolist() == [[True]]


def test_validation_is_of_the_validation_trials(protocols: Protocols) -> None:
    scorer = NearestNeighbour("euclidean")
    hits = score_list(scorer, protocols, protocols.validation)
    np.testing.assert_array_equal(
        hits, score_episodes(scorer, unpack_rows(protocols.bits), protocols.validation)
    )


def test_verification_is_the_sign_of_every_pairs_logit(protocols: Protocols) -> None:
    net = make_net()
    images = torch.from_numpy(unpack_rows(protocols.bits)).float()
    with torch.no_grad():
        first, second = images[torch.from_numpy(protocols.verification.drawings).long().T]
        logits = net(first, second)
        net.output.bias -= logits.median()  # else all would be on one side
        expected = (net(first, second) > 0).numpy() == protocols.verification.same
    found = score_verification(SiameseScorer(net), protocols)
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < found.mean() < 0.8


def test_other_pairs_are_verified_in_their_place(protocols: Protocols) -> None:
    drawings = np.array([[5, 5], [9, 9], [5, 9]], np.int32)
    net = make_net()
    with torch.no_grad():
        net.output.weight.fill_(-1.0)
        net.output.bias.fill_(1e-6)  # so that only an image and itself are the same
    found = score_verification(SiameseScorer(net), protocols, Pairs(drawings, np.array([True, False, False])))
    assert found.tolist() == [True, False, True]


def test_means_have_their_n_and_leave_rising_ways_to_the_plot(protocols: Protocols) -> None:
    hits = score_protocols(NearestNeighbour("cosine"), protocols, {}, protocols.lists)
    means = summarise(hits)
    assert set(means) == {"within-alphabet", "mixed-3-way-1-shot"}
    within = hits["within-alphabet"][0]
    assert means["within-alphabet"]["value"] == within.mean()
    assert means["within-alphabet"]["n"] == within.size == 60
    rows = summarise_rising("cosine", hits)
    assert [row["n_way"] for row in rows] == [*range(2, 13), *range(2, 19)]
    assert {row["characters"] for row in rows} == {"evaluation", "training"}
    first = hits["rising-ways"][0]
    assert rows[0]["percent"] == pytest.approx(100 * first.mean())
    assert rows[0]["low"] < rows[0]["percent"] < rows[0]["high"]
    assert rows[0]["n"] == 20


def test_a_mean_of_hits_is_plain_numbers() -> None:
    summary = summarise_hits(np.array([True, True, False, True]))
    assert summary["value"] == 0.75
    assert summary["n"] == 4
    assert 0.3 < summary["low"] < 0.75 < summary["high"] < 1
