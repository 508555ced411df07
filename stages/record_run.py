"""A recorded run under way: what it trains, what it goes on from, and the files that it keeps up to date."""

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import nn

from oneshot.records.run import RecordFiles
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.training_set import TrainingSet
from oneshot.segment.training_steps import checkpoint_of, list_levels_of
from oneshot.segment.weights import WeightsInfo, load_weights, save_weights
from oneshot.training.fit import LogPoint, read_progress
from stages.record_form import save_curve
from stages.record_plan import Plan

WEIGHTS_SECONDS = 120  # between two states of the weights that are kept while training goes on
SPOKEN_SECONDS = 30  # between two lines of progress


@dataclass
class Run:
    """A run under way: what it trains on, and the files that it keeps up to date."""

    plan: Plan
    folder: Path
    files: RecordFiles
    net: nn.Module
    training_set: TrainingSet
    statistics: Mapping[int, PixelStatistics]  # of every clutter level that it trains on
    started: float  # by time.monotonic
    n_steps_before: dict[str, int] = field(default_factory=dict)  # of earlier commands, by training
    curves: dict[str, list[LogPoint]] = field(default_factory=lambda: defaultdict(list))
    kept: float = field(default_factory=time.monotonic)
    spoken: float = field(default_factory=time.monotonic)

    @property
    def last_statistics(self) -> PixelStatistics:
        """Of the level with most clutter, which training ends with: the one that records name."""
        return self.statistics[self.plan.levels[-1]]

    def look_back(self) -> float:
        """How long earlier commands have trained; up to which steps is noted."""
        seconds = 0.0
        for step in self.plan.steps:
            checkpoint = checkpoint_of(self.folder, step.name)
            if checkpoint.exists():
                progress = read_progress(checkpoint)
                self.n_steps_before[step.name] = progress.step
                seconds += progress.seconds
        return seconds

    def note(self, training: str, point: LogPoint) -> None:
        """At every point of the curve: a line of progress now and then, and weights that survive anything."""
        self.curves[training].append(point)
        if point.step <= self.n_steps_before.get(training, 0):
            return  # told again of what an earlier command did
        now = time.monotonic()
        if now - self.spoken >= SPOKEN_SECONDS:
            self.spoken = now
            rate = point.n_scenes / point.seconds
            self.say(
                f"{training}: step {point.step:,}, {point.n_scenes:,} scenes, {rate:,.0f} a second, loss "
                f"{point.loss:.4f}"
            )
        if now - self.kept >= WEIGHTS_SECONDS:
            self.kept = now
            self.keep(sum(points[-1].n_scenes for points in self.curves.values()))

    def keep(self, n_scenes_seen: int) -> None:
        save_weights(self.files.weights, self.net, self.describe_weights(n_scenes_seen))
        save_curve(self.files.curve, self.curves)

    def describe_weights(self, n_scenes_seen: int) -> WeightsInfo:
        plan = self.plan
        return WeightsInfo(
            plan.net, plan.feature_maps, plan.recipe, self.last_statistics, n_scenes_seen,
            plan.n_scenes_before,
        )  # fmt: skip

    def say(self, sentence: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {sentence}", file=sys.stderr, flush=True)


def begin(
    plan: Plan,
    folder: Path,
    files: RecordFiles,
    training_set: TrainingSet,
    start_from: Path | None,
    started: float,
) -> Run:
    """A run with a new network, or with the weights that it starts from."""
    generator = torch.Generator().manual_seed(plan.seed)
    net: nn.Module
    if start_from is None:
        net = SiameseUNet(plan.feature_maps).initialise(generator)
    else:
        net, _ = load_weights(start_from)
    if plan.net == "masknet":
        net = MaskNet(plan.feature_maps).start_from(cast(SiameseUNet, net), generator)
    statistics = training_set.statistics(list_levels_of(plan.steps))
    return Run(plan, folder, files, net, training_set, statistics, started)
