"""Whole trainings of networks for classification: planned by the parameters, cut to the time there is."""

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from oneshot.classify.episodes import Episodes
from oneshot.classify.feeds import (
    EpisodeFeed,
    EpisodeLoss,
    EpochFeed,
    NetworkLoss,
    PairFeed,
    PairLoss,
    list_turns,
)
from oneshot.classify.nets import NETS
from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.nets.koch import SiamesePair, initialise_scaled
from oneshot.classify.nets.network import Network, set_order
from oneshot.classify.pairs import PairSource, draw_set
from oneshot.classify.protocols import Protocols
from oneshot.classify.recipes import (
    ClassificationRecipe,
    Constant,
    Contrastive,
    Halving,
    Own,
    Published,
)
from oneshot.classify.scoring import NetworkScorer, encode_packed, score_list
from oneshot.errors import ParameterError, shorten
from oneshot.omniglot.classes import Classes
from oneshot.omniglot.drawings import unpack_rows
from oneshot.params import BACKGROUND, CLASSIFICATION, SIAMESE, WITH_VALIDATION, EpisodeNumbers, Params
from oneshot.training.distributed import World
from oneshot.training.fit import fit
from oneshot.training.measure import Measured, check_budget, measure_training
from oneshot.training.plan import TrainingPlan
from oneshot.training.progress import LogPoint, Trained, TrainingReport, checkpoint_of, read_progress
from oneshot.training.speed import Speed, choose_speed

SCALED_TO = 256  # drawings
WHITENED_BY = 5  # drawings of every class at most: 4 to 20 were as good
MEASURED_AT_MOST = 3.0  # seconds
WITHIN_SHARES = (0.3, 1.0, 3.0)  # see CosineNet.whiten
UNSELECTED_SHARE = 3.0  # where nothing selects it: see docs/log.md
STEPS_MARGIN = 0.95  # of the time left, for what is slower than it was measured, and for checkpoints


@dataclass(frozen=True)
class Teaching:
    """Meaning of a recipe's name, apart from its numbers.

    pairs: where training pairs come from; None: it learns from episodes, which are drawn from classes.
    validation: the trials that select weights and stop training; None: the last weights are kept. scaled:
    initial weights are fitted to the drawings, where a network can be. both_ways: of the loss, see
    `EpisodeLoss`. whitened: codes are, after training, see `whiten`. exact: "auto" does not choose
    bfloat16: with Koch's base and published initial weights the last convolution's numbers differ by 0.003
    between drawings around 0.5, where its steps are 0.004. The small base has the same losses in it.
    """

    make_recipe: Callable[[Any], ClassificationRecipe]
    pairs: Callable[[Protocols], Mapping[str, PairSource] | None] | None = None
    validation: Callable[[Protocols], Episodes] | None = None
    classes: Callable[[Protocols], Classes] = lambda protocols: protocols.training
    scaled: bool = False
    both_ways: bool = False
    whitened: bool = False
    exact: bool = False


# Ours select by many trials: one of the 320 published ones is 0.3 points, and their standard error two.
CONTRASTIVE = Teaching(
    lambda numbers: Contrastive(numbers.lr, numbers.weight_decay),
    validation=lambda protocols: protocols.selection,
    scaled=True,
    both_ways=True,
    whitened=True,
)
RECIPES = {
    "published": Teaching(
        lambda numbers: Published(numbers.lrs, numbers.momenta, numbers.l2s, numbers.patience),
        lambda protocols: protocols.pairs,
        lambda protocols: protocols.validation,
        exact=True,
    ),
    BACKGROUND: Teaching(
        lambda numbers: Constant(numbers.lr), lambda protocols: protocols.background, exact=True
    ),
    "own": Teaching(
        lambda numbers: Own(numbers.lr, numbers.weight_decay),
        validation=lambda protocols: protocols.selection,
        scaled=True,
    ),
    "contrastive": CONTRASTIVE,
    WITH_VALIDATION: replace(
        CONTRASTIVE, validation=None, classes=lambda protocols: protocols.training_and_validation
    ),
    "protonet": Teaching(
        lambda numbers: Halving(numbers.lr), validation=lambda protocols: protocols.selection
    ),
}


@dataclass(frozen=True)
class ClassificationPlan(TrainingPlan):
    """A training of one network. `numbers` are the recipe's, `amount` how much it is trained on.

    `base` is the scale's size of the siamese network, of other networks None; `net_settings` are arguments of
    the network's class.
    """

    base: str | None
    net_settings: Mapping[str, Any]
    numbers: Any
    amount: Any

    @property
    def teaching(self) -> Teaching:
        return RECIPES[self.recipe]

    @property
    def n_planned(self) -> int:
        """Pairs or episodes in all."""
        amount = self.amount
        n_epoch = amount.n_pairs * (1 + amount.n_copies) if self.teaching.pairs else amount.n_episodes
        return int(n_epoch * amount.n_epochs)

    @property
    def training(self) -> str:
        """The name of its one training."""
        return "pairs" if self.teaching.pairs else "episodes"


def plan_training(params: Params, name: str, seed: int | None = None) -> ClassificationPlan:
    """Plan the training of a network by its section of params.yaml.

    Raises:
        ParameterError: there is no such network, it is not trained at this scale, or its net is unknown.
    """
    network = params.find_network(CLASSIFICATION, name)
    amount = params.amount_of(CLASSIFICATION, name)
    if amount is None:
        raise ParameterError(f"{name} is not trained at scale {params.scale_name}.")
    base = params.scale.classification.base if network.net == SIAMESE else None
    net = base or network.net
    if net not in NETS:
        raise ParameterError(f"{name} is a {net!r}; there are {', '.join(NETS)}.")
    numbers = getattr(params.classification.recipes, network.recipe)
    if RECIPES[network.recipe].pairs and not NETS[net].judges_pairs:
        raise ParameterError(f"recipe {network.recipe} trains on pairs, which a {net} does not judge.")
    net_settings = network.settings
    return ClassificationPlan(
        task=CLASSIFICATION, name=name, net=net, recipe=network.recipe,
        settings={"base": base, **numbers.model_dump(mode="json"), **amount.model_dump(), **net_settings},
        seed=params.seed if seed is None else seed, scale=params.scale_name, log_every=params.log_every,
        checkpoint_seconds=params.checkpoint_seconds, base=base, net_settings=net_settings, numbers=numbers,
        amount=amount,
    )  # fmt: skip


def make_net(plan: ClassificationPlan) -> Network:
    """Make the network as its section of params.yaml says. Raises ParameterError if that does not fit it."""
    try:
        return NETS[plan.net](**plan.net_settings)
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        message = f"{plan.name}.settings do not fit a {plan.net}: {shorten(str(error))}."
        raise ParameterError(message) from error


def build_net(plan: ClassificationPlan, protocols: Protocols) -> Network:
    """Build the network with initial weights from the seed, by some recipes scaled to the drawings."""
    generator = np.random.default_rng(plan.seed)
    net = make_net(plan)
    if not plan.teaching.scaled or not isinstance(net, SiamesePair):
        return net.initialise(generator)
    numbers = np.concatenate(plan.teaching.classes(protocols).images)
    chosen = np.random.default_rng(plan.seed).permutation(numbers)[:SCALED_TO]
    images = torch.from_numpy(unpack_rows(protocols.bits[np.sort(chosen)])).float()
    return initialise_scaled(net, images, generator)


def make_training(
    plan: ClassificationPlan, net: Network, protocols: Protocols
) -> tuple[NetworkLoss, EpochFeed, ClassificationRecipe]:
    """Make what `oneshot.training.fit.fit` takes.

    Raises:
        ParameterError: the images are too few, or of a protocol that these images do not have.
    """
    numbers, amount, teaching = plan.numbers, plan.amount, plan.teaching
    recipe = teaching.make_recipe(numbers)
    if teaching.pairs is None:
        classes = teaching.classes(protocols)
        numbers = fit_episodes(numbers, classes, protocols.source)
        feed: EpochFeed = EpisodeFeed(
            classes, seed=plan.seed, n_epoch=amount.n_episodes, n_epochs=amount.n_epochs,
            **numbers.model_dump(exclude={"lr", "weight_decay"}),
        )  # fmt: skip
        loss = EpisodeLoss(net, protocols.bits, numbers.n_way, numbers.n_shot, teaching.both_ways)
        return loss, feed, recipe
    sources = teaching.pairs(protocols)
    if sources is None:
        raise ParameterError(f"{plan.name} needs images by the same drawers, which own images have not.")
    feed = PairFeed(
        draw_set(sources["train"], amount.n_pairs, plan.seed), batch_size=numbers.batch_size, seed=plan.seed,
        n_copies=amount.n_copies, n_epochs=amount.n_epochs,
    )  # fmt: skip
    return PairLoss(net, protocols.bits), feed, recipe


def fit_episodes(numbers: EpisodeNumbers, classes: Classes, source: str) -> EpisodeNumbers:
    """Take the recipe's own on Omniglot; fewer ways and queries where other images are too few for them."""
    if source == "omniglot":
        return numbers
    n_ways = len(classes) * len(list_turns(numbers.turned, getattr(numbers, "mirrored", False)))
    fewest = min((len(images) for images in classes.images), default=0)
    changes = {
        "n_way": min(numbers.n_way, n_ways),
        "n_query": max(1, min(numbers.n_query, fewest - numbers.n_shot)),
    }
    return numbers.model_copy(update=changes)


def choose_plan_speed(device: str, parts: str, plan: ClassificationPlan) -> Speed:
    """Choose as `choose_speed` does, but TF32, on a CPU float32, where bfloat16 is too coarse."""
    speed = choose_speed(device, parts)
    if parts == "auto" and speed.bf16 and plan.teaching.exact:
        return replace(speed, bf16=False, tf32=speed.device_type == "cuda")
    return speed


def train(
    plan: ClassificationPlan,
    protocols: Protocols,
    *,
    folder: Path,
    net: Network | None = None,
    seconds: float | None = None,
    deadline: float = math.inf,
    on_log: Callable[[str, LogPoint], None] = lambda training, point: None,
    stop: Callable[[], bool] = lambda: False,
    speed: Speed | None = None,
) -> Trained:
    """Train as planned, or go on from the checkpoint in `folder`; a deadline or `stop` end it early.

    With `seconds`, from this call on, the steps are cut to what fits, by the speed of this device, measured
    first; the rates follow. A run that goes on keeps its steps. The network gets the weights that validated
    best so far.

    Raises:
        ParameterError: too little time for one step, or as `make_training`.
        TrainingError, WeightsError: as `oneshot.training.fit.fit`.
    """
    started = time.monotonic()
    speed = speed or Speed()
    net = build_net(plan, protocols) if net is None else net
    loss, feed, recipe = make_training(plan, net, protocols)
    set_order(loss, speed.memory_format)
    speed.place(loss)
    checkpoint = checkpoint_of(folder, plan.training)
    kept = read_progress(checkpoint) if checkpoint.exists() else None
    if kept is not None and speed.auto:
        speed = speed.decided(kept.identity.get("speed", ()))
    timed = seconds is not None and kept is None
    measured = None
    if timed or speed.device_type == "cuda":  # on a GPU also for what fits into its memory
        budget = math.inf if seconds is None else seconds
        if timed:
            check_budget(budget, budget, 0.0, "an unknown speed")
        batches = (feed.batch(step) for step in range(10**9))
        measured = measure_training(
            loss, feed, recipe, batches, budget=budget, speed=speed, world=World(),
            seconds=min(MEASURED_AT_MOST, budget / 10) if timed or speed.auto else 0.0,
        )  # fmt: skip
        speed = measured.stepper.speed
    validate = make_validation(plan, net, protocols, speed)
    if kept is not None and seconds is not None:
        feed.n_steps = kept.n_steps
    elif measured is not None and seconds is not None:
        a_validation = validation_seconds(validate, speed)
        feed.n_steps = count_steps(plan, feed, measured, a_validation, seconds, time.monotonic() - started)
    identity = recipe.describe() | {
        "feed": feed.about(), "n_epochs": plan.amount.n_epochs, "timed": seconds is not None,
    }  # fmt: skip
    if measured is not None and speed.device_type == "cuda":
        identity["speed"] = list(speed.parts)
    progress = fit(
        loss, feed, recipe, checkpoint=checkpoint, identity=identity, validate=validate,
        log_every=plan.log_every, checkpoint_seconds=plan.checkpoint_seconds, deadline=deadline,
        on_log=partial(on_log, plan.training), stop=stop, speed=speed,
        stepper=None if measured is None else measured.stepper,
    )  # fmt: skip
    stopped = not progress.complete and stop()  # then it goes on later
    if plan.teaching.whitened and isinstance(net, CosineNet) and not stopped:
        within = measure_within(net, plan.teaching.classes(protocols), protocols.bits, speed)
        whiten(net, within, validate, speed)
    chosen = {"speed": progress.identity["speed"]} if "speed" in progress.identity else {}
    report = TrainingReport.of(plan.training, plan.settings | chosen, progress)
    info = plan.describe_weights(progress.n_seen, net.settings)
    return Trained(net, info, [report], progress.complete)


def count_steps(
    plan: ClassificationPlan,
    feed: EpochFeed,
    measured: Measured,
    a_validation: float,
    seconds: float,
    spent: float,
) -> int:
    """Count the steps that fit into the seconds of which some are spent, with the validations between them.

    Raises:
        ParameterError: not even one step does.
    """
    a_step = 1 / measured.steps_a_second + a_validation * feed.batch_size / feed.n_epoch
    last = (1 + len(WITHIN_SHARES)) * a_validation if plan.teaching.whitened else 0.0
    left = STEPS_MARGIN * (seconds - spent - last)
    check_budget(seconds, left, a_step, f"{a_step:.2g} s a step")
    return min(feed.n_steps, int(left / a_step))


@torch.no_grad()
def measure_within(
    net: CosineNet, classes: Classes, bits: UInt8[np.ndarray, "n 105 14"], speed: Speed
) -> Float[Tensor, "n_code n_code"]:
    """Measure the covariance of codes of unit length within classes, of five drawings of each as they are.

    Training sees distorted ones; this is how drawers differ.
    """
    drawings = [images[:WHITENED_BY] for images in classes.images]
    codes = encode_packed(NetworkScorer(net, speed), bits, np.concatenate(drawings))
    parts = torch.split(F.normalize(codes, dim=1), [len(part) for part in drawings])
    deviations = torch.cat([part - part.mean(0) for part in parts])
    return deviations.T @ deviations / len(deviations)


def whiten(
    net: CosineNet,
    within: Float[Tensor, "n_code n_code"],
    validate: Callable[[], float] | None,
    speed: Speed,
) -> None:
    """Whiten codes by the share of `WITHIN_SHARES` that validates best; leave them if none helps.

    Without validation they are whitened by `UNSELECTED_SHARE`.
    """
    if validate is None:
        net.whiten(within, UNSELECTED_SHARE)
        return
    plain, best = deepcopy(net.code.state_dict()), deepcopy(net.code.state_dict())
    with speed.running():
        least = validate()
        for share in WITHIN_SHARES:
            net.code.load_state_dict(plain)
            net.whiten(within, share)
            error = validate()
            if error < least:
                least, best = error, deepcopy(net.code.state_dict())
    net.code.load_state_dict(best)


def make_validation(
    plan: ClassificationPlan, net: Network, protocols: Protocols, speed: Speed
) -> Callable[[], float] | None:
    """Make what gives the network's present error on the trials that may select its weights."""
    if plan.teaching.validation is None:
        return None
    scorer, episodes = NetworkScorer(net, speed), plan.teaching.validation(protocols)

    def validate() -> float:
        hits = score_list(scorer, protocols, episodes)
        return 1 - int(hits.sum()) / hits.size

    return validate


def validation_seconds(validate: Callable[[], float] | None, speed: Speed) -> float:
    """Measure how long a validation takes."""
    if validate is None:
        return 0.0
    with speed.running():
        validate()  # once for what is compiled or allocated the first time
        begun = time.perf_counter()
        validate()
        return time.perf_counter() - begun
