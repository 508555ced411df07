"""Which of some classes a drawing of one's own shows, and whether it shows any of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from oneshot.classify.pairs import Pairs
from oneshot.classify.scoring import NetworkScorer, encode_pairs, find_threshold, score_queries
from oneshot.errors import ParameterError
from oneshot.published import read_facts


@dataclass(frozen=True)
class Ranking:
    """Answer to one query: all classes, the most alike first, and their scores.

    score_name: what the scores are: a cosine in -1..1, the probability that two drawings are of one class,
    where half of all pairs are, or minus the squared distance of codes. None is calibrated for a number of
    classes. A class with several images has the mean of their scores, by prototypical networks the score of
    their prototype. rejected: the best score is below `reject_below`.
    """

    query: str
    classes: tuple[str, ...]
    scores: tuple[float, ...]
    score_name: str
    network: str
    reject_below: float | None
    rejected: bool


def rank_queries(
    scorer: NetworkScorer,
    network: str,
    queries: Sequence[tuple[str, UInt8[np.ndarray, "105 105"]]],
    support: Mapping[str, Sequence[UInt8[np.ndarray, "105 105"]]],
    reject_below: float | None,
) -> list[Ranking]:
    """Rank the classes for every query, a name and an image, of a network of a name. Images: ink 1, paper 0.

    Raises:
        ParameterError: there is no query, no class, or a class without images.
    """
    empty = [name for name, images in support.items() if not len(images)]
    if not queries or not support or empty:
        what = f"the class {empty[0]!r}" if empty else "queries" if support else "the support set"
        raise ParameterError(f"there are no images of {what}: give at least one.")
    asked = scorer.encode(np.stack([image for _, image in queries]))
    of_classes = [
        score_queries(scorer, asked, scorer.encode(np.stack([*images])), 1, len(images))
        for images in support.values()
    ]
    with torch.no_grad():
        scores = scorer.net.present(torch.cat(of_classes, 1)).cpu().numpy()
    names = [*support]
    rankings = []
    for (query, _), found in zip(queries, scores, strict=True):
        order = np.argsort(-found, kind="stable")
        rankings.append(
            Ranking(
                query,
                tuple(names[k] for k in order),
                tuple(float(found[k]) for k in order),
                scorer.net.score_name,
                network,
                reject_below,
                reject_below is not None and bool(found.max() < reject_below),
            )
        )
    return rankings


@torch.no_grad()
def choose_rejection(
    scorer: NetworkScorer, bits: UInt8[np.ndarray, "n 105 14"], pairs: Pairs
) -> tuple[float, float]:
    """Choose the score above which a pair is best called one class, and give the share of right ones.

    bits: packed images that the pairs' numbers count.
    """
    codes, first, second = encode_pairs(scorer, bits, pairs)
    logits = torch.cat(
        [scorer.compare(codes[a, None], codes[b, None])[0] for a, b in zip(first, second, strict=True)]
    )
    scores = scorer.net.present(logits).numpy()
    threshold = find_threshold(scores, pairs.same)
    return threshold, float(((scores > threshold) == pairs.same).mean())


def find_rejection(name: str, weights_sha256: str) -> float:
    """Look up the threshold that was chosen on validation pairs for a released network.

    Raises:
        ParameterError: none was chosen for these weights.
    """
    found = read_facts("thresholds")["networks"].get(name)
    if found is None or found["weights_sha256"] != weights_sha256:
        raise ParameterError(
            f"no threshold was chosen for these weights of {name}: give a number for reject_below, or choose "
            "one by python -m stages.record.thresholds."
        )
    return float(found["threshold"])
