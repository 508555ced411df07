"""Benchmarks as explicit lists of episodes: the images shown, those asked, and the right answers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int32

from oneshot.errors import ParameterError
from oneshot.omniglot.classes import Classes


@dataclass(frozen=True, eq=False)
class Episodes:
    """N-way k-shot episodes of one protocol, one a row.

    support: image numbers, class by class, n_shot of each class in a row. queries: image numbers.
    answers: of each query the class, 0 to n_way - 1, in the order of the support set.
    """

    protocol: str
    n_way: int
    n_shot: int
    support: Int32[np.ndarray, "episodes shown"]
    queries: Int32[np.ndarray, "episodes queries"]
    answers: Int32[np.ndarray, "episodes queries"]

    def __post_init__(self) -> None:
        if self.support.shape[1] != self.n_way * self.n_shot:
            raise ParameterError(
                f"{self.n_way}-way {self.n_shot}-shot episodes cannot have {self.support.shape[1]} images "
                "in their support sets"
            )

    def __len__(self) -> int:
        return len(self.support)

    def sha256(self) -> str:
        """Give the hexadecimal SHA-256 of n_way, n_shot and the three arrays, not of the protocol's name."""
        digest = hashlib.sha256()
        for array in (np.array([self.n_way, self.n_shot]), self.support, self.queries, self.answers):
            digest.update(np.array(array.shape, "<i4").tobytes())
            digest.update(array.astype("<i4").tobytes())
        return digest.hexdigest()

    def needed(self) -> Int32[np.ndarray, " n"]:
        """List the numbers of all images that occur, ascending."""
        return np.unique(np.concatenate([self.support.ravel(), self.queries.ravel()]))

    def renumbered(self, numbers: Int32[np.ndarray, " n"]) -> "Episodes":
        """Give the same episodes over a choice of the images: numbers, ascending, says which were kept.

        So ``pick_drawings(drawings, numbers)`` stands in for 358 MB of all drawings.
        """
        support, queries = (
            np.searchsorted(numbers, old).astype(np.int32) for old in (self.support, self.queries)
        )
        return replace(self, support=support, queries=queries)


def within_alphabets(
    classes: Classes,
    alphabets: Sequence[str],
    n_times: int,
    generator: np.random.Generator,
    n_way: int = 20,
    n_queries: int = 20,
    protocol: str = "within alphabets",
    *,
    n_shot: int = 1,
    mixed_drawers: bool = False,
) -> Episodes:
    """Draw episodes within each alphabet: the support set by one drawer, queries by another.

    Each episode draws its characters and its two drawers anew; n_queries of its characters are asked once
    each. With mixed_drawers, and of classes without drawers in common (a user's own), every class gives
    n_shot + 1 images, whosever they are.

    Raises:
        ParameterError: an alphabet is unknown, or has fewer than n_way classes or than n_shot + 1 images of
            one, or several shots of one drawer are asked for, who drew each character once.
    Source: Koch 2015, section 4.3, after Lake 2015; mixed_drawers: github.com/jvlmdr/omniglot-eval, data.py.
    """
    episodes = []
    for alphabet in alphabets:
        members = classes.of_alphabet(alphabet)
        _check(members, n_way, n_shot, n_queries, f" in the alphabet {alphabet!r}")
        by_drawers = members.same_drawers and not mixed_drawers
        if by_drawers and n_shot > 1:
            raise ParameterError(f"{n_shot}-shot needs mixed drawers: each drew a character once")
        for _ in range(n_times):
            chosen = generator.permutation(len(members))[:n_way].tolist()
            if by_drawers:
                drawers = generator.permutation(len(members.images[0]))[:2]
                shown, asked = np.stack([members.images[k][drawers] for k in chosen], axis=1)
            else:
                images = _draw_images(members, chosen, n_shot + 1, generator)
                shown, asked = images[:, :n_shot].ravel(), images[:, n_shot]
            answers = generator.permutation(n_way)[:n_queries]
            episodes.append((shown, asked[answers], answers))
    return _stack(protocol, n_way, n_shot, episodes)


def mixed_classes(
    classes: Classes,
    n_way: int,
    n_shot: int,
    n_episodes: int,
    generator: np.random.Generator,
    n_queries: int | None = None,
    protocol: str = "mixed classes",
) -> Episodes:
    """Draw episodes over all classes, whatever their alphabet: the unstructured protocol, also MNIST's.

    n_queries: so many of an episode's classes are asked once each; all of them without it. Every class draws
    its own images, so that drawers mix as well; a query is none of the images shown.

    Raises:
        ParameterError: there are fewer than n_way classes, or than n_shot + 1 images of one.
    Source: Vinyals 2016, section 4.1.1, without the classes it makes by rotation; with n_queries = 1 the
    protocol of the tutorials after Koch, whose classes mix alphabets too.
    """
    n_queries = n_way if n_queries is None else n_queries
    _check(classes, n_way, n_shot, n_queries, "")
    episodes = []
    for _ in range(n_episodes):
        chosen = generator.permutation(len(classes))[:n_way].tolist()
        images = _draw_images(classes, chosen, n_shot + 1, generator)
        answers = generator.permutation(n_way)[:n_queries]
        episodes.append((images[:, :n_shot].ravel(), images[answers, n_shot], answers))
    return _stack(protocol, n_way, n_shot, episodes)


def rising_ways(
    classes: Classes, ways: Sequence[int], n_trials: int, generator: np.random.Generator, protocol: str
) -> list[Episodes]:
    """Draw one-shot episodes with one query each, n_trials for every N-way of `ways`, such as 2 to 60.

    Source: a well-known tutorial on Koch's network, that plots accuracy over N.
    """
    return [mixed_classes(classes, n_way, 1, n_trials, generator, 1, protocol) for n_way in ways]


def _draw_images(
    classes: Classes, chosen: list[int], n: int, generator: np.random.Generator
) -> Int32[np.ndarray, "chosen {n}"]:
    """Draw n different images of each chosen class."""
    members = [classes.images[k] for k in chosen]
    return np.stack([images[generator.permutation(len(images))[:n]] for images in members])


def _check(classes: Classes, n_way: int, n_shot: int, n_queries: int, where: str) -> None:
    if n_way < 1 or n_shot < 1:
        raise ParameterError(f"{n_way}-way {n_shot}-shot is no task: both must be at least 1")
    if not 1 <= n_queries <= n_way:
        raise ParameterError(f"an episode of {n_way} classes cannot ask {n_queries} of them once each")
    if len(classes) < n_way:
        raise ParameterError(f"{n_way}-way needs {n_way} classes: there are {len(classes)}{where}")
    fewest = min(len(images) for images in classes.images)
    if fewest <= n_shot:
        raise ParameterError(
            f"{n_shot}-shot needs {n_shot + 1} images of every class, the last one as its query: "
            f"one class{where} has {fewest}"
        )


def _stack(
    protocol: str, n_way: int, n_shot: int, episodes: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> Episodes:
    if not episodes:
        raise ParameterError(f"a benchmark needs at least one episode ({protocol})")
    support, queries, answers = (np.stack(arrays).astype(np.int32) for arrays in zip(*episodes, strict=True))
    return Episodes(protocol, n_way, n_shot, support, queries, answers)
