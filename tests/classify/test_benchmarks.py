"""The benchmarks on real Omniglot: the published episodes, to the number."""

from dataclasses import replace

import numpy as np
import pytest

from oneshot.classify.benchmarks import asks_validation_alphabets, draw_benchmark, sha256_of_lists
from oneshot.classify.protocols import omniglot_protocols
from oneshot.errors import ChecksumError, ParameterError
from oneshot.omniglot.drawings import Drawings
from oneshot.published import read_facts
from tests.archives import pick

FACTS = read_facts("episodes")


@pytest.mark.omniglot
@pytest.mark.parametrize("name", FACTS["benchmarks"])
def test_the_episodes_have_the_published_checksum(drawings: Drawings, name: str) -> None:
    lists = draw_benchmark(name, replace(drawings, source="unchecked"))
    assert sha256_of_lists(lists) == FACTS["benchmarks"][name]["sha256"]
    assert all(episodes.protocol == name for episodes in lists)


@pytest.mark.omniglot
def test_the_40_background_alphabets_are_none_of_the_ten_tested_and_what_asks_for_them_is_known(
    drawings: Drawings,
) -> None:
    both = omniglot_protocols(drawings).training_and_validation
    tested = {*FACTS["alphabets"]["test"]}
    assert {*both.alphabets} == {*drawings.alphabets.tolist()} - tested
    assert len({*both.alphabets}) == 40
    numbers = np.concatenate(both.images)
    assert len(numbers) == len(np.unique(numbers)) == 20 * len(both)
    assert {*drawings.alphabets[numbers // 20].tolist()} == {*both.alphabets}
    validation = {*FACTS["alphabets"]["validation"]}
    for name in FACTS["benchmarks"]:
        asked = np.concatenate([episodes.needed() for episodes in draw_benchmark(name, drawings)])
        asked = asked % len(drawings.numbered()) // 20
        assert asks_validation_alphabets(name) == bool({*drawings.alphabets[asked].tolist()} & validation)


@pytest.mark.omniglot
@pytest.mark.parametrize("name", ["vinyals-20-way-1-shot", "vinyals-5-way-5-shot"])
def test_the_split_of_vinyals_tests_the_characters_that_its_authors_test(
    drawings: Drawings, name: str
) -> None:
    (episodes,) = draw_benchmark(name, drawings)
    n_drawings = len(drawings.numbered())
    quarters, places = np.divmod(np.arange(4 * n_drawings), n_drawings)
    needed = episodes.needed()
    characters = places[needed] // 20
    whole = {"Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Oriya", "Sylheti",
             "Old_Church_Slavonic_(Cyrillic)", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"}  # fmt: skip
    tested = np.isin(drawings.alphabets, [*whole])
    gurmukhi = (drawings.alphabets == "Gurmukhi") & (drawings.characters >= "character42")
    assert (tested | gurmukhi).sum() == 423
    assert set(characters) <= set(np.flatnonzero(tested | gurmukhi))
    assert set(quarters[needed]) == {0, 1, 2, 3}


@pytest.mark.omniglot
def test_within_every_alphabet_of_the_evaluation_set_there_are_as_many_episodes(drawings: Drawings) -> None:
    (episodes,) = draw_benchmark("within-alphabet-20-way-5-shot", drawings)
    alphabets = drawings.alphabets[episodes.support // 20]
    assert (alphabets == alphabets[:, :1]).all()
    names, counts = np.unique(alphabets[:, 0], return_counts=True)
    assert set(names) == set(drawings.alphabets[drawings.character_sets != "train"])
    assert set(counts) == {50}


@pytest.mark.omniglot
def test_other_drawings_under_omniglots_name_are_noticed(drawings: Drawings) -> None:
    fewer = pick(drawings, drawings.characters != "character05")
    with pytest.raises(ChecksumError, match=r"the episodes of within-alphabet have the SHA-256"):
        draw_benchmark("within-alphabet", fewer)


def test_an_unknown_benchmark_is_named_beside_the_known_ones(synthetic_drawings: Drawings) -> None:
    with pytest.raises(ParameterError, match=r"'koch'; there are within-alphabet, "):
        draw_benchmark("koch", synthetic_drawings)


def test_invented_alphabets_serve_as_well(synthetic_drawings: Drawings) -> None:
    (episodes,) = draw_benchmark("mixed-5-way-5-shot", synthetic_drawings)
    assert (len(episodes), episodes.n_shot) == (1000, 5)
    assert set(synthetic_drawings.character_sets[episodes.needed() // 20]) == {"eval", "test"}
