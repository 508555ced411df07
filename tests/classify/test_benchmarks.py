"""The benchmarks on real Omniglot: the published episodes, to the number."""

from dataclasses import replace

import numpy as np
import pytest

from oneshot.classify.benchmarks import draw_benchmark, sha256_of_lists
from oneshot.errors import ChecksumError, ParameterError
from oneshot.omniglot.drawings import Drawings
from oneshot.published import read_facts

FACTS = read_facts("episodes")


@pytest.mark.omniglot
@pytest.mark.parametrize("name", FACTS["benchmarks"])
def test_the_episodes_have_the_published_checksum(drawings: Drawings, name: str) -> None:
    lists = draw_benchmark(name, replace(drawings, source="unchecked"))
    assert sha256_of_lists(lists) == FACTS["benchmarks"][name]["sha256"]
    assert all(episodes.protocol == name for episodes in lists)


@pytest.mark.omniglot
@pytest.mark.parametrize(
    ("name", "n_trials", "drawers"),
    [
        ("within-alphabet", 400, {16, 17, 18, 19}),
        ("within-alphabet-10000", 10_000, {16, 17, 18, 19}),
        ("within-alphabet-validation", 320, {12, 13, 14, 15}),
    ],
)
def test_kochs_trials_are_as_many_and_by_whom_the_paper_says(
    drawings: Drawings, name: str, n_trials: int, drawers: set[int]
) -> None:
    (episodes,) = draw_benchmark(name, drawings)
    assert episodes.answers.size == n_trials
    assert episodes.n_way == 20
    assert set((episodes.needed() % 20).tolist()) == drawers
    alphabets = drawings.alphabets[episodes.support // 20]
    assert (alphabets == alphabets[:, :1]).all()
    assert (drawings.alphabets[episodes.queries // 20] == alphabets[:, : episodes.queries.shape[1]]).all()
    which = "validation" if "validation" in name else "test"
    found, counts = np.unique(alphabets[:, 0], return_counts=True)
    assert sorted(FACTS["alphabets"][which]) == found.tolist()
    assert len(set(counts)) == 1


@pytest.mark.omniglot
def test_test_and_validation_alphabets_are_all_of_images_evaluation(drawings: Drawings) -> None:
    evaluation = set(drawings.alphabets[drawings.character_sets != "train"].tolist())
    test, validation = (set(FACTS["alphabets"][name]) for name in ("test", "validation"))
    assert test | validation == evaluation
    assert not test & validation


@pytest.mark.omniglot
def test_other_drawings_under_omniglots_name_are_noticed(drawings: Drawings) -> None:
    fewer = drawings.only(drawings.characters != "character05")
    with pytest.raises(ChecksumError, match=r"the episodes of within-alphabet have the SHA-256"):
        draw_benchmark("within-alphabet", fewer)


def test_an_unknown_benchmark_is_named_beside_the_known_ones(synthetic_drawings: Drawings) -> None:
    with pytest.raises(ParameterError, match=r"'koch'; there are within-alphabet, "):
        draw_benchmark("koch", synthetic_drawings)


def test_invented_alphabets_serve_as_well(synthetic_drawings: Drawings) -> None:
    (episodes,) = draw_benchmark("mixed-5-way-5-shot", synthetic_drawings)
    assert (len(episodes), episodes.n_shot) == (1000, 5)
    assert set(synthetic_drawings.character_sets[episodes.needed() // 20]) == {"eval", "test"}
