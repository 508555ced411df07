"""Scores of a scorer on all protocols: which answers are right, list by list, and the means over them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from oneshot.classify.episode_scores import Scorer, accuracy, score_lists
from oneshot.classify.episodes import Episodes
from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import RISING_WAYS, Protocols
from oneshot.classify.scorers import SiameseScorer
from oneshot.classify.verification import verify
from oneshot.intervals import mean_of_hits
from oneshot.omniglot.drawings import unpack_rows

Hits = list[Bool[np.ndarray, "_ _"]]


@dataclass(frozen=True, eq=False)
class Outside:
    """A benchmark on images of its own, such as Lake's runs or MNIST."""

    images: UInt8[np.ndarray, "n 105 105"]
    episodes: Episodes


def score_protocols(
    scorer: Scorer, protocols: Protocols, outside: Mapping[str, Outside], names: Iterable[str]
) -> dict[str, Hits]:
    """By benchmark, of one list or of one for every N-way: whether each query got the right answer.

    Those of `protocols` share their images, of which each is encoded once. Names of none are left out.
    """
    wanted = set(names)
    lists = {name: draw() for name, draw in protocols.lists.items() if name in wanted}
    hits: dict[str, Hits] = {}
    if lists:
        every = [episodes for of_name in lists.values() for episodes in of_name]
        numbers = np.unique(np.concatenate([episodes.needed() for episodes in every]))
        images = unpack_rows(protocols.bits[numbers])
        found = iter(score_lists(scorer, images, [episodes.renumbered(numbers) for episodes in every]))
        hits = {name: [next(found) for _ in of_name] for name, of_name in lists.items()}
    for name in outside.keys() & wanted:
        hits[name] = score_lists(scorer, outside[name].images, [outside[name].episodes])
    return hits


def score_list(scorer: Scorer, protocols: Protocols, episodes: Episodes) -> Bool[np.ndarray, "_ _"]:
    """Of one list over the protocols' images, such as the trials that may select a network."""
    numbers = episodes.needed()
    return score_lists(scorer, unpack_rows(protocols.bits[numbers]), [episodes.renumbered(numbers)])[0]


def score_verification(
    scorer: SiameseScorer, protocols: Protocols, pairs: Pairs | None = None
) -> Bool[np.ndarray, " pairs"]:
    """Of the test pairs, or of others over the same images."""
    return verify(scorer, protocols.bits, protocols.verification if pairs is None else pairs)


def summarise(hits: Mapping[str, Hits]) -> dict[str, dict[str, Any]]:
    """Share of right answers by benchmark, with n and 95 % interval; those with rising N-way are left out."""
    return {name: asdict(accuracy(of_list[0])) for name, of_list in hits.items() if name not in RISING_WAYS}


def summarise_rising(scorer: str, hits: Mapping[str, Hits], n_first: int = 2) -> list[dict[str, Any]]:
    """Rows in %: accuracy at every N-way, from `n_first` up, on evaluation and training characters."""
    rows = []
    for name, characters in RISING_WAYS.items():
        for n_way, of_list in enumerate(hits.get(name, []), n_first):
            mean = accuracy(of_list)
            rows.append(
                {"scorer": scorer, "characters": characters, "n_way": n_way, "percent": 100 * mean.value,
                 "low": 100 * mean.low, "high": 100 * mean.high, "n": mean.n}
            )  # fmt: skip
    return rows


def summarise_hits(hits: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    return asdict(mean_of_hits(hits))
