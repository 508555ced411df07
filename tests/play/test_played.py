"""Saved answers of a player: what is read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneshot.classify.benchmarks import draw_benchmark
from oneshot.classify.episodes import Episodes
from oneshot.omniglot.drawings import Drawings
from oneshot.play import game as of_game
from oneshot.records.played import Choice, Choices, PlayedError, PlayedTrials, count_right, read_played
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


@pytest.mark.omniglot
def test_answers_to_the_trials_without_lakes_runs_are_to_the_published_list(
    drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FINDERS", "CLASSIFIERS"):
        monkeypatch.setattr(of_game, name, {})
    monkeypatch.setattr(of_game, "PIPELINE_DRAWINGS", tmp_path / "data" / "drawings" / "drawings.npz")
    monkeypatch.setenv("ONESHOT_CACHE", str(tmp_path))
    trials, sha256 = of_game.find_trials(drawings)
    game = of_game.Game(drawings, trials, np.random.default_rng(0), sha256)
    answer = Choice(episode=19, query=7, choice=int(trials.episodes.answers[19, 7]), seconds=3)
    saved = game.sum_up(Choices(answers=[answer]))["file"]
    (tmp_path / "answers.json").write_text(json.dumps(saved))
    (published,) = draw_benchmark("within-alphabet", drawings)
    assert read_played(tmp_path / "answers.json", published).n_right == 1


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
