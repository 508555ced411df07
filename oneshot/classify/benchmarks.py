"""The benchmarks by name: lists of episodes on Omniglot, each drawn from its published seed and checked.

Facts: oneshot/published/episodes.json.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from oneshot.classify.episodes import Episodes, mixed_classes, rising_ways, within_alphabets
from oneshot.errors import ChecksumError, ParameterError
from oneshot.omniglot.classes import Classes, labelled_classes, omniglot_classes, turned_classes
from oneshot.omniglot.drawings import Drawings
from oneshot.published import BEST_THRESHOLD, SELECTION, VALIDATION, read_facts

CHOSEN_BY_VALIDATION = (VALIDATION, SELECTION, BEST_THRESHOLD)
N_EPISODES = 40  # of 10 queries each: 400 trials, as on Omniglot


def draw_benchmark(name: str, drawings: Drawings) -> list[Episodes]:
    """Draw a benchmark of oneshot/published/episodes.json: one list of episodes, or one for every N-way.

    drawings: all of Omniglot, or other alphabets with the same names.

    Raises:
        ParameterError: there is no such benchmark, or the drawings are too few for it.
        ChecksumError: on Omniglot itself, the episodes differ from the published ones.
    """
    benchmarks = read_facts("episodes")["benchmarks"]
    if name not in benchmarks:
        raise ParameterError(f"there is no benchmark {name!r}; there are {', '.join(benchmarks)}")
    facts = benchmarks[name]
    classes = find_classes(facts, drawings)
    generator = np.random.default_rng(facts["seed"])
    if facts["protocol"] == "within alphabets":
        alphabets = [*dict.fromkeys(classes.alphabets)]
        if "alphabets" in facts:
            alphabets = read_facts("episodes")["alphabets"][facts["alphabets"]]
        times, n_way, n_queries = facts["n_times"], facts["n_way"], facts["n_queries"]
        drawn = {"n_shot": facts.get("n_shot", 1), "mixed_drawers": facts.get("mixed_drawers", False)}
        lists = [within_alphabets(classes, alphabets, times, generator, n_way, n_queries, name, **drawn)]
    elif facts["protocol"] == "mixed classes":
        n_way, n_shot, n_episodes = facts["n_way"], facts["n_shot"], facts["n_episodes"]
        lists = [mixed_classes(classes, n_way, n_shot, n_episodes, generator, protocol=name)]
    else:
        first, last = facts["ways"]
        lists = rising_ways(classes, range(first, last + 1), facts["n_trials"], generator, name)
    if drawings.source == "omniglot" and sha256_of_lists(lists) != facts["sha256"]:
        raise ChecksumError(
            f"the episodes of {name} have the SHA-256 {sha256_of_lists(lists)}, not the published "
            f"{facts['sha256']}: are these all of Omniglot's drawings, in their order?"
        )
    return lists


def draw_mnist(labels: UInt8[np.ndarray, " n"]) -> Episodes:
    """Draw Koch's 400 trials of 10-way one-shot on MNIST's test set, from its labels.

    They are 40 episodes, each with one image a digit shown and another asked.

    Raises:
        ChecksumError: the episodes differ from the published ones.
    Source: Koch 2015, section 4.4; how it drew its trials is not told.
    """
    facts = read_facts("episodes")["mnist"]
    generator = np.random.default_rng(facts["seed"])
    episodes = mixed_classes(labelled_classes(labels), 10, 1, N_EPISODES, generator, protocol="MNIST")
    if episodes.sha256() != facts["sha256"]:
        raise ChecksumError(
            f"the episodes on MNIST have the SHA-256 {episodes.sha256()}, not the published "
            f"{facts['sha256']}: are these all labels of its test set, in their order?"
        )
    return episodes


def find_classes(facts: Mapping[str, Any], drawings: Drawings) -> Classes:
    """Find the characters and drawers that a benchmark draws from, and their turned images if it has them.

    Quirk: the test alphabets are those of Lake's all_runs, and validation has the other ten of
    images_evaluation. The paper does not list either.
    """
    if "alphabets" in facts:
        chosen = np.isin(drawings.alphabets, read_facts("episodes")["alphabets"][facts["alphabets"]])
    elif "first_character" in facts:
        chosen = np.arange(len(drawings.characters)) >= facts["first_character"]
    else:
        chosen = np.isin(drawings.character_sets, facts["character_sets"])
    first, end = facts["drawers"]
    classes = omniglot_classes(drawings, chosen, (first, end))
    return turned_classes(classes, len(drawings.numbered())) if facts.get("turned") else classes


def asks_validation_alphabets(name: str) -> bool:
    """Return whether what is scored under this name on Omniglot needs the ten validation alphabets.

    It asks for their characters, or, of verification at the best threshold, chooses that by them.
    """
    if name in CHOSEN_BY_VALIDATION:
        return True
    facts = read_facts("episodes")["benchmarks"].get(name, {})
    if "alphabets" in facts:
        return bool(facts["alphabets"] == "validation")
    return "first_character" in facts or "eval" in facts.get("character_sets", ())


def sha256_of_lists(lists: Iterable[Episodes]) -> str:
    """Hash the lists' own checksums, one after another; of a single list its own."""
    sums = [episodes.sha256() for episodes in lists]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
