"""Saved answers of a player: what is read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from oneshot.classify.episodes import Episodes
from oneshot.play.forms import Choice, PlayedError, PlayedTrials, count_right, read_played
from tests.conftest import refusing


@pytest.fixture
def played(episodes: Episodes) -> dict[str, Any]:
    """A file with one right and one wrong answer."""
    right = [int(episodes.answers[0, query]) for query in (0, 1)]
    answers = [
        Choice(episode=0, query=0, choice=right[0], seconds=1.5),
        Choice(episode=0, query=1, choice=(right[1] + 1) % 20, seconds=2),
    ]
    return PlayedTrials(
        protocol="synthetic",
        sha256=episodes.sha256(),
        answers=answers,
        n_right=count_right(answers, episodes),
    ).model_dump()


def test_saved_answers_are_read_again(played: dict[str, Any], episodes: Episodes, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(played))
    found = read_played(path, episodes)
    assert found.n_right == 1
    assert found.model_dump() == played


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_right": 2}, "says that 2 answers are right, but 1 are"),
        ({"sha256": 64 * "0"}, "with the SHA-256 0000"),
        ({"answers": []}, "is damaged"),
        ({"answers": [{"episode": 77, "query": 0, "choice": 0, "seconds": 1}]}, "query 0 of episode 77"),
        ({"format": "other"}, "is damaged"),
    ],
)
def test_other_files_are_refused(
    change: dict[str, Any], sentence: str, played: dict[str, Any], episodes: Episodes, tmp_path: Path
) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(played | change))
    with refusing(PlayedError, sentence):
        read_played(path, episodes)
