"""The benchmarks on real Omniglot: the published episodes, to the number."""

from dataclasses import replace

import pytest

from oneshot.classify.benchmarks import draw_benchmark, sha256_of_lists
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
