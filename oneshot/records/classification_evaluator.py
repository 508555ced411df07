"""Evaluation of recorded classification networks: every answer on all protocols."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from oneshot.classify.episodes import Episodes
from oneshot.classify.nets import NETS
from oneshot.classify.nets.network import Network
from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import RISING_WAYS, Protocols
from oneshot.classify.scoring import (
    BATCH_IMAGES,
    SELECTION,
    VALIDATION,
    NetworkScorer,
    Outside,
    Scorer,
    score_everything,
    score_lists,
)
from oneshot.omniglot.drawings import unpack_rows
from oneshot.records.results import Scores
from oneshot.training.speed import Speed
from oneshot.training.tensors import Precision, load_network

# Of the deciding protocol's answers, and at least one: by so many the number of right ones may differ, up or
# down, for a smaller file to be good enough. To be better by chance is no reason to choose a file.
MOST_MOVED = 0.002
MIXED = "mixed-"  # begins the names of protocols that need ten times as many images as the others
MEASURED_IMAGES = 2 * BATCH_IMAGES
MEASURED_EPISODES = 10  # of every list


class ProtocolEvaluator:
    """An evaluator of classification networks for `oneshot.records.release`.

    A smaller file is good enough if it moves the selection trials by 0.2 points at most; no test has a say in
    that. Lost points are computed of all protocols but those of mixed alphabets and of rising N-way, which
    need ten times as many images.
    """

    smaller: tuple[Precision, ...] = ("int8", "float16")
    deciding = (SELECTION,)

    def __init__(
        self, protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs], device: str
    ) -> None:
        self.protocols, self.outside, self.pairs, self.device = protocols, outside, pairs, device
        self.everything = (*outside, *protocols.lists, VALIDATION, SELECTION, *pairs)
        self.compared = tuple(
            name for name in self.everything if name not in RISING_WAYS and not name.startswith(MIXED)
        )

    def score_file(self, path: Path, selection: Iterable[str]) -> dict[str, np.ndarray]:
        scorer = NetworkScorer(load_network(path, NETS)[0], Speed(self.device))
        return score_everything(scorer, self.protocols, self.outside, self.pairs, selection)

    def is_as_good(self, whole: Scores, smaller: Scores) -> bool:
        return all(
            abs(int(whole[name].sum()) - int(found.sum())) <= max(1, MOST_MOVED * found.size)
            for name, found in smaller.items()
        )

    def lost_points(self, whole: Scores, smaller: Scores) -> dict[str, float]:
        return {
            name: 100 * (float(found.mean()) - float(smaller[name].mean())) for name, found in whole.items()
        }

    def measure_seconds(self, net: nn.Module) -> float:
        """Estimate from a few batches of images and a few episodes of every list."""
        assert isinstance(net, Network)
        scorer = NetworkScorer(net, Speed(self.device))
        protocols = self.protocols
        images = unpack_rows(protocols.bits[np.arange(MEASURED_IMAGES) % len(protocols.bits)])
        encoded = Encoded(scorer, scorer.encode(images)[0])
        an_image = fastest(lambda: scorer.encode(images)[0].cpu()) / MEASURED_IMAGES
        lists = {name: draw() for name, draw in protocols.lists.items()}
        alone = {name: [one.episodes] for name, one in self.outside.items()}
        alone |= {VALIDATION: [protocols.validation], SELECTION: [protocols.selection]}
        needed = {
            name: np.unique(np.concatenate([episodes.needed() for episodes in of_name]))
            for name, of_name in (lists | alone).items()
        }
        needed |= {name: np.unique(some.drawings) for name, some in self.pairs.items()}
        comparing = {
            name: sum(measure_comparing(encoded, episodes) for episodes in of_name)
            for name, of_name in (lists | alone).items()
        }

        def cost(names: Iterable[str]) -> float:
            together = [needed[name] for name in names if name in lists]  # encoded once for all of them
            n_images = len(np.unique(np.concatenate(together))) if together else 0
            n_images += sum(len(needed[name]) for name in names if name not in lists)
            return an_image * n_images + sum(comparing.get(name, 0.0) for name in names)

        return cost(self.everything) + cost(self.compared) + len(self.smaller) * cost(self.deciding)


class Encoded:
    """A scorer whose codes are there already: for measuring how long the comparing takes."""

    def __init__(self, scorer: Scorer, code: Float[Tensor, " c"]) -> None:
        self.code, self.compare = code, scorer.compare

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n c"]:
        return self.code.expand(len(images), -1)


def measure_comparing(encoded: Encoded, episodes: Episodes) -> float:
    """Measure seconds for all of a list, from its first episodes."""
    n = MEASURED_EPISODES
    some = replace(
        episodes, support=episodes.support[:n], queries=episodes.queries[:n], answers=episodes.answers[:n]
    )
    some = some.renumbered(some.needed())
    images = np.zeros((len(some.needed()), 1, 1), np.uint8)
    return fastest(lambda: score_lists(encoded, images, [some])) * len(episodes) / len(some)


def fastest(work: Callable[[], Any]) -> float:
    """Measure seconds, the fewer of two: the first may have to load what it runs. `work` reads back."""
    readings = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        readings.append(time.perf_counter() - started)
    return min(readings)
