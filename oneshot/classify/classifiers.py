"""The networks of the classification half, by name: what each is built of and how it is trained."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from oneshot.classify.episode_feeds import N_TURNS, EpisodeFeed, EpisodeLoss, SiameseEpisodeLoss
from oneshot.classify.episode_scores import Scorer, accuracy
from oneshot.classify.nets.bases import BASES
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.nets.scaled import initialise_scaled
from oneshot.classify.pair_feeds import FixedPairs, PairLoss
from oneshot.classify.pairs import Pairs, draw_set
from oneshot.classify.protocols import Protocols
from oneshot.classify.recipes import Constant, Halving, Own, Published, Recipe
from oneshot.classify.scorers import ProtoScorer, SiameseScorer
from oneshot.classify.scoring import score_list, score_verification, summarise_hits
from oneshot.classify.training import Feed, LossOfNet, Progress
from oneshot.classify.weights import describe_scorer
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import unpack_rows
from oneshot.params import ClassificationRecipes, EpisodeNumbers, EpisodeTraining, PairTraining
from oneshot.published import read_facts
from oneshot.training.speed import Speed, choose_speed

BACKGROUND, OWN, PROTONET = "background", "own", "protonet"
PUBLISHED = "published"
BACKGROUND_SEED = 21  # of its validation and test pairs
SCALED_TO = 256  # drawings

Net = SiamesePair | ProtoNet


@dataclass(frozen=True)
class ClassifierPlan:
    """One training: `name` is one of `oneshot.params.Classifiers`, `base` of `oneshot.classify.nets.bases`.

    `training` says how much, `recipes` holds the numbers of all recipes.
    """

    name: str
    base: str
    seed: int
    training: PairTraining | EpisodeTraining
    recipes: ClassificationRecipes

    @property
    def recipe(self) -> str:
        """Its name."""
        return self.name if self.name in (BACKGROUND, OWN, PROTONET) else PUBLISHED


def build_net(plan: ClassifierPlan, protocols: Protocols) -> Net:
    """With initial weights from the seed; recipe own scales them to some of the drawings trained on.

    Raises:
        ParameterError: there is no such base.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    if plan.name == PROTONET:
        return ProtoNet().initialise(generator)
    if plan.base not in BASES:
        raise ParameterError(f"base is {plan.base!r}; there are {', '.join(BASES)}.")
    net = SiamesePair(BASES[plan.base]())
    if plan.name != OWN:
        return net.initialise(generator)
    numbers = np.concatenate(protocols.training.images)
    chosen = np.random.default_rng(plan.seed).permutation(numbers)[:SCALED_TO]
    images = torch.from_numpy(unpack_rows(protocols.bits[np.sort(chosen)])).float()
    return initialise_scaled(net, images, generator)


def make_training(plan: ClassifierPlan, net: Net, protocols: Protocols) -> tuple[LossOfNet, Feed, Recipe]:
    """What `oneshot.classify.training.fit_pairs` takes.

    Raises:
        ParameterError: the images are too few, or of a protocol that these images do not have.
    """
    training, recipes = plan.training, plan.recipes
    loss: LossOfNet
    if isinstance(training, EpisodeTraining):
        numbers = fit_episodes(recipes.own if plan.name == OWN else recipes.protonet, protocols)
        feed = EpisodeFeed(
            protocols.training, seed=plan.seed, n_way=numbers.n_way, n_shot=numbers.n_shot,
            n_query=numbers.n_query, n_epoch=training.n_episodes,
            within_alphabets=numbers.within_alphabets, turned=numbers.turned, distorted=numbers.distorted,
        )  # fmt: skip
        kind = EpisodeLoss if isinstance(net, ProtoNet) else SiameseEpisodeLoss
        loss = kind(net, protocols.bits, numbers.n_way, numbers.n_shot)  # type: ignore[arg-type]
        own = Own(recipes.own.lr, recipes.own.weight_decay)
        return loss, feed, own if plan.name == OWN else Halving(numbers.lr)
    assert isinstance(net, SiamesePair)
    source, batch_size = protocols.pairs["train"], recipes.published.batch_size
    recipe: Recipe = Published(
        recipes.published.lrs, recipes.published.momenta, recipes.published.l2s, recipes.published.patience
    )
    if plan.name == BACKGROUND:
        if protocols.background is None:
            raise ParameterError(f"{BACKGROUND} needs images by the same drawers, which own images have not.")
        source, batch_size = protocols.background["train"], recipes.background.batch_size
        recipe = Constant(recipes.background.lr)
    pairs = draw_set(source, training.n_pairs, plan.seed)
    return (
        PairLoss(net, protocols.bits),
        FixedPairs(pairs, batch_size=batch_size, seed=plan.seed, n_copies=training.n_copies),
        recipe,
    )


def fit_episodes(numbers: EpisodeNumbers, protocols: Protocols) -> EpisodeNumbers:
    """The recipe's own on Omniglot; of fewer ways and queries where other images are too few for them."""
    if protocols.source == "omniglot":
        return numbers
    classes = protocols.training
    n_ways = len(classes) * (N_TURNS if numbers.turned else 1)
    fewest = min((len(images) for images in classes.images), default=0)
    changes = {
        "n_way": min(numbers.n_way, n_ways),
        "n_query": max(1, min(numbers.n_query, fewest - numbers.n_shot)),
    }
    return numbers.model_copy(update=changes)


def make_scorer(net: Net, speed: Speed | None = None) -> SiameseScorer | ProtoScorer:
    return ProtoScorer(net, speed) if isinstance(net, ProtoNet) else SiameseScorer(net, speed)


def validation_error(scorer: Scorer, protocols: Protocols, recipe: str) -> float:
    """On the trials that may select a network, and stop its training: as few as published, or more.

    One of the 320 is 0.3 points, and their standard error two: the best of many epochs is the luckiest.
    """
    episodes = protocols.validation if recipe == PUBLISHED else protocols.selection
    return 1 - accuracy(score_list(scorer, protocols, episodes)).value


def judge_validation(scorer: Scorer, protocols: Protocols) -> dict[str, Any]:
    return asdict(accuracy(score_list(scorer, protocols, protocols.validation)))


def judge_pairs(scorer: Scorer, protocols: Protocols, recipe: str) -> dict[str, Any]:
    """Verification accuracy of networks that compare pairs; of the background protocol its own, too."""
    if not isinstance(scorer, SiameseScorer):
        return {}
    judged = {"verification": summarise_hits(score_verification(scorer, protocols))}
    if recipe == BACKGROUND and protocols.background is not None:
        judged["background_verification"] = {
            split: summarise_hits(score_verification(scorer, protocols, background_pairs(protocols, split)))
            for split in ("validation", "test")
        }
    return judged


def background_pairs(protocols: Protocols, split: str) -> Pairs:
    """As many as the paper's verification has."""
    assert protocols.background is not None
    return draw_set(protocols.background[split], read_facts("koch")["n_verification_pairs"], BACKGROUND_SEED)


def choose_classifier_speed(device: str, parts: str, recipe: str) -> Speed:
    """`choose_speed`; but pairs on published initial weights are computed with 10 bits where it takes 7.

    With those weights the last convolution's numbers differ by 0.003 between drawings around 0.5, where
    bfloat16's steps are 0.004.
    """
    speed = choose_speed(device, parts)
    if parts == "auto" and speed.bf16 and recipe in (PUBLISHED, BACKGROUND):
        return replace(speed, bf16=False, tf32=True)
    return speed


def describe_training(plan: ClassifierPlan, net: Net, feed: Feed, progress: Progress) -> dict[str, Any]:
    """What metrics, records and weights tell of a training; `n_seen` counts pairs or episodes."""
    pairs = plan.training if isinstance(plan.training, PairTraining) else None
    about = describe_scorer(net)
    return {
        "net": about.net,
        "base": about.base,
        "recipe": plan.recipe,
        "n_parameters": sum(parameter.numel() for parameter in net.parameters()),
        "n_pairs": pairs.n_pairs if pairs else None,
        "n_copies": pairs.n_copies if pairs else None,
        "n_seen": progress.step * feed.batch_size,
        "n_epochs": progress.step * feed.batch_size / feed.n_epoch,
        "n_steps": progress.step,
        "n_steps_planned": progress.n_steps,
        "stopped_early": progress.stopped_early,
        "best_step": progress.best_step,
        "seed": plan.seed,
    }
