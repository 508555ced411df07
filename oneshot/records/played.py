"""Answers of people to trials of a benchmark, as the page of `oneshot play` saves them in a file."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from oneshot.classify.episodes import Episodes
from oneshot.errors import OneshotError
from oneshot.files import read_json
from oneshot.params import Section

MOST_ANSWERS = 400  # trials of a benchmark

Number = Annotated[int, Field(ge=0, lt=2**31)]


class PlayedError(OneshotError):
    """File of a player's answers that is missing, damaged, or of other trials."""


class Trial(Section):
    """Trial of the list: an episode and one of its queries, by their places."""

    episode: Number
    query: Number


class Choice(Trial):
    """Answer to a trial: the place of a class, and how long it took."""

    choice: Number
    seconds: Annotated[float, Field(ge=0, le=86_400)]


class Choices(Section):
    """Answers of a player, at most one to a trial."""

    answers: Annotated[list[Choice], Field(min_length=1, max_length=MOST_ANSWERS)]

    @model_validator(mode="after")
    def check_trials_differ(self) -> "Choices":
        if len({(one.episode, one.query) for one in self.answers}) < len(self.answers):
            raise ValueError("the same trial is answered twice")
        return self


class PlayedTrials(Choices):
    """File of a player's answers; `sha256` is that of the list of trials, which `protocol` names."""

    format: Literal["oneshot played trials 1"] = "oneshot played trials 1"
    protocol: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    n_right: Number


def count_right(answers: list[Choice], episodes: Episodes) -> int:
    """Count right answers.

    Raises:
        PlayedError: the list has no such trial or class.
    """
    n_episodes, n_queries = episodes.answers.shape
    for one in answers:
        if one.episode >= n_episodes or one.query >= n_queries or one.choice >= episodes.n_way:
            raise PlayedError(
                f"there is no choice {one.choice} in query {one.query} of episode {one.episode}: "
                f"{episodes.protocol} has {n_episodes} episodes of {n_queries} queries, {episodes.n_way}-way."
            )
    return sum(int(episodes.answers[one.episode, one.query]) == one.choice for one in answers)


def read_form(path: Path) -> PlayedTrials:
    """Read a saved file of answers, whatever list they are to. Raises PlayedError if it is none."""
    return read_json(path, PlayedTrials, "play again, and save the result anew", PlayedError)


def read_played(path: Path, episodes: Episodes) -> PlayedTrials:
    """Read a saved file of answers to a list of trials.

    Raises:
        PlayedError: it is missing or damaged, was played on another list, or is not counted right.
    """
    played = read_form(path)
    if played.sha256 != episodes.sha256():
        raise PlayedError(
            f"{path} has answers to {played.protocol} with the SHA-256 {played.sha256}, not to "
            f"{episodes.protocol} with {episodes.sha256()}."
        )
    try:
        n_right = count_right(played.answers, episodes)
    except PlayedError as error:
        raise PlayedError(f"{path}: {error}") from None
    if n_right != played.n_right:
        raise PlayedError(f"{path} says that {played.n_right} answers are right, but {n_right} are.")
    return played
