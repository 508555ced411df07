"""Scoring: scorers answer episodes, judge pairs, and go through all protocols; right answers come out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32, UInt8
from torch import Tensor

from oneshot.classify.benchmarks import asks_validation_alphabets
from oneshot.classify.episodes import Episodes
from oneshot.classify.nets.network import Network, set_order
from oneshot.classify.pairs import Pairs, draw_set
from oneshot.classify.protocols import Protocols, describe_lists
from oneshot.omniglot.drawings import unpack_rows
from oneshot.params import BACKGROUND, WITH_VALIDATION
from oneshot.published import (
    BACKGROUND_VERIFICATION,
    BEST_THRESHOLD,
    RISING_WAYS,
    SELECTION,
    VALIDATION,
    VERIFICATION,
    read_facts,
)
from oneshot.training.memory import compute_in_batches, fill_up
from oneshot.training.speed import Speed

BATCH_SIZE = 256  # images given to a scorer at a time
BATCH_IMAGES = {"cpu": 32, "mps": 128, "cuda": 128}  # encoded at a time: what stays in a CPU's cache
UNPACKED_AT_ONCE = 1024  # images
COMPARED_AT_ONCE = 2**24  # numbers: 64 MB
BACKGROUND_SEED = 21  # of its validation and test pairs

Hits = list[Bool[np.ndarray, "_ _"]]


@runtime_checkable
class Scorer(Protocol):
    """Anything that tells how alike two images are: a trained network, or a baseline."""

    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Tensor:
        """Give one code an image, in the first axis."""

    def compare(self, queries: Tensor, supports: Tensor) -> Float[Tensor, "q s"]:
        """Score each query's code against each of the support set's: higher is more alike."""


class NetworkScorer:
    """A network as a scorer: codes in batches, on the device that `speed` names; its mode is put back."""

    def __init__(self, net: Network, speed: Speed | None = None) -> None:
        self.net = net
        self.speed = speed or Speed()
        set_order(net, self.speed.memory_format)
        self.encoder = self.speed.compile(self.speed.place(net).encoder)

    @torch.no_grad()
    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n c"]:
        """Encode images, ink 1 and paper 0. The codes stay on the device."""
        training = self.net.training
        self.net.eval()
        with self.speed.running():
            codes = [
                some[n_before:]
                for some, n_before in compute_in_batches(
                    partial(self.encode_batch, images), len(images), BATCH_IMAGES[self.speed.device_type],
                    what="drawings", device=self.speed.device, even=self.speed.even,
                )
            ]  # fmt: skip
        self.net.train(training)
        return torch.cat(codes)

    def encode_batch(self, images: UInt8[np.ndarray, "n h w"], which: slice) -> Float[Tensor, "some c"]:
        some = images[which]
        size = which.stop - which.start if self.speed.even else len(some)
        self.speed.begin_step()
        batch = torch.from_numpy(np.ascontiguousarray(fill_up(some, size))).to(self.speed.device)
        # A copy: replayed CUDA graphs write the next codes over these.
        return self.encoder(batch.float())[: len(some)].float().clone()

    @torch.no_grad()
    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        n_rows = max(1, COMPARED_AT_ONCE // supports.numel())
        return torch.cat([self.net.compare(some, supports) for some in queries.split(n_rows)])

    @torch.no_grad()
    def represent(self, supports: Float[Tensor, "n_way n_shot c"]) -> Float[Tensor, "n_way k c"]:
        return self.net.represent(supports)


def score_episodes(
    scorer: Scorer, images: UInt8[np.ndarray, "n h w"], episodes: Episodes
) -> Bool[np.ndarray, "episodes queries"]:
    """Score one list: does each query get the right class, the one whose support images are most alike?

    images: what the episodes' image numbers count. Each image that occurs is encoded once.
    A tie goes to the class that stands first in the support set, right or wrong.
    """
    return score_lists(scorer, images, [episodes])[0]


@torch.no_grad()
def score_lists(
    scorer: Scorer,
    images: UInt8[np.ndarray, "n h w"],
    lists: Sequence[Episodes],
    batch_size: int = BATCH_SIZE,
) -> Hits:
    """Score several lists as `score_episodes` does one, each image encoded once for all of them."""
    numbers = np.unique(np.concatenate([episodes.needed() for episodes in lists]))
    codes = _encode(scorer, images, numbers, batch_size)
    of_codes = [episodes.renumbered(numbers) for episodes in lists]
    return [_answer_list(scorer, codes, episodes) == episodes.answers for episodes in of_codes]


@torch.no_grad()
def find_mistakes(
    scorer: Scorer,
    images: UInt8[np.ndarray, "n h w"],
    episodes: Episodes,
    right: Bool[np.ndarray, "episodes queries"],
    n_most: int,
) -> UInt8[np.ndarray, "mistakes 3 h w"]:
    """Show up to `n_most` wrong answers, spread over the list: query, class that was answered, right class.

    images: what the episodes' image numbers count. right: what `score_episodes` gave for this list; only the
    episodes of which a mistake is shown are answered again. Of classes with several shots the first is shown.
    Answers that come out right this time, as equal scores can, are left out.
    """
    wrong = np.argwhere(~right)
    places = np.linspace(0, len(wrong) - 1, min(n_most, len(wrong))).round().astype(int)
    if not len(places):
        return images[:0, None].repeat(3, 1)
    episode, query = wrong[places].T
    support, asked = episodes.support[episode], episodes.queries[episode, query]
    answers = episodes.answers[episode, query]
    some = replace(episodes, support=support, queries=asked[:, None], answers=answers[:, None])
    numbers = some.needed()
    codes = _encode(scorer, images, numbers, BATCH_SIZE)
    found = _answer_list(scorer, codes, some.renumbered(numbers))[:, 0]
    each, shown = np.arange(len(found)), support[:, :: episodes.n_shot]
    numbers = np.stack([asked, shown[each, found], shown[each, answers]], 1)
    # Of equal scores rounding, which depends on what else is encoded, may now prefer the right class.
    return images[numbers[found != answers]]


def _encode(
    scorer: Scorer, images: UInt8[np.ndarray, "n h w"], numbers: Int32[np.ndarray, " m"], batch_size: int
) -> Tensor:
    """Encode the images of these numbers, in their order."""
    starts = range(0, len(numbers), batch_size)
    return torch.cat([scorer.encode(images[numbers[start : start + batch_size]]) for start in starts])


def score_queries(
    scorer: Scorer, queries: Tensor, supports: Tensor, n_way: int, n_shot: int
) -> Float[Tensor, "q {n_way}"]:
    """Score every class for every query of one episode, from codes.

    With several shots a class gets the mean of its images' scores, or that of the codes that the scorer makes
    of them, such as its prototype's.
    """
    classes = supports.unflatten(0, (n_way, n_shot))
    if hasattr(scorer, "represent"):
        classes = scorer.represent(classes)
    return scorer.compare(queries, classes.flatten(0, 1)).unflatten(1, classes.shape[:2]).mean(2)


def _answer_list(scorer: Scorer, codes: Tensor, episodes: Episodes) -> Int[np.ndarray, "episodes queries"]:
    """Give the class that is answered to every query."""
    # One transfer of numbers there, and one of answers back, for all episodes: each would make a GPU wait.
    numbers = np.concatenate([episodes.support, episodes.queries], 1)
    n_support = episodes.support.shape[1]
    answers = []
    for of_episode in torch.from_numpy(numbers).to(codes.device, torch.long):
        shown, asked = codes[of_episode[:n_support]], codes[of_episode[n_support:]]
        scores = score_queries(scorer, asked, shown, episodes.n_way, episodes.n_shot)
        answers.append(scores.argmax(1))  # the first of several maxima
    return torch.stack(answers).cpu().numpy()


def encode_packed(
    scorer: Scorer, bits: UInt8[np.ndarray, "n 105 14"], numbers: Int[np.ndarray, " k"]
) -> Float[Tensor, "k c"]:
    """Encode the packed images of these numbers, unpacked a part at a time."""
    parts = [numbers[start : start + UNPACKED_AT_ONCE] for start in range(0, len(numbers), UNPACKED_AT_ONCE)]
    return torch.cat([scorer.encode(unpack_rows(bits[part])) for part in parts])


@torch.no_grad()
def judge_pairs(
    scorer: NetworkScorer, bits: UInt8[np.ndarray, "n 105 14"], pairs: Pairs
) -> Float[np.ndarray, " pairs"]:
    """Give every pair's logit that both images are of one class, for networks whose scores are such logits.

    bits: packed images that the pairs' numbers count; each that occurs is encoded once.
    """
    codes, first, second = encode_pairs(scorer, bits, pairs)
    logits = [
        scorer.net.judge(codes[a], codes[b])
        for a, b in zip(first.split(UNPACKED_AT_ONCE), second.split(UNPACKED_AT_ONCE), strict=True)
    ]
    return torch.cat(logits).cpu().numpy()


def encode_pairs(
    scorer: NetworkScorer, bits: UInt8[np.ndarray, "n 105 14"], pairs: Pairs
) -> tuple[Float[Tensor, "k c"], Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Encode each packed image that occurs in pairs once, and say which code is a pair's first and second."""
    numbers, places = np.unique(pairs.drawings, return_inverse=True)
    codes = encode_packed(scorer, bits, numbers)
    first, second = torch.from_numpy(places.reshape(-1, 2)).to(codes.device).T
    return codes, first, second


def find_threshold(logits: Float[np.ndarray, " pairs"], same: Bool[np.ndarray, " pairs"]) -> float:
    """Find the logit above which a pair is best called the same class: the lowest with most right answers."""
    thresholds = np.concatenate([[-np.inf], np.unique(logits)])
    n_different = np.searchsorted(np.sort(logits[~same]), thresholds, side="right")
    n_same = same.sum() - np.searchsorted(np.sort(logits[same]), thresholds, side="right")
    return float(thresholds[np.argmax(n_different + n_same)])


def score_pairs(
    scorer: NetworkScorer, protocols: Protocols, pairs: Mapping[str, Pairs]
) -> dict[str, Bool[np.ndarray, " pairs"]]:
    """Verify sets of pairs by name: is each judged rightly, the same class at a probability above one half?

    BEST_THRESHOLD is judged by the logit that is best on the validation pairs instead, as table 1 may be.
    Source: Koch et al. 2015, sections 3.2 and 4.2.
    """
    judge = cache(partial(judge_pairs, scorer, protocols.bits))  # two names have the same pairs
    found = {}
    for name, some in pairs.items():
        threshold = 0.0
        if name == BEST_THRESHOLD:
            chosen_on = protocols.threshold_pairs
            threshold = find_threshold(judge(chosen_on), chosen_on.same)
        found[name] = (judge(some) > threshold) == some.same
    return found


@dataclass(frozen=True, eq=False)
class Outside:
    """A benchmark on images of its own, such as Lake's runs or MNIST."""

    images: UInt8[np.ndarray, "n 105 105"]
    episodes: Episodes


def score_protocols(
    scorer: Scorer, protocols: Protocols, outside: Mapping[str, Outside], names: Iterable[str]
) -> dict[str, Hits]:
    """Score benchmarks by name, each one list or one for every N-way: did each query get the right answer?

    Those of `protocols` share their images, of which each is encoded once. Names of none are left out.
    """
    wanted = set(names)
    lists = {name: draw() for name, draw in protocols.lists.items() if name in wanted}
    hits: dict[str, Hits] = {}
    if lists:
        every = [episodes for of_name in lists.values() for episodes in of_name]
        numbers = np.unique(np.concatenate([episodes.needed() for episodes in every]))
        images = protocols.unpack(numbers)
        found = iter(score_lists(scorer, images, [episodes.renumbered(numbers) for episodes in every]))
        hits = {name: [next(found) for _ in of_name] for name, of_name in lists.items()}
    # In their order: whoever guesses goes on with one stream of random numbers.
    for name, one in outside.items():
        if name in wanted:
            hits[name] = score_lists(scorer, one.images, [one.episodes])
    return hits


def score_list(scorer: Scorer, protocols: Protocols, episodes: Episodes) -> Bool[np.ndarray, "_ _"]:
    """Score one list over the protocols' images, such as the trials that may select a network."""
    numbers = episodes.needed()
    return score_lists(scorer, protocols.unpack(numbers), [episodes.renumbered(numbers)])[0]


def find_pairs(scorer: Scorer, protocols: Protocols, recipe: str = "") -> dict[str, Pairs]:
    """Give the pairs that a scorer verifies, by name: none if it judges no pairs; the recipe's own, too."""
    if not isinstance(scorer, NetworkScorer) or not scorer.net.judges_pairs:
        return {}
    pairs = dict.fromkeys((VERIFICATION, BEST_THRESHOLD), protocols.verification)
    if recipe == BACKGROUND and protocols.background is not None:
        n_pairs = read_facts("koch")["n_verification_pairs"]  # as many as the paper's verification has
        for split in ("validation", "test"):
            source = protocols.background[split]
            pairs[f"{BACKGROUND_VERIFICATION}/{split}"] = draw_set(source, n_pairs, BACKGROUND_SEED)
    return pairs


def list_scored(
    protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs], recipe: str
) -> list[str]:
    """List by name what networks of a recipe are scored on.

    One that trains on the validation alphabets, too, is not scored on what needs these. N-way accuracy on
    training characters is known as such and stays.
    """
    names = [*outside, *protocols.lists, VALIDATION, SELECTION, *pairs]
    if recipe != WITH_VALIDATION:
        return names
    unseen = () if protocols.source == "omniglot" else protocols.lists
    return [name for name in names if name in unseen or not asks_validation_alphabets(name)]


def score_everything(
    scorer: Scorer,
    protocols: Protocols,
    outside: Mapping[str, Outside],
    pairs: Mapping[str, Pairs],
    names: Iterable[str] | None = None,
) -> dict[str, UInt8[np.ndarray, "..."]]:
    """Give right answers, 1, and wrong ones, 0, by name: benchmarks, validation, selection, pairs.

    A benchmark is episodes x queries, one with rising N-way N x trials, pairs are one axis. names: all of
    them without it.
    """
    every = [*outside, *protocols.lists, VALIDATION, SELECTION, *pairs]
    wanted = set(every if names is None else names)
    found: dict[str, np.ndarray] = {}
    for name, hits in score_protocols(scorer, protocols, outside, wanted).items():
        found[name] = np.stack([of_list.ravel() for of_list in hits]) if name in RISING_WAYS else hits[0]
    for name, episodes in ((VALIDATION, protocols.validation), (SELECTION, protocols.selection)):
        if name in wanted:
            found[name] = score_list(scorer, protocols, episodes)
    if some := {name: of_name for name, of_name in pairs.items() if name in wanted}:
        assert isinstance(scorer, NetworkScorer)
        found |= score_pairs(scorer, protocols, some)
    return {name: found[name].astype(np.uint8) for name in every if name in found}


def describe_everything(
    protocols: Protocols, outside: Mapping[str, Outside], pairs: Mapping[str, Pairs]
) -> dict[str, dict[str, Any]]:
    """Give the size and checksum of all that `score_everything` scores, by name."""
    lists = {name: [one.episodes] for name, one in outside.items()}
    lists |= {name: draw() for name, draw in protocols.lists.items()}
    lists |= {VALIDATION: [protocols.validation], SELECTION: [protocols.selection]}
    described = {name: describe_lists(of_name) for name, of_name in lists.items()}
    return described | {name: {"n_pairs": len(some), "sha256": some.sha256()} for name, some in pairs.items()}
