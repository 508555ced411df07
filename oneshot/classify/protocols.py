"""All that networks are trained and judged on: Omniglot as published, synthetic alphabets, own images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from oneshot.classify.benchmarks import draw_benchmark, sha256_of_lists
from oneshot.classify.episodes import Episodes, mixed_classes, rising_ways, within_alphabets
from oneshot.classify.pairs import Pairs, PairSource, background_source, draw_set, koch_source, make_source
from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes, omniglot_classes, unpack_turned
from oneshot.omniglot.drawings import Drawings
from oneshot.omniglot.own_images import FEWEST_IMAGES, SPLITS, OwnImages
from oneshot.params import OtherImages
from oneshot.published import (
    RISING_WAYS,
    SELECTION,
    SELECTION_LIST,
    VALIDATION,
    VALIDATION_LIST,
    VERIFICATION,
    read_facts,
)

VERIFICATION_SEED, OTHER_SEED = 20, 30
CHARACTER_SETS = dict(zip(SPLITS, ("train", "eval", "test"), strict=True))  # of synthetic alphabets


@dataclass(frozen=True, eq=False)
class Protocols:
    """Images by number, and the lists of pairs and episodes over them.

    bits: packed images, as in `Drawings`; lists may also show them turned, see `unpack`. source: omniglot,
    synthetic or own images.
    training: classes to draw training episodes from; training_and_validation: the same with those of the
    validation alphabets, which on Omniglot are all 40 alphabets that the paper calls background. pairs,
    background: what pairs are drawn from, by split; background is the easier protocol on images_background
    alone, and None without drawers in common.
    validation: the trials that may select a network, as few as published; selection: many of the same kind.
    verification: the test pairs; threshold_pairs: validation pairs, on which their threshold may be chosen.
    lists: by name a way to draw a benchmark, one list or one for every N-way.
    """

    source: str
    bits: UInt8[np.ndarray, "n 105 14"]
    training: Classes
    training_and_validation: Classes
    pairs: Mapping[str, PairSource]
    background: Mapping[str, PairSource] | None
    validation: Episodes
    selection: Episodes
    verification: Pairs
    threshold_pairs: Pairs
    lists: Mapping[str, Callable[[], list[Episodes]]]

    def unpack(self, numbers: Int32[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 105 105"]:
        """Unpack the images that lists name by number, turned ones among them: ink 1, paper 0."""
        return unpack_turned(self.bits, numbers)

    def describe(self) -> dict[str, Any]:
        """Give every protocol's size and checksum, as metrics hold them."""
        described: dict[str, Any] = {name: describe_lists(draw()) for name, draw in self.lists.items()}
        described[VALIDATION] = describe_lists([self.validation])
        described[SELECTION] = describe_lists([self.selection])
        pairs = {VERIFICATION: self.verification, "verification/threshold": self.threshold_pairs}
        sizes = {name: {"n_pairs": len(some), "sha256": some.sha256()} for name, some in pairs.items()}
        return described | sizes


def draw_once(protocols: Protocols) -> Protocols:
    """Keep every list of the protocols that was drawn: all of Omniglot's take ten seconds."""
    return replace(protocols, lists={name: cache(draw) for name, draw in protocols.lists.items()})


def describe_lists(lists: list[Episodes]) -> dict[str, Any]:
    first, last = lists[0], lists[-1]
    return {
        "n_way": first.n_way if len(lists) == 1 else [first.n_way, last.n_way],
        "n_shot": first.n_shot,
        "n_episodes": sum(map(len, lists)),
        "n_queries": sum(episodes.queries.size for episodes in lists),
        "sha256": sha256_of_lists(lists),
    }


def find_protocols(drawings: Drawings, sizes: OtherImages) -> Protocols:
    """Find those of Omniglot as published; synthetic alphabets have smaller ones of their own."""
    return omniglot_protocols(drawings) if drawings.source == "omniglot" else other(drawings, sizes)


def omniglot_protocols(drawings: Drawings) -> Protocols:
    """Make Koch's splits, and all benchmarks of oneshot/published/episodes.json.

    Raises:
        ParameterError, ChecksumError: these are not all of Omniglot's drawings.
    """
    names = [
        name for name in read_facts("episodes")["benchmarks"] if name not in (VALIDATION_LIST, SELECTION_LIST)
    ]
    pairs = {split: koch_source(drawings, split) for split in SPLITS}
    n_pairs = read_facts("koch")["n_verification_pairs"]
    training = omniglot_classes(drawings, drawings.character_sets == "train")
    is_validation = np.isin(drawings.alphabets, read_facts("episodes")["alphabets"]["validation"])
    return Protocols(
        source=drawings.source,
        bits=drawings.numbered(),
        training=training,
        training_and_validation=join_classes(training, omniglot_classes(drawings, is_validation)),
        pairs=pairs,
        background={split: background_source(drawings, split) for split in SPLITS},
        validation=draw_benchmark(VALIDATION_LIST, drawings)[0],
        selection=draw_benchmark(SELECTION_LIST, drawings)[0],
        verification=draw_set(pairs["test"], n_pairs, VERIFICATION_SEED),
        threshold_pairs=draw_set(pairs["validation"], n_pairs, VERIFICATION_SEED),
        lists={name: partial(draw_benchmark, name, drawings) for name in names},
    )


def join_classes(first: Classes, second: Classes) -> Classes:
    """Join classes whose numbers count the same images."""
    same_drawers = first.same_drawers and second.same_drawers
    return Classes(first.images + second.images, first.alphabets + second.alphabets, same_drawers)


def other(drawings: Drawings, sizes: OtherImages) -> Protocols:
    """Make those of synthetic alphabets, by character set."""
    classes = {
        split: omniglot_classes(drawings, drawings.character_sets == name)
        for split, name in CHARACTER_SETS.items()
    }
    background = {split: background_source(drawings, split) for split in SPLITS}
    return from_classes(drawings.source, drawings.numbered(), classes, classes["train"], background, sizes)


def own_protocols(images: OwnImages, sizes: OtherImages) -> Protocols:
    """Make those of own images: copies are trained on, but never shown or asked in a test.

    Raises:
        ParameterError: a split has too few classes, with two images each, for N-way or for pairs.
    """
    classes = {split: images.classes(split, copies=False, least_images=FEWEST_IMAGES) for split in SPLITS}
    training = images.classes("train", copies=True)
    return from_classes("own images", images.bits, classes, training, None, sizes)


def from_classes(
    source: str,
    bits: UInt8[np.ndarray, "n 105 14"],
    classes: Mapping[str, Classes],
    training: Classes,
    background: Mapping[str, PairSource] | None,
    sizes: OtherImages,
) -> Protocols:
    """Draw one-shot episodes over mixed classes, and within those alphabets that have enough classes."""
    for split in ("validation", "test"):
        if len(classes[split]) < sizes.n_way:
            raise ParameterError(
                f"{sizes.n_way}-way needs {sizes.n_way} classes with two images or more for {split}: there "
                f"are {len(classes[split])}; add classes, or lower other_images.n_way."
            )
    test, n_way, n = classes["test"], sizes.n_way, sizes.n_episodes

    def draw(number: int) -> np.random.Generator:
        return np.random.default_rng((OTHER_SEED, number))

    mixed = f"mixed-{n_way}-way-1-shot"
    lists: dict[str, Callable[[], list[Episodes]]] = {
        mixed: lambda: [mixed_classes(test, n_way, 1, n, draw(0), protocol=mixed)]
    }
    alphabets = [name for name in dict.fromkeys(test.alphabets) if test.alphabets.count(name) >= n_way]
    if alphabets:
        n_times = -(-n // len(alphabets))
        lists["within-alphabet"] = lambda: [
            within_alphabets(test, alphabets, n_times, draw(1), n_way, n_way, "within-alphabet")
        ]
    for number, (name, split) in enumerate(zip(RISING_WAYS, ("test", "train"), strict=True), 2):
        if len(classes[split]) > 1:  # of training, those with two images or more
            lists[name] = partial(draw_rising, classes[split], n, (OTHER_SEED, number), name)
    pairs = {"train": source_of_classes(training)}
    pairs |= {split: source_of_classes(classes[split]) for split in ("validation", "test")}
    validation = mixed_classes(classes["validation"], n_way, 1, n, draw(4), protocol="validation")
    return Protocols(
        source=source,
        bits=bits,
        training=training,
        training_and_validation=join_classes(training, classes["validation"]),
        pairs=pairs,
        background=background,
        validation=validation,
        selection=validation,
        verification=draw_set(pairs["test"], sizes.n_verification_pairs, VERIFICATION_SEED),
        threshold_pairs=draw_set(pairs["validation"], sizes.n_verification_pairs, VERIFICATION_SEED),
        lists=lists,
    )


def draw_rising(classes: Classes, n_trials: int, seed: tuple[int, int], name: str) -> list[Episodes]:
    """Draw as many N-ways of the tutorial's plot as there are classes for."""
    first, last = read_facts("episodes")["benchmarks"][name]["ways"]
    ways = range(first, min(last, len(classes)) + 1)
    return rising_ways(classes, ways, n_trials, np.random.default_rng(seed), name)


def source_of_classes(classes: Classes) -> PairSource:
    """Pair within alphabets; over all classes if any alphabet has but one, with none to differ from."""
    alphabets = list(classes.alphabets)
    if any(alphabets.count(name) == 1 for name in alphabets):
        alphabets = ["all"] * len(alphabets)
    return make_source([images.tolist() for images in classes.images], alphabets)
