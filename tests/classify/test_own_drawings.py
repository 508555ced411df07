"""Classes of own drawings: ranked by every kind of network, refused below a threshold."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.own_drawings import choose_rejection, find_rejection, rank_queries
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.scoring import NetworkScorer
from oneshot.errors import ImageFolderError, ParameterError
from oneshot.library import classify, load_classifier
from oneshot.omniglot.drawings import Drawings
from oneshot.published import read_facts
from stages.record import thresholds
from tests.conftest import refusing


@pytest.fixture
def support(synthetic_drawings: Drawings, tmp_path: Path) -> Path:
    """Four classes of one or two drawings, dark on light."""
    for k, some in enumerate(synthetic_drawings.unpack()[:4]):
        for drawer in range(1 + k % 2):
            path = tmp_path / "support" / f"class {k}" / f"{drawer}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 * (1 - some[drawer])).astype(np.uint8)).save(path)
    return tmp_path / "support"


def test_queries_are_ranked_alike_as_files_arrays_ink_and_light_on_dark(
    support: Path, synthetic_drawings: Drawings, tmp_path: Path
) -> None:
    ink = synthetic_drawings.unpack()[:4, 3]
    for k, query in enumerate(ink):
        (tmp_path / "queries").mkdir(exist_ok=True)
        Image.fromarray((255 * query).astype(np.uint8)).save(tmp_path / "queries" / f"{k}.png")
    by_file = classify(tmp_path / "queries", support)
    by_ink = classify(list(ink), support)
    assert [ranking.scores for ranking in by_file] == [ranking.scores for ranking in by_ink]
    assert [ranking.classes[0] for ranking in by_file] == [f"class {k}" for k in range(4)]
    assert by_file[0].query == str(tmp_path / "queries" / "0.png")
    assert by_file[0].score_name == "cosine"
    for ranking in by_ink:
        assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
        assert -1 <= ranking.scores[-1] <= ranking.scores[0] <= 1.0001


def test_a_query_that_is_asked_twice_is_answered_twice(support: Path) -> None:
    path = support / "class 0" / "0.png"
    assert [ranking.query for ranking in classify([path, path], support)] == [str(path)] * 2


@pytest.mark.parametrize("n_channels", [1, 2, 4])
def test_an_array_with_other_channels_than_three_is_refused(n_channels: int, support: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, n_channels), np.uint8)
    with refusing(ParameterError, "query 1"):
        classify(image, support)


def test_a_class_may_be_given_by_arrays_and_the_order_of_classes_changes_nothing(
    synthetic_drawings: Drawings,
) -> None:
    ink = synthetic_drawings.unpack()
    classes = {"a": ink[0, :3], "b": ink[1, 0], "c": [ink[2, 0], 255 * (1 - ink[2, 1])]}
    (first,) = classify(ink[2, 5], classes)
    (second,) = classify(ink[2, 5], dict(reversed(classes.items())))
    assert first.classes == second.classes
    assert first.scores == pytest.approx(second.scores, abs=1e-5)


@pytest.mark.parametrize("kind", [KochSmall, ProtoNet])
def test_scores_of_other_networks_say_what_they_are(kind: type, synthetic_drawings: Drawings) -> None:
    scorer = NetworkScorer(kind().initialise(np.random.default_rng(0)))
    ink = synthetic_drawings.unpack()
    (found,) = rank_queries(scorer, "some", [("q", ink[0, 0])], {"a": [*ink[0, :2]], "b": [ink[1, 0]]}, None)
    assert found.score_name == kind.score_name
    assert all(0 <= score <= 1 if kind is KochSmall else score <= 0 for score in found.scores)


def test_below_the_threshold_it_is_none_of_these(support: Path, synthetic_drawings: Drawings) -> None:
    query = synthetic_drawings.unpack()[1, 4]
    (plain,) = classify(query, support)
    best = plain.scores[0]
    for threshold, rejected in ((best - 0.01, False), (best + 0.01, True), (None, False)):
        assert classify(query, support, reject_below=threshold)[0].rejected == rejected
    (auto,) = classify(query, support, reject_below="auto")
    assert auto.reject_below == read_facts("thresholds")["networks"]["contrastive-long"]["threshold"]
    with refusing(ParameterError, "reject_below is 'often'"):
        classify(query, support, reject_below="often")
    with refusing(ParameterError, r"no threshold was chosen for these weights of contrastive-long"):
        find_rejection("contrastive-long", "0" * 64)


def test_what_cannot_be_classified_is_refused_in_one_sentence(support: Path, tmp_path: Path) -> None:
    good = np.eye(50, dtype=np.uint8)
    with refusing(ParameterError, "query 1 is blank"):
        classify(np.zeros((30, 30), np.uint8), support)
    with refusing(ParameterError, "the query 1 is an array of float64"):
        classify(np.zeros((30, 30)), support)
    with refusing(ParameterError, "no images of the class 'b'"):
        classify(good, {"a": good, "b": []})
    with refusing(ParameterError, "no images of the support set"):
        classify(good, {})
    with refusing(ImageFolderError, "is no folder"):
        classify(good, tmp_path / "nowhere")
    (support / "class 1" / "0.png").write_bytes(b"\x89PNG\r\n")
    with refusing(ImageFolderError, r"class 1/0\.png' is not a readable image"):
        classify(good, support)


@pytest.mark.omniglot
def test_the_stored_threshold_is_the_one_of_validation_pairs(drawings: Drawings) -> None:
    facts = read_facts("thresholds")
    pairs = draw_set(koch_source(drawings, "validation"), facts["n_pairs"], 20)
    assert pairs.sha256() == facts["pairs_sha256"]
    threshold, right = choose_rejection(load_classifier("contrastive-long")[0], drawings.numbered(), pairs)
    stored = facts["networks"]["contrastive-long"]
    assert threshold == pytest.approx(stored["threshold"], abs=2e-3)
    assert right == pytest.approx(stored["right"], abs=2e-3)


@pytest.mark.omniglot
def test_networks_that_saw_the_validation_alphabets_have_no_threshold_by_them() -> None:
    with refusing(
        ParameterError, "contrastive_40 was trained on the alphabets whose pairs choose a threshold"
    ):
        thresholds.main(["contrastive-long", "contrastive_40"])
