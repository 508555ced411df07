"""From a trained classifier to the file that is released, and that file's own answers on every protocol."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from oneshot.classify.classifiers import BACKGROUND, PROTONET, Net, background_pairs, make_scorer
from oneshot.classify.episode_scores import Scorer, score_lists
from oneshot.classify.episodes import Episodes
from oneshot.classify.pairs import Pairs
from oneshot.classify.protocols import RISING_WAYS, Protocols, describe_lists
from oneshot.classify.scorers import BATCH_IMAGES, SiameseScorer
from oneshot.classify.scoring import (
    Outside,
    score_list,
    score_protocols,
    score_verification,
)
from oneshot.classify.weights import Precision, load_scorer, save_scorer
from oneshot.omniglot.drawings import unpack_rows
from oneshot.records.classification_answers import Answers
from oneshot.records.classification_run import (
    BACKGROUND_VERIFICATION,
    SELECTION,
    VALIDATION,
    VERIFICATION,
)
from oneshot.training.speed import Speed

# Of the deciding protocol's answers, and at least one: by so many the number of right ones may differ, up or
# down, for a smaller file to be good enough. To be better by chance is no reason to choose a file.
SHARE_MOVED = 0.002
PRECISIONS: tuple[Precision, ...] = ("int4", "int8", "float16", "float32")  # the smallest first
LARGEST_BYTES = 45 * 2**20  # of a released file, which lies in Git; where nothing smaller is as good, 8 bits
MIXED = "mixed-"  # begins the names of protocols that need ten times as many images as the others
MEASURED_IMAGES = 2 * BATCH_IMAGES
MEASURED_EPISODES = 10  # of every list
BACKGROUND_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class ScorerRelease:
    """What was written: its number format, its answers, and the points that the format costs, by protocol."""

    precision: Precision
    answers: Answers
    lost_points: dict[str, float]


def draw_once(protocols: Protocols) -> Protocols:
    """The same protocols, which keep every list that was drawn: all of Omniglot's take ten seconds."""
    return replace(protocols, lists={name: cache(draw) for name, draw in protocols.lists.items()})


def pairs_to_judge(protocols: Protocols, recipe: str) -> dict[str, Pairs]:
    """By protocol; prototypical networks judge none, and the background recipe has its own, too."""
    if recipe == PROTONET:
        return {}
    pairs = {VERIFICATION: protocols.verification}
    if recipe == BACKGROUND and protocols.background is not None:
        for split in BACKGROUND_SPLITS:
            pairs[f"{BACKGROUND_VERIFICATION}/{split}"] = background_pairs(protocols, split)
    return pairs


def describe_answered(
    protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs]
) -> dict[str, dict[str, Any]]:
    """Size and checksum of every protocol that `answer` answers, as records hold them."""
    described = {name: describe_lists([one.episodes]) for name, one in outside.items()}
    described |= {name: describe_lists(draw()) for name, draw in protocols.lists.items()}
    described[VALIDATION] = describe_lists([protocols.validation])
    described[SELECTION] = describe_lists([protocols.selection])
    return described | {name: {"n_pairs": len(some), "sha256": some.sha256()} for name, some in pairs.items()}


def answer(
    scorer: Scorer,
    protocols: Protocols,
    outside: Mapping[str, Outside],
    pairs: Mapping[str, Pairs],
    names: Iterable[str],
) -> dict[str, np.ndarray]:
    """Right answers, 1, and wrong ones, 0, on the named protocols: see `Answers`."""
    wanted = set(names)
    answers = {}
    for name, hits in score_protocols(scorer, protocols, outside, wanted).items():
        answers[name] = np.stack([of_list.ravel() for of_list in hits]) if name in RISING_WAYS else hits[0]
    for name, episodes in ((VALIDATION, protocols.validation), (SELECTION, protocols.selection)):
        if name in wanted:
            answers[name] = score_list(scorer, protocols, episodes)
    for name, some in pairs.items():
        if name in wanted:
            assert isinstance(scorer, SiameseScorer)
            answers[name] = score_verification(scorer, protocols, some)
    return {name: found.astype(np.uint8) for name, found in answers.items()}


@dataclass(frozen=True)
class Names:
    """Of protocols: every one, and those that are answered in single precision, too."""

    every: list[str]
    few: list[str]


def choose_names(protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs]) -> Names:
    every = [*outside, *protocols.lists, VALIDATION, SELECTION, *pairs]
    few = [name for name in every if name not in RISING_WAYS and not name.startswith(MIXED)]
    return Names(every, few)


def release(
    net: Net, about: dict[str, Any], path: Path, protocols: Protocols, outside: Mapping[str, Outside],
    pairs: Mapping[str, Pairs], *, device: str,
) -> ScorerRelease:  # fmt: skip
    """Write the smallest file that moves the selection trials by 0.2 points at most, and answer with it.

    No test has a say in that. Where only a file above 45 MiB does, one of 8 bits is written all the same.
    Lost points are told of all protocols but those of mixed alphabets and of rising N-way, which need ten
    times as many images.
    """
    names = choose_names(protocols, outside, pairs)

    def answer_file(file: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
        scorer = make_scorer(load_scorer(file)[0], Speed(device))
        return answer(scorer, protocols, outside, pairs, names)

    beside = path.with_name(path.name + ".released.partial")
    try:
        save_scorer(beside, net, about)
        whole = answer_file(beside, names.few)
        for precision in PRECISIONS:
            save_scorer(beside, net, about, precision)
            if beside.stat().st_size > LARGEST_BYTES:
                precision = "int8"
                save_scorer(beside, net, about, precision)
                break
            if is_as_good(whole, answer_file(beside, [SELECTION])):
                break
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    answers = answer_file(path, names.every)
    return ScorerRelease(precision, answers, lost_points(whole, answers))


def is_as_good(whole: Answers, smaller: Answers) -> bool:
    """Whether the second is right as often, but for 0.2 points or one answer, on all that it has."""
    return all(
        abs(int(whole[name].sum()) - int(found.sum())) <= max(1, SHARE_MOVED * found.size)
        for name, found in smaller.items()
    )


def lost_points(whole: Answers, smaller: Answers) -> dict[str, float]:
    """By how many percentage points the second is right less often, on every protocol that both have."""
    return {
        name: 100 * (float(found.mean()) - float(smaller[name].mean()))
        for name, found in whole.items()
        if name in smaller
    }


class Answering:
    """A scorer whose codes are there already: for measuring how long the comparing takes."""

    def __init__(self, scorer: Scorer, code: Float[Tensor, " c"]) -> None:
        self.code, self.compare = code, scorer.compare

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n c"]:
        return self.code.expand(len(images), -1)


def measure_evaluation(
    scorer: Scorer, protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs]
) -> float:
    """Seconds that `release` takes at most, from a few batches of images and a few episodes of every list."""
    images = unpack_rows(protocols.bits[np.arange(MEASURED_IMAGES) % len(protocols.bits)])
    encoded = Answering(scorer, scorer.encode(images)[0])
    an_image = fastest(lambda: scorer.encode(images)[0].cpu()) / MEASURED_IMAGES
    lists = {name: draw() for name, draw in protocols.lists.items()}
    alone = {name: [one.episodes] for name, one in outside.items()}
    alone |= {VALIDATION: [protocols.validation], SELECTION: [protocols.selection]}
    needed = {
        name: np.unique(np.concatenate([episodes.needed() for episodes in of_name]))
        for name, of_name in (lists | alone).items()
    }
    needed |= {name: np.unique(some.drawings) for name, some in pairs.items()}
    comparing = {
        name: sum(measure_comparing(encoded, episodes) for episodes in of_name)
        for name, of_name in (lists | alone).items()
    }

    def cost(names: list[str]) -> float:
        together = [needed[name] for name in names if name in lists]  # encoded once for all of them
        n_images = len(np.unique(np.concatenate(together))) if together else 0
        n_images += sum(len(needed[name]) for name in names if name not in lists)
        return an_image * n_images + sum(comparing.get(name, 0.0) for name in names)

    names = choose_names(protocols, outside, pairs)
    return cost(names.every) + cost(names.few) + len(PRECISIONS) * cost([SELECTION])


def measure_comparing(encoded: Answering, episodes: Episodes) -> float:
    """Seconds for all of a list, from its first episodes."""
    n = MEASURED_EPISODES
    some = replace(
        episodes, support=episodes.support[:n], queries=episodes.queries[:n], answers=episodes.answers[:n]
    )
    some = some.renumbered(some.needed())
    images = np.zeros((len(some.needed()), 1, 1), np.uint8)
    return fastest(lambda: score_lists(encoded, images, [some])) * len(episodes) / len(some)


def fastest(work: Callable[[], Any]) -> float:
    """Seconds, of two times: the first may have to load what it runs. `work` reads back from its device."""
    readings = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        readings.append(time.perf_counter() - started)
    return min(readings)
