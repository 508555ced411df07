"""Omniglot's drawings as data sets: single ones with their classes, benchmarks' episodes, and drawn tasks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int32, UInt8
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from oneshot.classify.benchmarks import draw_benchmark
from oneshot.errors import ParameterError
from oneshot.library import fetch_drawings
from oneshot.omniglot.classes import omniglot_classes, unpack_turned
from oneshot.omniglot.drawings import N_DRAWERS, Drawings
from oneshot.published import read_facts

# Names of character sets, Omniglot's own two and the project's; evaluation is eval and test.
CHARACTERS_OF = {
    "background": ("train",), "evaluation": ("eval", "test"),
    "train": ("train",), "eval": ("eval",), "test": ("test",),
}  # fmt: skip


class Episode(NamedTuple):
    """N-way k-shot episode, in the order of easy-few-shot-learning.

    support_images: Float32 (n_way * n_shot, 1, 105, 105), ink 1, paper 0, class by class.
    support_labels: Int64 (n_way * n_shot), of each its class, 0 to n_way - 1.
    query_images, query_labels: the same of the queries.
    true_class_ids: of each of the n_way classes its number in the data set's ``classes``.
    """

    support_images: Tensor
    support_labels: Tensor
    query_images: Tensor
    query_labels: Tensor
    true_class_ids: list[int]


@runtime_checkable
class HasLabels(Protocol):
    """Data set for few-shot learning, as easy-few-shot-learning defines it: it lists every item's class."""

    def get_labels(self) -> list[int]: ...


def unpack_images(
    bits: UInt8[np.ndarray, "images 105 14"], numbers: Int32[np.ndarray, " n"]
) -> Float32[Tensor, "n 1 105 105"]:
    """Unpack images by number, also turned ones: ink 1, paper 0."""
    return torch.from_numpy(unpack_turned(bits, numbers))[:, None].float()


class OmniglotDrawings(Dataset[tuple[Any, Any]]):
    """Drawings of some characters, each with the number of its class: pairs (image, class).

    An image is Float32 (1, 105, 105), ink 1, paper 0: torchvision's Omniglot has them the other way round.
    Class by class, the drawers of each in their order, as in the published archives.

    classes: alphabet/character of every class; class_to_idx: their numbers; targets: the class of every item.
    """

    def __init__(
        self,
        character_set: str,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        *,
        drawers: tuple[int, int] = (0, N_DRAWERS),
        drawings: Drawings | None = None,
    ) -> None:
        """Choose the drawings.

        character_set: background or evaluation, as Omniglot itself is divided; or of this project train (that
        is background), eval and test (halves of evaluation). transform: of an image; target_transform: of a
        class. drawers: the first, and the one before which to stop. drawings: None for Omniglot.

        Raises:
            ParameterError: there is no such character set, or no such drawers.
        """
        if character_set not in CHARACTERS_OF:
            raise ParameterError(
                f"there is no character set {character_set!r}; there are {', '.join(CHARACTERS_OF)}."
            )
        drawings = drawings or fetch_drawings()
        chosen = np.isin(drawings.character_sets, CHARACTERS_OF[character_set])
        of_classes = omniglot_classes(drawings, chosen, drawers).images
        self.bits = drawings.numbered()[np.concatenate(of_classes)]
        self.classes = list_class_names(drawings)[chosen].tolist()
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.targets = np.repeat(np.arange(len(of_classes)), [len(images) for images in of_classes]).tolist()
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return len(self.targets)

    def get_labels(self) -> list[int]:
        """List the class of every item, as few-shot samplers ask for it."""
        return self.targets

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        """Give several items, as a DataLoader asks for a batch: they are unpacked together."""
        if outside := [index for index in indices if not -len(self) <= index < len(self)]:
            raise IndexError(f"there is no drawing {outside[0]} among {len(self):,}.")
        images = unpack_images(self.bits, np.array(indices, np.int32) % len(self))
        return [
            (
                self.transform(image) if self.transform else image,
                self.target_transform(self.targets[index]) if self.target_transform else self.targets[index],
            )
            for image, index in zip(images, indices, strict=True)
        ]


class OmniglotEpisodes(Dataset[Episode]):
    """Episodes of a benchmark, the project's list of trials in its order, so that accuracies are comparable.

    To be read by ``DataLoader(episodes, batch_size=None)``. lists: the benchmark itself, one list or, of
    rising-ways, one for every N-way; classes: alphabet/character of all of Omniglot, and, where a benchmark
    turns drawings, four times, with the degrees anticlockwise at the end.
    """

    def __init__(
        self,
        benchmark: str,
        transform: Callable[[Tensor], Any] | None = None,
        *,
        drawings: Drawings | None = None,
    ) -> None:
        """Draw the benchmark and, on Omniglot, compare it with its published checksum.

        benchmark: of oneshot/published/episodes.json. transform: of each image, to tensors of one shape.
        drawings: None for Omniglot.

        Raises:
            ParameterError: there is no such benchmark, or the drawings are too few for it.
            ChecksumError: on Omniglot itself, the episodes differ from the published ones.
        """
        drawings = drawings or fetch_drawings()
        self.lists = draw_benchmark(benchmark, drawings)
        self.rows = [(episodes, row) for episodes in self.lists for row in range(len(episodes))]
        self.bits = drawings.numbered()
        self.transform = transform
        names = list_class_names(drawings).tolist()
        is_turned = read_facts("episodes")["benchmarks"][benchmark].get("turned")
        turned = [f"{name}/rot{degrees:03d}" for degrees in (0, 90, 180, 270) for name in names]
        self.classes = turned if is_turned else names

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Episode:
        episodes, row = self.rows[index]
        support, queries = episodes.support[row], episodes.queries[row]
        return Episode(
            support_images=self.unpack(support),
            support_labels=torch.arange(episodes.n_way).repeat_interleave(episodes.n_shot),
            query_images=self.unpack(queries),
            query_labels=torch.from_numpy(episodes.answers[row].astype(np.int64)),
            true_class_ids=(support[:: episodes.n_shot] // N_DRAWERS).tolist(),
        )

    def unpack(self, numbers: Int32[np.ndarray, " n"]) -> Tensor:
        """Unpack and transform images by number."""
        images = unpack_images(self.bits, numbers)
        return torch.stack([self.transform(image) for image in images]) if self.transform else images


class TaskSampler(Sampler[list[int]]):
    """Sampler of N-way k-shot tasks, to be the ``batch_sampler`` of a DataLoader.

    A task is the indices of n_shot + n_query items of each of n_way classes, class by class, the classes and
    the items drawn without repeats. `episodic_collate_fn` makes an `Episode` of them.
    """

    def __init__(
        self,
        dataset: HasLabels,
        n_way: int,
        n_shot: int,
        n_query: int,
        n_tasks: int,
        *,
        generator: torch.Generator,
    ) -> None:
        """Group the items of a data set by their class.

        n_query: queries of each class. generator: draws the tasks, and goes on where an iteration left it:
        the next one draws others. Tasks do not depend on the number of workers.

        Raises:
            ParameterError: a number is below 1, or there are too few classes, or items of one.
        """
        numbers = {"n_way": n_way, "n_shot": n_shot, "n_query": n_query, "n_tasks": n_tasks}
        if wrong := [f"{name} is {number}" for name, number in numbers.items() if number < 1]:
            raise ParameterError(f"{wrong[0]}; it must be at least 1.")
        labels = torch.tensor(dataset.get_labels())
        self.items = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
        if len(self.items) < n_way:
            raise ParameterError(f"{n_way}-way needs {n_way} classes: there are {len(self.items)}.")
        if (fewest := min(map(len, self.items))) < n_shot + n_query:
            raise ParameterError(
                f"n_shot {n_shot} and n_query {n_query} need {n_shot + n_query} items of every class: "
                f"one has {fewest}."
            )
        self.n_way, self.n_shot, self.n_query, self.n_tasks = n_way, n_shot, n_query, n_tasks
        self.generator = generator

    def __len__(self) -> int:
        return self.n_tasks

    def __iter__(self) -> Iterator[list[int]]:
        n_items = self.n_shot + self.n_query
        for _ in range(self.n_tasks):
            classes = torch.randperm(len(self.items), generator=self.generator)[: self.n_way].tolist()
            drawn = [
                items[torch.randperm(len(items), generator=self.generator)[:n_items]]
                for items in (self.items[number] for number in classes)
            ]
            yield torch.cat(drawn).tolist()

    def episodic_collate_fn(self, samples: Sequence[tuple[Tensor, int]]) -> Episode:
        """Make an episode of a task's items, pairs (image, class); queries come class by class as well."""
        n_items = self.n_shot + self.n_query
        shown, asked = (
            [image for k, (image, _) in enumerate(samples) if (k % n_items < self.n_shot) == is_shown]
            for is_shown in (True, False)
        )
        labels = torch.arange(self.n_way)
        return Episode(
            support_images=default_collate(shown),  # in a worker, right into memory that is shared
            support_labels=labels.repeat_interleave(self.n_shot),
            query_images=default_collate(asked),
            query_labels=labels.repeat_interleave(self.n_query),
            true_class_ids=[int(label) for _, label in samples[::n_items]],
        )


def list_class_names(drawings: Drawings) -> np.ndarray:
    """Name every character by alphabet/character."""
    return np.char.add(np.char.add(drawings.alphabets, "/"), drawings.characters)
