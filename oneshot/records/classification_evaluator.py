"""Evaluation of recorded classification networks: every answer on all protocols."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from oneshot.classify.nets import NETS
from oneshot.classify.nets.network import Network
from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import Protocols
from oneshot.classify.scoring import (
    VALIDATION,
    NetworkScorer,
    Outside,
    list_scored,
    score_everything,
    score_list,
)
from oneshot.published import BEST_THRESHOLD, SELECTION
from oneshot.records.results import Scores
from oneshot.training.speed import evaluation_speed
from oneshot.training.tensors import Precision, load_network

# Of the deciding protocol's answers, and at least one: by so many the number of right ones may differ, up or
# down, for a smaller file to be good enough. To be better by chance is no reason to choose a file.
MOST_MOVED = 0.002


class ProtocolEvaluator:
    """An evaluator of classification networks for `oneshot.records.release`.

    A smaller file is good enough if it moves the validation trials by 0.2 points at most, also where the
    network was trained on their alphabets; no test has a say in that.
    """

    smaller: tuple[Precision, ...] = ("int8", "float16")
    deciding = (SELECTION,)

    def __init__(
        self, protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs], device: str,
        recipe: str,
    ) -> None:  # fmt: skip
        self.protocols, self.outside, self.pairs, self.device = protocols, outside, pairs, device
        self.everything = tuple(list_scored(protocols, outside, pairs, recipe))

    def score_file(self, path: Path, selection: Iterable[str]) -> dict[str, np.ndarray]:
        scorer = NetworkScorer(load_network(path, NETS)[0], evaluation_speed(self.device))
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
        """Estimate from the validation trials, once encoded and once scored."""
        assert isinstance(net, Network)
        scorer, trials = NetworkScorer(net, evaluation_speed(self.device)), self.protocols.validation
        images = self.protocols.unpack(trials.needed())
        an_image = measure(lambda: scorer.encode(images)[0].cpu()) / len(images)
        scoring = measure(lambda: score_list(scorer, self.protocols, trials))
        an_episode = max(0.0, scoring - an_image * len(images)) / len(trials)
        seconds = 0.0
        for names in (self.everything, *[self.deciding] * (1 + len(self.smaller))):
            n_images, n_episodes = self.count(names)
            seconds += an_image * n_images + an_episode * n_episodes
        return seconds

    def count(self, names: Iterable[str]) -> tuple[int, int]:
        """Count images to be encoded, those of the protocols' lists once for all, and episodes."""
        protocols = self.protocols
        shared = [episodes for name, draw in protocols.lists.items() if name in names for episodes in draw()]
        trials = {VALIDATION: protocols.validation, SELECTION: protocols.selection}
        trials |= {name: one.episodes for name, one in self.outside.items()}
        alone = [trials[name] for name in names if name in trials]
        n_images = len(np.unique(np.concatenate([one.needed() for one in shared]))) if shared else 0
        n_images += sum(len(one.needed()) for one in alone)
        pairs = dict(self.pairs)
        if BEST_THRESHOLD in pairs:  # its own pairs are encoded for verification
            pairs[BEST_THRESHOLD] = protocols.threshold_pairs
        n_images += sum(len(np.unique(pairs[name].drawings)) for name in names if name in pairs)
        return n_images, sum(map(len, shared + alone))


def measure(work: Callable[[], Any]) -> float:
    """Measure seconds, the fewer of two: the first may have to load what it runs. `work` reads back."""
    readings = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        readings.append(time.perf_counter() - started)
    return min(readings)
