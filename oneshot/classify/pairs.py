"""Pairs of drawings, half of the same character and half of different ones: fixed sets, endless streams."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int32

from oneshot.classify.counter_random import uniforms
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import N_DRAWERS, Drawings
from oneshot.published import read_facts

PAIRS = 1  # keeps the random numbers of pairs apart from those of distortions under the same seed


@dataclass(frozen=True, eq=False)
class Pairs:
    """Numbers of two drawings each (Omniglot: character index * 20 + drawer), and whether they are the same
    character.
    """

    drawings: Int32[np.ndarray, "n 2"]
    same: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.drawings)

    def sha256(self) -> str:
        """Give the hexadecimal SHA-256 of the drawings' numbers, little-endian, row by row."""
        return hashlib.sha256(self.drawings.astype("<i4").tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class PairSource:
    """Drawings that pairs are made of: their numbers, character by character, alphabet by alphabet.

    Each character has at least two drawings and each alphabet at least two characters.
    """

    drawings: Int32[np.ndarray, " drawings"]
    n_drawings: Int[np.ndarray, " characters"]
    n_characters: Int[np.ndarray, " alphabets"]

    def draw(self, numbers: Int[np.ndarray, " n"], seed: int) -> Pairs:
        """Draw the pairs of these numbers, from 0 up, of the endless stream that belongs to the seed.

        Even numbers are pairs of the same character in two drawings, odd ones of two characters of one
        alphabet. Every two pairs it is the next alphabet's turn. Drawn with repeats.
        """
        chance = uniforms(4, seed, PAIRS, numbers)
        same = numbers % 2 == 0
        alphabet = numbers // 2 % len(self.n_characters)
        first, second = pick_two(chance[:, :2], self.n_characters[alphabet])
        starts = first_places(self.n_characters)[alphabet]
        characters = np.stack([first, np.where(same, first, second)], 1) + starts[:, None]
        sizes = self.n_drawings[characters]
        first, other = pick_two(chance[:, 2:], sizes[:, 0])
        anyone = (chance[:, 3] * sizes[:, 1]).astype(np.int64)
        places = first_places(self.n_drawings)[characters]
        places += np.stack([first, np.where(same, other, anyone)], 1)
        return Pairs(self.drawings[places], same)


def pick_two(
    chance: np.ndarray, n_choices: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Pick two different ones of each number of choices; chance: two numbers in [0, 1) each."""
    first = (chance[:, 0] * n_choices).astype(np.int64)
    step = 1 + (chance[:, 1] * (n_choices - 1)).astype(np.int64)
    return first, (first + step) % n_choices


def first_places(sizes: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return np.cumsum(sizes) - sizes


def draw_set(source: PairSource, n_pairs: int, seed: int) -> Pairs:
    """Draw a fixed set: the first pairs of the seed's stream, so a larger set begins with the smaller ones.

    Half are the same character, and alphabets have the same number each (if 2 x alphabets divides n_pairs).
    """
    return source.draw(np.arange(n_pairs), seed)


def make_source(characters: Sequence[Sequence[int]], alphabets: Sequence[str]) -> PairSource:
    """Make one of each character's drawings and its alphabet; an alphabet's characters are adjacent.

    Raises:
        ParameterError: a character has fewer than two drawings, or an alphabet fewer than two characters.
    """
    names = list(dict.fromkeys(alphabets))
    n_characters = np.array([alphabets.count(name) for name in names])
    n_drawings = np.array([len(drawings) for drawings in characters])
    if not names or n_drawings.min() < 2:
        raise ParameterError("pairs need characters with at least two drawings each.")
    if n_characters.min() < 2:
        alone = names[int(n_characters.argmin())]
        raise ParameterError(f"{alone!r} has one character; pairs of different ones need two or more.")
    numbers = np.concatenate([np.asarray(drawings, np.int32) for drawings in characters])
    return PairSource(numbers, n_drawings, n_characters)


def source_of(
    drawings: Drawings,
    chosen: Bool[np.ndarray, " characters"],
    drawers: tuple[int, int],
    *,
    within_alphabets: bool = True,
) -> PairSource:
    """Make one of Omniglot's chosen characters; drawers: the first, and one past the last, counted from 0.

    Without `within_alphabets` different characters may be of any two alphabets.
    """
    characters = np.flatnonzero(chosen)
    alphabets = drawings.alphabets[chosen].tolist() if within_alphabets else ["all"] * len(characters)
    return make_source(
        [range(c * N_DRAWERS + drawers[0], c * N_DRAWERS + drawers[1]) for c in characters], alphabets
    )


def koch_source(drawings: Drawings, split: str) -> PairSource:
    """Give the paper's train, validation or test split, in which neither alphabets nor drawers are shared.

    Source: Koch et al. 2015, section 4. Quirk: test alphabets are those of Lake's trials, not the character
    set 'test' of the segmentation task; drawings other than Omniglot's go by the character sets.
    """
    facts = find_pair_split("splits", split)
    chosen = drawings.character_sets == facts["character_set"]
    if drawings.source == "omniglot" and "alphabets" in facts:
        chosen = np.isin(drawings.alphabets, read_facts("episodes")["alphabets"][facts["alphabets"]])
    return source_of(drawings, chosen, tuple(facts["drawers"]))


def background_source(drawings: Drawings, split: str) -> PairSource:
    """Give the easier split of a well-known repository: images_background alone, drawers 12 / 4 / 4.

    The characters of all three parts are the same, and different characters are of any two alphabets.
    """
    facts = find_pair_split("background_splits", split)
    chosen = drawings.character_sets == facts["character_set"]
    return source_of(drawings, chosen, tuple(facts["drawers"]), within_alphabets=False)


def find_pair_split(protocol: str, split: str) -> dict[str, Any]:
    """Find a split's facts. Raises ParameterError if there is no such split."""
    names = ("train", "validation", "test")
    if split not in names:
        raise ParameterError(f"there is no split {split!r}; there are {', '.join(names)}.")
    return read_facts("koch")[protocol][split]
