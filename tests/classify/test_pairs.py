"""Pairs: half the same, alphabets in turn; fixed sets by their checksums; streams by numbers alone."""

import numpy as np
import pytest

from oneshot.classify.pairs import background_source, draw_set, koch_source, make_source, source_of
from oneshot.errors import ParameterError
from oneshot.published import read_facts

FACTS = read_facts("koch")
# Of (protocol, split, pairs) at seed 0.
SHA256 = {
    ("koch", "train", 30000): "4fb3c3ad1c57c4034929246d103c507e0308254bde5dbbb3aa1862333044222a",
    ("koch", "train", 90000): "3b7dbf0dfbff510dab5282cd81e9053d1277efc9a3c271429a789c08857ba54e",
    ("koch", "train", 150000): "2d2d8eafcbd5343efbaaaa9c58cf5169bf12301cfc32748674503b2c08ef02cc",
    ("koch", "validation", 10000): "5a35d4c2ef790eaf33bc06cb6119c32ba5f9631a4dfab9a7ba80d63a8aeae776",
    ("koch", "test", 10000): "a2829e2f6f79898d6fd68b947b40848fb1abfec1b8f8e80598f05fc9b042fd4f",
    ("background", "train", 30000): "25585b6326558d64c2e1892e9e3ad2241d13e098c42c811077bb6b05eb51dbb6",
    ("background", "validation", 10000): "28aa58ca816bc0a3e8aa75e1686d62dc0b2761808f34ffdd44c56fecee57166f",
    ("background", "test", 10000): "c91c5f0c42b413acc059fb19f8f6b8ba43b046a96947396cf8ee2000d862f52b",
}


def make_small():
    """Two alphabets of 2 and 3 characters, with 2 to 4 drawings."""
    return make_source(
        [[10, 11], [20, 21, 22], [30, 31], [40, 41, 42, 43], [50, 51]], ["A", "A", "B", "B", "B"]
    )


def test_pairs_are_what_they_say():
    pairs = make_small().draw(np.arange(4000), seed=3)
    characters, drawn = pairs.drawings // 10, pairs.drawings
    np.testing.assert_array_equal(characters[:, 0] == characters[:, 1], pairs.same)
    np.testing.assert_array_equal(pairs.same, np.arange(4000) % 2 == 0)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    alphabets = characters >= 3
    assert (alphabets[:, 0] == alphabets[:, 1]).all()
    np.testing.assert_array_equal(alphabets[:, 0], np.arange(4000) // 2 % 2)


def test_everything_that_can_be_drawn_is_about_as_often():
    pairs = make_small().draw(np.arange(60_000), seed=3)
    same_of_b = pairs.drawings[pairs.same & (pairs.drawings[:, 0] >= 30)]
    places, counts = np.unique(same_of_b[same_of_b[:, 0] // 10 == 4], axis=0, return_counts=True)
    assert len(places) == 4 * 3
    np.testing.assert_allclose(counts, 5000 / 12, rtol=0.2)
    different_of_a = pairs.drawings[~pairs.same & (pairs.drawings[:, 0] < 30)]
    places, counts = np.unique(different_of_a, axis=0, return_counts=True)
    assert len(places) == 2 * 2 * 3
    np.testing.assert_allclose(counts, 15_000 / 12, rtol=0.2)


def test_a_pair_depends_on_its_number_and_the_seed_alone():
    source = make_small()
    whole = source.draw(np.arange(1000), seed=5)
    some = np.array([999, 4, 5, 500])
    np.testing.assert_array_equal(source.draw(some, seed=5).drawings, whole.drawings[some])
    assert (source.draw(some, seed=6).drawings != whole.drawings[some]).any()


@pytest.mark.omniglot
@pytest.mark.parametrize(("split", "n_pairs"), [("train", 30_000), ("validation", 10_000), ("test", 10_000)])
def test_published_splits_share_neither_alphabets_nor_drawers(split, n_pairs, drawings):
    pairs = draw_set(koch_source(drawings, split), n_pairs, seed=0)
    characters, drawers = np.divmod(pairs.drawings, 20)
    first, end = FACTS["splits"][split]["drawers"]
    assert set(np.unique(drawers)) == set(range(first, end))
    alphabets = drawings.alphabets[characters]
    assert (alphabets[:, 0] == alphabets[:, 1]).all()
    assert pairs.same.mean() == 0.5
    for same in (True, False):
        names, counts = np.unique(alphabets[pairs.same == same, 0], return_counts=True)
        assert set(counts) == {n_pairs // len(names) // 2}
    named = read_facts("episodes")["alphabets"]
    expected = named.get(FACTS["splits"][split].get("alphabets"), drawings.of("train").alphabets.tolist())
    assert set(names) == set(expected)


@pytest.mark.omniglot
@pytest.mark.parametrize("key", SHA256)
def test_fixed_sets_have_their_checksums(key, drawings):
    protocol, split, n_pairs = key
    source = {"koch": koch_source, "background": background_source}[protocol](drawings, split)
    assert draw_set(source, n_pairs, seed=0).sha256() == SHA256[key]


def test_drawings_other_than_omniglots_go_by_character_set(synthetic_drawings):
    source = koch_source(synthetic_drawings, "test")
    sets = synthetic_drawings.character_sets[source.drawings // 20]
    assert set(sets) == {"test"}
    assert set(source.drawings % 20) == {16, 17, 18, 19}


def test_what_cannot_be_paired_is_one_sentence(synthetic_drawings):
    with pytest.raises(ParameterError, match="no split 'dev'"):
        koch_source(synthetic_drawings, "dev")
    with pytest.raises(ParameterError, match="at least two drawings"):
        source_of(synthetic_drawings, synthetic_drawings.character_sets == "train", (3, 4))
    with pytest.raises(ParameterError, match="'B' has one character"):
        make_source([[1, 2], [3, 4], [5, 6]], ["A", "A", "B"])
