"""A recorded run under way: what it trains, how it is evaluated, what it goes on from."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from torch import nn

from oneshot.classify import training as classify_training
from oneshot.classify.nets.network import Network
from oneshot.classify.protocols import Protocols, draw_once, find_protocols
from oneshot.classify.scoring import NetworkScorer, describe_everything, find_pairs
from oneshot.classify.training import ClassificationPlan
from oneshot.files import read_json, write_json
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.params import Params, Section
from oneshot.published import VERIFICATION
from oneshot.records.classification_evaluator import ProtocolEvaluator
from oneshot.records.release import Evaluator
from oneshot.records.run import RecordError
from oneshot.records.segmentation_evaluator import SceneEvaluator
from oneshot.segment import training as segment_training
from oneshot.segment.nets import is_choosing
from oneshot.segment.training import SegmentationPlan
from oneshot.segment.training_set import TrainingSet
from oneshot.training.distributed import World
from oneshot.training.progress import LogPoint, Trained, read_progress
from oneshot.training.speed import Speed
from stages.fingerprint import code_sha256
from stages.images import read_outside
from stages.record.data import render_levels
from stages.record.form import name_device, save_curve
from stages.record.plan import RunPlan

CONDITIONS = "conditions.json"  # beside a run's checkpoint: who goes on with it must find the same
SPOKEN_SECONDS = 30  # between two lines of progress
CPU_BATCH_SIZE = 10  # of evaluation: more of a Siamese-U-Net leave a CPU's cache (docs/log.md)


class Conditions(Section):
    """Conditions of a training that must not change between the commands that go on with it."""

    code: str
    torch: str
    device: str
    processes: int
    speed: str


@dataclass
class OngoingRun:
    """A run under way: its network with the way to train it, and the files that it keeps up to date.

    `folder`: of its checkpoints; `files`: of what it records. `train` is `train` of the task, ready to go.
    """

    plan: RunPlan
    folder: Path
    files: Path
    speed: Speed
    world: World
    started: float  # by time.monotonic
    net: nn.Module
    train: Callable[..., Trained]
    trainings: Sequence[str]
    evaluator: Evaluator | None = None  # of process 0
    body: dict[str, Any] = field(default_factory=dict)  # of the record
    n_steps_before: dict[str, int] = field(default_factory=dict)  # of earlier commands, by training
    seconds_before: float = 0.0
    curves: dict[str, list[LogPoint]] = field(default_factory=lambda: defaultdict(list))
    spoken: float = field(default_factory=time.monotonic)

    def look_back(self) -> None:
        """Find out how long earlier commands have trained, and up to which steps.

        Raises:
            RecordError: they did so with other code, or under other conditions: its record would be wrong.
        """
        checkpoints = {name: segment_training.checkpoint_of(self.folder, name) for name in self.trainings}
        conditions = Conditions(
            code=code_sha256(self.plan.training.task),
            torch=version("torch"),
            device=name_device(self.speed),
            processes=self.world.size,
            speed=self.speed.name,
        )
        file = self.folder / CONDITIONS
        if file.exists() and any(path.exists() for path in checkpoints.values()):
            kept = read_json(file, Conditions, "delete it to go on nevertheless", RecordError)
            for name, value in conditions:
                if getattr(kept, name) != value:
                    # The checkpoint itself is of one device, and of one number of processes.
                    others = dict.fromkeys(("code", "torch"), f", or its {CONDITIONS} to go on nevertheless")
                    others["speed"] = f", or go on with --speed {kept.speed}"
                    raise RecordError(
                        f"the checkpoint in {self.folder} is of another run ({name} {getattr(kept, name)}, "
                        f"now {value}): delete that folder to start afresh{others.get(name, '')}."
                    )
        if self.world.rank == 0:
            write_json(file, conditions.model_dump())
        for name, path in checkpoints.items():
            if path.exists():
                progress = read_progress(path)
                self.n_steps_before[name] = progress.step
                self.seconds_before += progress.seconds

    def note(self, training: str, point: LogPoint) -> None:
        """Show a line of progress now and then, and keep the curve so far."""
        self.curves[training].append(point)
        now = time.monotonic()
        if point.step <= self.n_steps_before.get(training, 0) or now - self.spoken < SPOKEN_SECONDS:
            return  # of what an earlier command did, or too early
        self.spoken = now
        errors = [100 * before.error for before in self.curves[training] if before.error is not None]
        best = f", best validation error {min(errors):.1f} %" if errors else ""
        self.say(
            f"{training}: step {point.step:,}, {point.n_seen:,} seen, {point.n_seen / point.seconds:,.0f} a "
            f"second, loss {point.loss:.4f}{best}"
        )
        save_curve(self.files, self.curves)

    def say(self, sentence: str) -> None:
        if self.world.rank > 0:
            return
        print(f"{time.monotonic() - self.started:6.0f} s  {sentence}", file=sys.stderr, flush=True)


def begin_segmentation(plan: RunPlan, drawings: Drawings, path: Path | None, **common: Any) -> OngoingRun:
    """Begin with a new network, or with the weights that it starts from."""
    training = cast(SegmentationPlan, plan.training)
    net, n_seen_before = segment_training.build_net(training, plan.start)
    if path is None:
        path = common["folder"] / "drawings.npz"
        save_drawings(path, drawings)
    training_set = TrainingSet(path)
    statistics = training_set.statistics(training.levels)[training.last_level]
    train = partial(
        segment_training.train, training, training_set, net=net, n_seen_before=n_seen_before,
        world=common["world"],
    )  # fmt: skip
    body = {
        "feature_maps": training.feature_maps,
        "levels": plan.levels,
        "pixel_mean": statistics.mean,
        "pixel_std": statistics.std,
    }
    names = [one.name for one in training.trainings]
    return OngoingRun(plan=plan, net=net, train=train, trainings=names, body=body, **common)


def render_test_scenes(ongoing: OngoingRun, drawings: Drawings, batch_size: int) -> None:
    """Render the test sets that the network is evaluated on."""
    ongoing.say("rendering the test sets (compiled first where this is new here, which takes a minute)")
    plan = ongoing.plan
    test_sets, ongoing.body["test_sets_as_published"] = render_levels(
        drawings, plan.levels, plan.n_test_scenes
    )
    if ongoing.speed.device_type == "cpu":
        batch_size = min(batch_size, CPU_BATCH_SIZE)
    ongoing.evaluator = SceneEvaluator(
        test_sets, ongoing.speed.device, batch_size, chooses=is_choosing(plan.training.net)
    )


def begin_classification(
    plan: RunPlan, drawings: Drawings, params: Params, all_runs: Path | None, mnist: Path | None,
    **common: Any,
) -> OngoingRun:  # fmt: skip
    """Begin with a new network, and draw all that it is evaluated on."""
    training = cast(ClassificationPlan, plan.training)
    protocols = draw_once(find_protocols(drawings, params.other_images))
    net = classify_training.build_net(training, protocols)
    train = partial(classify_training.train, training, protocols, net=net)
    ongoing = OngoingRun(plan=plan, net=net, train=train, trainings=[training.training], **common)
    if ongoing.world.rank == 0:
        ongoing.evaluator, ongoing.body = prepare_evaluation(
            net, training.recipe, protocols, all_runs, mnist, ongoing.speed
        )
    return ongoing


def prepare_evaluation(
    net: Network, recipe: str, protocols: Protocols, all_runs: Path | None, mnist: Path | None, speed: Speed
) -> tuple[ProtocolEvaluator, dict[str, Any]]:
    """Prepare all that a classifier is evaluated on, and the part of the record that describes it."""
    pairs = find_pairs(NetworkScorer(net), protocols, recipe)
    outside, not_computed = read_outside(protocols, all_runs, mnist)
    if not pairs:
        not_computed[VERIFICATION] = "the network judges no pairs"
    evaluator = ProtocolEvaluator(protocols, outside, pairs, speed.device, recipe)
    described = describe_everything(protocols, outside, pairs)
    left_out = [name for name in described if name not in evaluator.everything]
    not_computed |= dict.fromkeys(left_out, "the network was trained on alphabets that this needs")
    kept = {name: described[name] for name in evaluator.everything}
    return evaluator, {"protocols": kept, "not_computed": not_computed}
