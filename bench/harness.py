"""Settings, data and reports that the sections of a benchmark of training share."""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import obvious
from oneshot.clutter.scenes import Scenes
from oneshot.params import load_params
from oneshot.segment.batches import PixelStatistics, pixel_statistics
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.training_set import TrainingSet
from oneshot.training.speed import choose_speed

LEVEL = 4  # unless a section names another; the clutter does not change the cost of a step


@dataclass
class Readings:
    """Readings of scenes a second."""

    rates: list[float]
    waiting: float = math.nan
    start_seconds: float = math.nan

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    def __str__(self) -> str:
        # Whole numbers, unless that would say too little.
        form = ",.0f" if self.median >= 100 else ".3g"
        return f"{self.median:{form}} scenes/s ({min(self.rates):{form}} to {max(self.rates):{form}})"

    def figures(self) -> dict[str, Any]:
        return {"median": self.median, "low": min(self.rates), "high": max(self.rates)} | asdict(self)


class Bench:
    """Settings, data, a trained network, and the results so far, which all sections share."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.speed = choose_speed(arguments.device, arguments.speed)
        self.device = self.speed.device
        cuda = self.speed.device_type == "cuda"
        self.feature_maps = arguments.feature_maps or (24 if cuda else 8)
        self.batch_size = arguments.batch_size or (250 if cuda else 8)
        self.seconds = arguments.seconds or (3.0 if cuda else 10.0)
        self.levels = [int(level) for level in arguments.levels.split(",")]
        self.ends = time.monotonic() + 60 * arguments.minutes
        self.folder = folder
        self.cuda = cuda
        self.steps_a_reading = 50 if cuda else 5
        self.training_set = TrainingSet(arguments.drawings or save_omniglot(folder))
        self.out: Path | None = arguments.out
        self.found: dict[str, Any] = {
            "device": torch.cuda.get_device_name(self.device)
            if cuda
            else platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "feature_maps": self.feature_maps,
            "batch_size": self.batch_size,
            "speed": self.speed.parts,
        }

    @cached_property
    def scenes(self) -> Scenes:
        return self.training_set.render_job(LEVEL, 0)

    @cached_property
    def statistics(self) -> PixelStatistics:
        return pixel_statistics(self.scenes)

    @cached_property
    def raw(self) -> Path:
        """Folder with the raw arrays of one job."""
        (self.folder / "raw").mkdir()
        obvious.write_raw(self.folder / "raw", self.scenes)
        return self.folder / "raw"

    @cached_property
    def net(self) -> SiameseUNet:
        """Network that the sections on training train."""
        return self.new_net()

    def new_net(self) -> SiameseUNet:
        return SiameseUNet(self.feature_maps).initialise(np.random.default_rng(0))

    def recipe(self, name: str) -> SegmentationRecipe:
        numbers: Any = load_params().segmentation.recipes["siamese_unet"][name]["segmentation"]  # type: ignore[index]
        return SegmentationRecipe(name, numbers.lr, self.batch_size, numbers.matching_weight)

    def section(self, name: str, measure: Callable[["Bench"], Any]) -> None:
        """Run one section, report its error if any, and write all results so far."""
        started = time.monotonic()
        print(f"\n{name}", flush=True)
        try:
            if started > self.ends:
                raise TimeoutError("left out, the time is up (--minutes)")
            self.found[name] = measure(self)
        except Exception as error:
            self.found[name] = {"error": f"{type(error).__name__}: {error}"}
            print(f"  failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        print(f"  [{time.monotonic() - started:.0f} s]", flush=True)
        if self.out:
            self.out.write_text(json.dumps(self.found, indent=1, default=str) + "\n")


def save_omniglot(folder: Path) -> Path:
    from oneshot.library import fetch_drawings  # here: machines that bring their drawings may lack its needs
    from oneshot.omniglot.drawings import save_drawings

    save_drawings(folder / "drawings.npz", fetch_drawings())
    return folder / "drawings.npz"
