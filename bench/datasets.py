"""Data sets beside obvious ones, through a DataLoader: ``python -m bench.datasets [--workers 2]``.

In turns in one run: scenes of 32 characters a second, beside a data set that draws each with Pillow when it
is asked for; and images of few-shot tasks a second, beside one that opens a PNG for each.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from oneshot.clutter.scenes import SceneRecipe
from oneshot.datasets import (
    ClutteredOmniglot,
    ClutteredOmniglotStream,
    OmniglotDrawings,
    OmniglotEpisodes,
    TaskSampler,
)
from oneshot.library import fetch_drawings
from oneshot.omniglot.drawings import Drawings
from tests.oracle.scenes_pillow import render_scene

LEVEL, BATCH = 32, 250
N_SCENES, N_TASKS = 20_000, 300  # of a reading
N_OBVIOUS_SCENES, N_OBVIOUS_TASKS = 300, 50
N_WAY, N_SHOT, N_QUERY = 5, 5, 10


class ObviousScenes(Dataset):
    """Scenes drawn one by one, each from a seed of its own."""

    def __init__(self, drawings: Drawings) -> None:
        self.drawings = drawings.of("train").unpack()
        self.recipe = SceneRecipe(LEVEL, "train", (0, 10))

    def __len__(self) -> int:
        return N_OBVIOUS_SCENES

    def __getitem__(self, index: int) -> tuple:
        scene, mask, target = render_scene(self.drawings, self.recipe, np.random.RandomState(index))
        to_tensor = [torch.from_numpy(image.transpose(2, 0, 1)) for image in (scene, target)]
        return *to_tensor, torch.from_numpy(mask[..., 0] > 0)


class ObviousDrawings(Dataset):
    """Drawings as PNG files, one folder a character, opened one by one."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*/*.png"))
        names = sorted({path.parent.name for path in self.paths})
        self.labels = [names.index(path.parent.name) for path in self.paths]

    def __getitem__(self, index: int) -> tuple:
        image = np.array(Image.open(self.paths[index]).convert("L"))
        return torch.from_numpy(image)[None].float() / 255, self.labels[index]


class ObviousTasks:
    """Sampler of as many classes and items, as one would first write it."""

    def __init__(self, labels: list[int]) -> None:
        self.items: dict[int, list[int]] = {}
        for index, label in enumerate(labels):
            self.items.setdefault(label, []).append(index)

    def __iter__(self):
        for _ in range(N_OBVIOUS_TASKS):
            chosen = random.sample(list(self.items), N_WAY)
            yield [i for label in chosen for i in random.sample(self.items[label], N_SHOT + N_QUERY)]


def write_pngs(drawings: Drawings, folder: Path) -> None:
    for number, character in enumerate(drawings.unpack()):
        (folder / f"{number:04d}").mkdir()
        for drawer, pixels in enumerate(character):
            Image.fromarray(pixels == 0).save(folder / f"{number:04d}" / f"{drawer:02d}.png")


def measure(load: Callable[[], DataLoader]) -> tuple[float, float]:
    """Measure the images (scenes, or drawings of tasks) of a second, and of a second of processor time.

    Both from the start of the workers to their end; other loads on the machine change the second one less.
    """
    busy, started, n = processor_seconds(), time.perf_counter(), 0
    for batch in load():
        n += len(batch[0]) if len(batch) < 5 else len(batch[0]) + len(batch[2])
    return n / (time.perf_counter() - started), n / (processor_seconds() - busy)


def processor_seconds() -> float:
    return sum(os.times()[:4])


def compare(what: str, ways: dict[str, Callable[[], DataLoader]], rounds: int) -> None:
    """Let the ways take turns; the first is the obvious one. Medians over the rounds."""
    found = np.array([[measure(load) for load in ways.values()] for _ in range(rounds)])
    ratios = found / found[:, :1]
    for k, name in enumerate(ways):
        rate, of_processor = np.median(found[:, k], axis=0)
        times, times_of_processor = np.median(ratios[:, k], axis=0)
        low, high = ratios[:, k, 0].min(), ratios[:, k, 0].max()
        print(
            f"{what} | {name:32s} | {rate:8,.0f} /s | {times:5.1f} times ({low:.1f} to {high:.1f}) | "
            f"{of_processor:8,.0f} / processor second | {times_of_processor:5.1f} times",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    drawings = fetch_drawings(arguments.drawings)
    workers = {"num_workers": arguments.workers}

    stream = ClutteredOmniglotStream("train", LEVEL, N_SCENES, drawings=drawings, batch_size=BATCH)
    kept = ClutteredOmniglot("train", LEVEL, 10_000, drawings=drawings)
    kept.preload()
    again = torch.utils.data.RandomSampler(kept, replacement=True, num_samples=N_SCENES)
    scenes: dict[str, Callable[[], DataLoader]] = {
        "obvious: each drawn with Pillow": partial(DataLoader, ObviousScenes(drawings), 25, **workers),
        "stream, each drawn": partial(DataLoader, stream, None, **workers),
        "by number, jobs kept": partial(DataLoader, kept, BATCH, sampler=again, **workers),
    }
    compare("scenes", scenes, arguments.rounds)

    with tempfile.TemporaryDirectory() as name:
        write_pngs(drawings.of("test"), Path(name))
        png = ObviousDrawings(Path(name))
        data = OmniglotDrawings("test", drawings=drawings)
        sampler = TaskSampler(
            data, N_WAY, N_SHOT, N_QUERY, N_TASKS, generator=torch.Generator().manual_seed(0)
        )
        collate = {"collate_fn": sampler.episodic_collate_fn}
        tasks: dict[str, Callable[[], DataLoader]] = {
            "obvious: a PNG opened for each": partial(
                DataLoader, png, batch_sampler=ObviousTasks(png.labels), **collate, **workers
            ),
            "packed": partial(DataLoader, data, batch_sampler=sampler, **collate, **workers),
            "packed, no workers": partial(DataLoader, data, batch_sampler=sampler, **collate),
            "of a benchmark, no workers": partial(
                DataLoader, OmniglotEpisodes("mixed-5-way-5-shot", drawings=drawings), None
            ),
        }
        compare("drawings", tasks, arguments.rounds)


if __name__ == "__main__":
    main()
