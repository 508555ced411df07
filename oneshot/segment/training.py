"""Whole trainings of networks for segmentation: planned by the parameters, cut to the time there is.

A Siamese-U-Net has one training, a MaskNet two, one after another.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

import numpy as np
from torch import nn

from oneshot.errors import ParameterError, TrainingError
from oneshot.params import SEGMENTATION, Params, RecipeName, SegmentationNetwork, TrainingNumbers
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import Objective
from oneshot.segment.memory import choose_memory, count_threads
from oneshot.segment.nets import NETS
from oneshot.segment.phases import Phase, cut, lead_up
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.render_ahead import Stock
from oneshot.segment.training_set import TrainingSet
from oneshot.training.distributed import World
from oneshot.training.fit import fit
from oneshot.training.measure import MEASURED_SECONDS, Measured, check_budget, measure_training
from oneshot.training.plan import TrainingPlan
from oneshot.training.progress import (
    LogPoint,
    Progress,
    Trained,
    TrainingReport,
    checkpoint_of,
    read_progress,
)
from oneshot.training.speed import Speed
from oneshot.training.tensors import WeightsError, load_network

SIAMESE_UNET = "siamese_unet"  # whose learning rate the one at the top of params.yaml is
SCENES_MARGIN = 0.97  # of the time left, for what is slower than it was measured


@dataclass(frozen=True)
class PlannedTraining:
    """One training of a plan: segmentation (Siamese-U-Net's), proposals or discriminator (MaskNet's)."""

    name: str
    recipe: SegmentationRecipe
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class SegmentationPlan(TrainingPlan):
    """The trainings of one network; `starts_from` names the network whose weights it begins with, if any."""

    feature_maps: int
    n_jobs: int
    proposals_share: float
    starts_from: str | None
    trainings: tuple[PlannedTraining, ...]

    @property
    def levels(self) -> tuple[int, ...]:
        """The clutter levels that it is trained on, ascending."""
        phases = [phase for training in self.trainings for phase in training.phases]
        return tuple(sorted({level for phase in phases for level in phase.clutter_levels}))

    @property
    def n_planned(self) -> int:
        """Scenes in all."""
        return sum(phase.n_scenes for training in self.trainings for phase in training.phases)

    @property
    def last_level(self) -> int:
        """The level that training ends with, whose statistics a file of weights names."""
        return self.trainings[-1].phases[-1].clutter_levels[-1]


def plan_training(params: Params, name: str, seed: int | None = None) -> SegmentationPlan:
    """Plan the trainings of a network by its section of params.yaml.

    Raises:
        ParameterError: there is no such network, it is not trained at this scale, its net is unknown, or a
            number is out of range.
    """
    network = params.find_network(SEGMENTATION, name)
    amount = params.amount_of(SEGMENTATION, name)
    if amount is None:
        raise ParameterError(f"{name} is not trained at scale {params.scale_name}.")
    if network.net not in NETS:
        raise ParameterError(f"{name} is a {network.net!r}; there are {', '.join(NETS)}.")
    scale = params.scale.segmentation
    feature_maps = amount.feature_maps or scale.feature_maps
    recipe_name, by_training = choose_recipe(params, network)
    trainings = []
    for training in cast(Any, NETS[network.net]).trainings:
        if training not in by_training:
            raise ParameterError(
                f"segmentation.recipes.{network.recipes}.{recipe_name} lacks {training!r}, a training of "
                f"{network.net}."
            )
        numbers = by_training[training]
        lr = (params.lr if network.recipes == SIAMESE_UNET else None) or numbers.lr
        recipe = SegmentationRecipe(
            recipe_name, lr, numbers.batch_size, numbers.matching_weight, amount.n_epochs,
            trained_before=network.starts_from is not None, weight_decay=numbers.weight_decay,
            n_views=amount.n_views, covered_share=numbers.covered_share,
        )  # fmt: skip
        phases = tuple(Phase(phase.clutter_levels, phase.n_scenes) for phase in amount.phases[training])
        if len(phases) == 1:
            phases = lead_up(phases[0], numbers.lower_levels, recipe.batch_size)
        trainings.append(PlannedTraining(training, recipe, phases))
    settings: dict[str, Any] = {"feature_maps": feature_maps, "n_jobs": scale.n_jobs}
    if len(trainings) > 1:
        settings["proposals_share"] = params.segmentation.proposals_share
    settings["trainings"] = {
        training.name: describe_numbers(training.recipe, training.phases) for training in trainings
    }
    return SegmentationPlan(
        task=SEGMENTATION, name=name, net=network.net, recipe=recipe_name, settings=settings,
        seed=params.seed if seed is None else seed, scale=params.scale_name, log_every=params.log_every,
        checkpoint_seconds=params.checkpoint_seconds, feature_maps=feature_maps, n_jobs=scale.n_jobs,
        proposals_share=params.segmentation.proposals_share, starts_from=network.starts_from,
        trainings=tuple(trainings),
    )  # fmt: skip


def choose_recipe(
    params: Params, network: SegmentationNetwork
) -> tuple[RecipeName, dict[str, TrainingNumbers]]:
    """Choose the scale's recipe for a network, or the only one that it has; and its numbers by training."""
    recipes = params.segmentation.recipes[network.recipes]
    name: RecipeName = params.scale.segmentation.recipe
    if len(recipes) == 1:
        (name,) = recipes
    return name, recipes.get(name, {})


def describe_numbers(recipe: SegmentationRecipe, phases: tuple[Phase, ...]) -> dict[str, Any]:
    """Give the numbers of one training, as JSON can hold them."""
    numbers = {
        "lr": recipe.lr,
        "batch_size": recipe.batch_size,
        "matching_weight": recipe.matching_weight,
        "weight_decay": recipe.weight_decay,
        "n_epochs": recipe.n_epochs,
        "n_views": recipe.n_views,
        "phases": [
            {"clutter_levels": list(phase.clutter_levels), "n_scenes": phase.n_scenes} for phase in phases
        ],
    }
    # Named only where there are any, so that checkpoints of all other networks stay theirs.
    return numbers | ({"covered_share": recipe.covered_share} if recipe.covered_share else {})


def build_net(plan: SegmentationPlan, start: Path | None = None) -> tuple[nn.Module, int]:
    """Build the network with initial weights, or on those in the file `start`; and count what these had seen.

    Raises:
        TrainingError: it starts from another network's weights, and there are none.
        WeightsError: the file is damaged, or of a network of another size.
    """
    net: Any = NETS[plan.net](plan.feature_maps)
    generator = np.random.default_rng(plan.seed)
    if plan.starts_from is None and start is None:
        return net.initialise(generator), 0
    if start is None or not start.is_file():
        raise TrainingError(
            f"{plan.name} starts from {plan.starts_from}, which is not trained at scale {plan.scale}: give "
            "that one scenes in params.yaml, or this one none."
        )
    other, info = load_network(start, NETS)
    if info.settings != {"feature_maps": plan.feature_maps}:
        raise WeightsError(
            f"{start} holds a {info.net} of {info.settings}, which cannot be the start of one of "
            f"{plan.feature_maps} feature maps."
        )
    n_seen = info.training.get("n_seen", 0) + info.training.get("n_seen_before", 0)
    return net.start_from(other, generator), n_seen


def make_objective(name: str, net: nn.Module, recipe: SegmentationRecipe) -> Objective:
    """Make the loss of a training; making it settles which of the network's parameters learn."""
    objective: type[Objective] = resolve_name(cast(Any, net).trainings[name])
    return objective(net, recipe.matching_weight, corrected=recipe.method.corrected, n_views=recipe.n_views)


def train(
    plan: SegmentationPlan,
    training_set: TrainingSet,
    *,
    folder: Path,
    start: Path | None = None,
    net: nn.Module | None = None,
    n_seen_before: int = 0,
    seconds: float | None = None,
    deadline: float = math.inf,
    on_log: Callable[[str, LogPoint], None] = lambda training, point: None,
    stop: Callable[[], bool] = lambda: False,
    speed: Speed | None = None,
    world: World | None = None,
) -> Trained:
    """Train as planned, one training after another, or go on from the checkpoints in `folder`.

    `start`: the file of weights that `plan.starts_from` names; or `net`, built by `build_net`, and
    `n_seen_before`. `seconds`: for all, from this call on; of two trainings the first gets
    `plan.proposals_share` of those that compilation leaves, and is over then even if it was slower than
    measured. `on_log` gets a
    training's name with every point. After `deadline` or `stop` no further training is begun.

    Raises:
        ParameterError: too little time for one step, or a number is out of range.
        TrainingError, WeightsError: as `build_net` and `oneshot.training.fit.fit`.
    """
    ends = math.inf if seconds is None else time.monotonic() + seconds
    if net is None:
        net, n_seen_before = build_net(plan, start)
    statistics = training_set.statistics(plan.levels)
    run = partial(
        train_once, plan=plan, training_set=training_set, statistics=statistics, stop=stop,
        speed=speed or Speed(), world=world or World(), ends=ends, deadline=deadline,
    )  # fmt: skip
    reports: list[TrainingReport] = []
    complete = False
    for number, training in enumerate(plan.trainings):
        checkpoint = checkpoint_of(folder, training.name)
        if any(checkpoint_of(folder, later.name).exists() for later in plan.trainings[number + 1 :]):
            # It is over, and the later one's checkpoint holds what it has left.
            progress = read_progress(checkpoint)
            for point in progress.curve:
                on_log(training.name, point)
            reports.append(report_training(training, progress))
            continue
        loss = make_objective(training.name, net, training.recipe)
        loss.begin()
        share = 1.0 if training is plan.trainings[-1] else plan.proposals_share
        progress, own_deadline = run(
            training, loss, checkpoint=checkpoint, share=share, on_log=partial(on_log, training.name)
        )
        reports.append(report_training(training, progress))
        complete = progress.complete and training is plan.trainings[-1]
        if not progress.complete and (stop() or own_deadline == deadline):
            break
    info = plan.describe_weights(
        sum(one.n_seen for one in reports), {"feature_maps": plan.feature_maps},
        asdict(statistics[plan.last_level]), n_seen_before,
    )  # fmt: skip
    return Trained(net, info, reports, complete)


def train_once(
    training: PlannedTraining,
    loss: Objective,
    *,
    plan: SegmentationPlan,
    training_set: TrainingSet,
    statistics: Mapping[int, PixelStatistics],
    checkpoint: Path,
    ends: float,
    share: float,
    deadline: float,
    on_log: Callable[[LogPoint], None],
    stop: Callable[[], bool],
    speed: Speed,
    world: World,
) -> tuple[Progress, float]:
    """Train what `loss` trains on the phases, or go on from `checkpoint`; also give the deadline that held.

    This training gets `share` of what is left until `ends` (by `time.monotonic`) once it is compiled, and as
    much time again as that took is kept for the one after it. To this the phases are cut in proportion, by
    the speed of this recipe on this device, measured first; the rates follow the cut phases (1/2, 3/4, 7/8
    for the published halvings). A run that goes on keeps the phases, and the speed, that it began with.
    """
    began = time.monotonic()
    recipe, phases, n_jobs = training.recipe, training.phases, plan.n_jobs
    kept = read_progress(checkpoint).identity if checkpoint.exists() else None
    if kept is not None:
        speed = speed.decided(kept.get("speed", ())) if speed.auto else speed
        phases = tuple(Phase(tuple(one["clutter_levels"]), one["n_scenes"]) for one in kept.get("phases", []))
    device, memory_bytes = choose_memory(phases[-1:], n_jobs, speed.device)

    def make_feed(phases: tuple[Phase, ...]) -> SceneFeed:
        return SceneFeed(
            stock, phases, statistics, batch_size=recipe.batch_size, seed=plan.seed, n_jobs=n_jobs,
            n_window_jobs=loss.n_window_jobs, decode=loss.decode, speed=speed, world=world,
            n_locations=loss.n_locations,
            render_targets=training_set.render_targets if loss.matching else None,
        )  # fmt: skip

    render_job = partial(training_set.render_job, covered_share=recipe.covered_share)
    with Stock(
        render_job, memory_bytes=memory_bytes, n_ahead=2 * loss.n_window_jobs,
        n_threads=count_threads(speed.device), device=device, code=loss.code,
    ) as stock:  # fmt: skip
        measured = None
        timed = kept is None and ends < math.inf
        if timed or speed.device_type == "cuda":  # on a GPU also for what fits into its memory
            if timed:
                check_budget(ends - began, share * (ends - began), 0.0, "an unknown speed")
            seconds = MEASURED_SECONDS if timed or speed.auto else 0.0
            measured = measure_with_rendering(
                loss, make_feed(phases), recipe, phases[-1].clutter_levels, n_jobs, seconds=seconds,
                budget=share * (ends - began), speed=speed, world=world,
            )  # fmt: skip
        if measured is not None and timed:
            later = measured.start_seconds if share < 1 else 0.0
            left = share * (ends - time.monotonic() - later)
            deadline = min(deadline, time.monotonic() + left) if share < 1 else deadline
            phases = cut_to_time(training, loss, measured, ends - began, left, world)
        if phases != training.phases:
            recipe = replace(recipe, n_epochs=None)
        stock.device, stock.memory_bytes = choose_memory(phases, n_jobs, speed.device, stock.n_bytes)
        identity = {"seed": plan.seed} | describe_numbers(recipe, phases)
        if measured is not None and speed.device_type == "cuda":
            identity["speed"] = list(measured.stepper.speed.parts)
        progress = fit(
            loss, make_feed(phases), recipe, checkpoint=checkpoint, identity=identity,
            log_every=plan.log_every, checkpoint_seconds=plan.checkpoint_seconds, deadline=deadline,
            on_log=on_log, stop=stop, speed=speed, world=world,
            stepper=None if measured is None else measured.stepper,
        )  # fmt: skip
    return progress, deadline


def measure_with_rendering(
    loss: Objective,
    feed: SceneFeed,
    recipe: SegmentationRecipe,
    levels: Sequence[int],
    n_jobs: int,
    *,
    seconds: float,
    budget: float,
    speed: Speed,
    world: World,
) -> Measured:
    """Measure a training as `measure_training` does; on a CPU, which renders scenes, too, with that added."""
    batches, rendering = feed.repeat(feed.load_first()), 0.0
    if speed.device_type == "cpu":  # apart, not while the steps are measured
        rendering = feed.stock.measure_seconds([(level, 0) for level in levels])
    else:
        # The last level's jobs take longest: their rendering starts while the network is compiled.
        feed.stock.plan([(max(levels), job) for job in range(n_jobs)])
    measured = measure_training(
        loss, feed, recipe, batches, seconds=seconds, budget=budget, speed=speed, world=world
    )
    a_step = 1 / measured.steps_a_second + rendering * feed.batch_size
    return replace(measured, steps_a_second=1 / a_step)


def cut_to_time(
    training: PlannedTraining, loss: Objective, measured: Measured, seconds: float, left: float, world: World
) -> tuple[Phase, ...]:
    """Cut the phases to what fits into the seconds that are left of those that there were.

    Raises:
        ParameterError: not even one batch a phase does.
    """
    phases, batch_size = training.phases, training.recipe.batch_size
    rate = world.same_for_all(measured.steps_a_second * batch_size)
    left = world.same_for_all(SCENES_MARGIN * left)
    needed = batch_size * len(phases) / rate
    check_budget(seconds, left, needed, f"{rate:.1f} scenes a second")
    n_scenes = int(rate * left)
    if n_scenes >= sum(phase.n_scenes for phase in phases):
        return phases
    return cut(phases, n_scenes, batch_size, loss.n_window_jobs)


def report_training(training: PlannedTraining, progress: Progress) -> TrainingReport:
    """Report a training with the phases that it really had."""
    names = [*describe_numbers(training.recipe, training.phases), "speed"]
    kept = {name: progress.identity[name] for name in names if name in progress.identity}
    return TrainingReport.of(training.name, kept, progress)
