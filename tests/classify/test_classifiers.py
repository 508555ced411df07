"""The networks of the classification half by name: what they are built of and learn from."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from oneshot.classify.classifiers import (
    ClassifierPlan,
    background_pairs,
    build_net,
    choose_classifier_speed,
    describe_training,
    fit_episodes,
    judge_pairs,
    judge_validation,
    make_scorer,
    make_training,
    validation_error,
)
from oneshot.classify.episode_feeds import EpisodeFeed, EpisodeLoss, SiameseEpisodeLoss
from oneshot.classify.nets.bases import BASES
from oneshot.classify.nets.koch import KochSmall, SiamesePair
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.pair_feeds import FixedPairs, PairLoss
from oneshot.classify.pairs import draw_set
from oneshot.classify.protocols import Protocols, find_protocols, own_protocols
from oneshot.classify.recipes import Constant, Halving, Own, Published
from oneshot.classify.training import Progress, fit_pairs
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import Drawings, unpack_rows
from oneshot.params import Classifiers, EpisodeTraining, PairTraining, load_params
from oneshot.training.speed import choose_speed
from tests.classify.test_protocols import SIZES
from tests.conftest import ROOT
from tests.omniglot.test_own_images import make_folder, split

PAIRS = PairTraining(n_pairs=20, n_copies=2, n_epochs=2)
EPISODES = EpisodeTraining(n_episodes=3, n_epochs=2)
NAMES = list(Classifiers.model_fields)


class TinyBase(KochSmall):
    def __init__(self) -> None:
        super().__init__((2, 2, 2, 4), 8)
        self.settings = {}


@pytest.fixture(autouse=True)
def tiny_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASES, "tiny", TinyBase)


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    return find_protocols(synthetic_drawings, SIZES)


def plan(name: str, **changes: Any) -> ClassifierPlan:
    recipes = load_params(ROOT / "params.yaml").classification.recipes
    training = EPISODES if name in ("own", "protonet") else PAIRS
    return ClassifierPlan(**{"name": name, "base": "tiny", "seed": 4, "training": training,
                             "recipes": recipes} | changes)  # fmt: skip


def test_the_pipeline_trains_the_nets_that_parameters_name() -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train_classifier"]
    assert stage["matrix"]["net"] == NAMES


def test_table_1s_cells_at_full_scale_are_the_published_ones() -> None:
    nets = load_params(ROOT / "params.yaml").scales["paper"].classification.nets
    cells = {
        f"pairs_{n}{ending}": PairTraining(n_pairs=n, n_copies=copies, n_epochs=200)
        for n in (30_000, 90_000, 150_000)
        for ending, copies in (("", 0), ("_affine", 8))
    }
    assert {name: getattr(nets, name) for name in cells} == cells
    assert nets.background == PairTraining(n_pairs=30_000, n_copies=0, n_epochs=10)


@pytest.mark.parametrize("name", NAMES)
def test_each_net_has_its_loss_feed_and_recipe(name: str, protocols: Protocols) -> None:
    of_name = plan(name)
    net = build_net(of_name, protocols)
    loss, feed, recipe = make_training(of_name, net, protocols)
    assert loss.net is net
    kinds = {
        "own": (SiamesePair, SiameseEpisodeLoss, EpisodeFeed, Own, "own"),
        "protonet": (ProtoNet, EpisodeLoss, EpisodeFeed, Halving, "protonet"),
        "background": (SiamesePair, PairLoss, FixedPairs, Constant, "background"),
    }.get(name, (SiamesePair, PairLoss, FixedPairs, Published, "published"))
    assert (type(net), type(loss), type(feed), type(recipe), of_name.recipe) == kinds
    if isinstance(feed, FixedPairs):
        source = protocols.background if name == "background" else protocols.pairs
        assert source is not None
        assert feed.pairs.sha256() == draw_set(source["train"], 20, 4).sha256()
        assert (feed.n_copies, feed.n_epoch) == (2, 60)
    else:
        assert isinstance(feed, EpisodeFeed)
        assert feed.classes is protocols.training
        assert (feed.n_epoch, feed.seed) == (3, 4)


@pytest.mark.parametrize("name", ["own", "background", "protonet"])
def test_initial_weights_come_from_the_seed(name: str, protocols: Protocols) -> None:
    same, again, other = (build_net(plan(name, seed=seed), protocols).state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(same, again, atol=0, rtol=0)
    key = next(key for key in same if "convolutions" in key and key.endswith("weight"))
    assert not torch.equal(same[key], other[key])


def test_recipe_own_alone_scales_its_initial_weights_to_the_drawings(protocols: Protocols) -> None:
    images = torch.from_numpy(unpack_rows(protocols.bits[np.concatenate(protocols.training.images)])).float()
    deviations = {}
    for name in ("own", "background"):
        net = build_net(plan(name), protocols)
        assert isinstance(net, SiamesePair)
        with torch.no_grad():
            deviations[name] = net(images[:100], images[100:200]).std().item()
    assert 0.5 < deviations["own"] < 2
    assert deviations["background"] < 0.1


def test_an_unknown_base_is_named(protocols: Protocols) -> None:
    with pytest.raises(ParameterError, match="base is 'huge'; there are koch, koch_small"):
        build_net(plan("own", base="huge"), protocols)


def test_the_background_protocol_needs_drawers_in_common() -> None:
    images = split(make_folder([3] * 20, [""] * 20))
    of_own = own_protocols(images, SIZES)
    of_name = plan("background")
    with pytest.raises(ParameterError, match="background needs images by the same drawers"):
        make_training(of_name, build_net(of_name, of_own), of_own)


@pytest.mark.parametrize("name", ["pairs_30000_affine", "own", "protonet"])
def test_nets_train_on_own_images(name: str, tmp_path: Any) -> None:
    recipes = load_params(ROOT / "params.yaml").classification.recipes
    few = {"n_way": 3, "n_query": 1}
    recipes = recipes.model_copy(
        update={kind: getattr(recipes, kind).model_copy(update=few) for kind in ("own", "protonet")}
    )
    of_own = own_protocols(split(make_folder([3] * 20, [""] * 20)), SIZES)
    of_name = plan(name, recipes=recipes)
    net = build_net(of_name, of_own)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    loss, feed, recipe = make_training(of_name, net, of_own)
    progress = fit_pairs(loss, feed, recipe, checkpoint=tmp_path / "run", n_epochs=1)
    assert progress.complete
    assert any(not torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["own", "protonet", "background"])
def test_what_is_judged_fits_the_net(name: str, protocols: Protocols) -> None:
    of_name = plan(name)
    scorer = make_scorer(build_net(of_name, protocols))
    validation = judge_validation(scorer, protocols)
    assert validation["n"] == 60
    assert validation_error(scorer, protocols, of_name.recipe) == pytest.approx(1 - validation["value"])
    judged = judge_pairs(scorer, protocols, of_name.recipe)
    assert (
        set(judged)
        == {
            "own": {"verification"},
            "protonet": set(),
            "background": {"verification", "background_verification"},
        }[name]
    )
    if name == "background":
        assert {split: mean["n"] for split, mean in judged["background_verification"].items()} == {
            "validation": 10_000, "test": 10_000,
        }  # fmt: skip


def test_background_pairs_are_of_their_splits_drawers(protocols: Protocols) -> None:
    assert set(np.unique(background_pairs(protocols, "validation").drawings % 20)) == {12, 13, 14, 15}
    assert set(np.unique(background_pairs(protocols, "test").drawings % 20)) == {16, 17, 18, 19}


def test_a_training_is_described_in_plain_words(protocols: Protocols) -> None:
    of_name = plan("pairs_30000_affine")
    net = build_net(of_name, protocols)
    _, feed, _ = make_training(of_name, net, protocols)
    progress = Progress({}, n_steps=10, step=5, best_step=3, stopped_early=True)
    about = describe_training(of_name, net, feed, progress)
    assert about == {
        "net": "siamese_pair", "base": "tiny", "recipe": "published",
        "n_parameters": sum(p.numel() for p in net.parameters()), "n_pairs": 20, "n_copies": 2,
        "n_seen": 5 * 128, "n_epochs": 5 * 128 / 60, "n_steps": 5, "n_steps_planned": 10,
        "stopped_early": True, "best_step": 3, "seed": 4,
    }  # fmt: skip
    of_name = plan("protonet")
    net = build_net(of_name, protocols)
    _, feed, _ = make_training(of_name, net, protocols)
    about = describe_training(of_name, net, feed, progress)
    assert (about["net"], about["base"], about["n_pairs"], about["n_seen"]) == ("protonet", None, None, 5)


@pytest.mark.parametrize(
    ("recipe", "parts"),
    [("own", {"bf16"}), ("protonet", {"bf16"}), ("published", {"tf32"}), ("background", {"tf32"})],
)
def test_pairs_on_published_weights_are_not_computed_in_bfloat16(
    recipe: str, parts: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    speed = choose_classifier_speed("cuda", "auto", recipe)
    assert set(speed.parts) & {"bf16", "tf32"} == parts
    assert set(speed.parts) - parts == {"channels_last", "compiled", "fused"}
    assert choose_classifier_speed("cuda", "bf16", recipe).parts == ("bf16",)
    assert choose_classifier_speed("cpu", "auto", recipe) == choose_speed("cpu", "auto")


def test_other_images_are_trained_on_with_as_many_ways_and_queries_as_they_have(
    protocols: Protocols,
) -> None:
    numbers = load_params(ROOT / "params.yaml").classification.recipes.own
    wide = numbers.model_copy(update={"n_way": 1000, "n_query": 50})
    found = fit_episodes(wide, protocols)
    assert (found.n_way, found.n_query) == (4 * len(protocols.training), 19)
    assert fit_episodes(numbers, protocols) == numbers
    assert fit_episodes(wide, dataclasses.replace(protocols, source="omniglot")) == wide


@pytest.mark.parametrize("n_images", [2, 3, 30])
def test_the_default_numbers_train_on_small_folders(n_images: int) -> None:
    params = load_params(ROOT / "params.yaml")
    folder = make_folder([n_images] * 26, [""] * 26)
    sizes = params.other_images
    images = split(folder, validation_share=sizes.validation_share, test_share=sizes.test_share,
                   least_images=sizes.least_images)  # fmt: skip
    of_own = own_protocols(images, sizes)
    for name in ("own", "protonet"):
        of_name = plan(name)
        loss, feed, _ = make_training(of_name, build_net(of_name, of_own), of_own)
        assert torch.isfinite(loss(*feed.batch(0)))
