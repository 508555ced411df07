"""The names of what networks are scored on."""

from oneshot.segment.answers import DEFINITIONS, ORACLES, OWN, title_answer


def test_answers_are_told_in_words_and_the_networks_own_goes_without() -> None:
    assert title_answer(OWN) == ""
    assert title_answer("top_4") == "best 4 proposals"
    assert title_answer("top_1") == "best proposal alone"
    assert [title_answer(name) for name in ORACLES] == ["location given", "candidates given", "choice given"]


def test_every_answer_has_a_definition_of_one_sentence() -> None:
    assert set(DEFINITIONS) == {OWN, "top_K", *ORACLES}
    assert not any("." in words for words in DEFINITIONS.values())
