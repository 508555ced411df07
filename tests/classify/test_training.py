"""Plans by the parameters, what they train, and runs cut to the time there is."""

import dataclasses

import numpy as np
import pytest
import torch

from oneshot.classify import training
from oneshot.classify.feeds import EpisodeFeed, EpisodeLoss, PairFeed, PairLoss
from oneshot.classify.nets import NETS
from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.pairs import draw_set
from oneshot.classify.protocols import Protocols, find_protocols, own_protocols
from oneshot.classify.recipes import Constant, Contrastive, Halving, Own, Published
from oneshot.classify.scoring import NetworkScorer, score_list
from oneshot.classify.training import (
    RECIPES,
    UNSELECTED_SHARE,
    ClassificationPlan,
    build_net,
    choose_plan_speed,
    fit_episodes,
    make_training,
    make_validation,
    plan_training,
    train,
    whiten,
)
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import Drawings, unpack_rows
from oneshot.params import WITH_VALIDATION, load_params
from oneshot.training.distributed import World
from oneshot.training.fit import Stepper
from oneshot.training.measure import Measured, measure_training
from oneshot.training.speed import Speed
from tests.classify.test_protocols import SIZES
from tests.conftest import ROOT, refusing
from tests.fake_runs import Tiny
from tests.omniglot.test_own_images import make_folder, split

NETWORKS = load_params(ROOT / "params.yaml").classification.networks


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETS, "tiny", Tiny)


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    return find_protocols(synthetic_drawings, SIZES)


def plan(name: str, *overrides: str, seed: int = 4) -> ClassificationPlan:
    pairs = NETWORKS[name].recipe in ("published", "background")
    amount = "{n_pairs: 20, n_copies: 2, n_epochs: 2}" if pairs else "{n_episodes: 3, n_epochs: 2}"
    usual = ["scale=smoke", "scales.smoke.classification.base=tiny", "log_every=5",
             f"classification.networks.{name}.smoke={amount}"]  # fmt: skip
    return plan_training(load_params(ROOT / "params.yaml", [*usual, *overrides]), name, seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_has_its_loss_feed_and_recipe(name, protocols):
    of_name = plan(name)
    net = build_net(of_name, protocols)
    loss, feed, recipe = make_training(of_name, net, protocols)
    assert loss.net is net
    kinds = {
        "own": (Tiny, EpisodeLoss, EpisodeFeed, Own, "own"),
        "contrastive": (CosineNet, EpisodeLoss, EpisodeFeed, Contrastive, "contrastive"),
        "contrastive_40": (CosineNet, EpisodeLoss, EpisodeFeed, Contrastive, "contrastive_40"),
        "contrastive_koch": (Tiny, EpisodeLoss, EpisodeFeed, Contrastive, "contrastive"),
        "protonet": (ProtoNet, EpisodeLoss, EpisodeFeed, Halving, "protonet"),
        "background": (Tiny, PairLoss, PairFeed, Constant, "background"),
    }.get(name, (Tiny, PairLoss, PairFeed, Published, "published"))
    assert (type(net), type(loss), type(feed), type(recipe), of_name.recipe) == kinds
    if isinstance(feed, PairFeed):
        source = protocols.background if name == "background" else protocols.pairs
        assert source is not None
        assert feed.pairs.sha256() == draw_set(source["train"], 20, 4).sha256()
        assert (feed.n_copies, feed.n_epoch, feed.n_steps) == (2, 60, 1)
    else:
        assert isinstance(feed, EpisodeFeed)
        both = name == "contrastive_40"
        assert feed.classes is (protocols.training_and_validation if both else protocols.training)
        assert (feed.n_epoch, feed.seed, feed.n_steps) == (3, 4, 6)


def test_a_plan_holds_every_number_in_force():
    of_name = plan("own", "classification.recipes.own.lr=0.5")
    assert (of_name.task, of_name.name, of_name.net, of_name.base) == (
        "classification",
        "own",
        "tiny",
        "tiny",
    )
    expected = {"base": "tiny", "lr": 0.5, "n_way": 20, "turned": True, "n_episodes": 3, "n_epochs": 2}
    assert expected.items() <= of_name.settings.items()
    assert plan("protonet").base is None


def test_what_cannot_be_planned_is_one_sentence(protocols):
    with pytest.raises(
        ParameterError,
        match="own is a 'huge'; there are cosine_net, ensemble, koch, koch_small, protonet, tiny",
    ):
        plan("own", "scales.smoke.classification.base=huge")
    with pytest.raises(ParameterError, match="own is not trained at scale smoke"):
        plan("own", "classification.networks.own.smoke=null")
    with pytest.raises(ParameterError, match="recipe background trains on pairs, which a protonet does not"):
        plan("background", "classification.networks.background.net=protonet")
    with pytest.raises(
        ParameterError, match="there is no network 'mine' for classification; there are pairs"
    ):
        plan_training(load_params(ROOT / "params.yaml"), "mine")
    misfit = plan("own")
    with pytest.raises(ParameterError, match=r"own.settings do not fit a tiny: .*'colour'"):
        build_net(dataclasses.replace(misfit, net_settings={"colour": 1}), protocols)
    pooled = plan("contrastive", "classification.networks.contrastive.settings.side=7")
    with pytest.raises(ParameterError, match=r"contrastive.settings do not .*side 7 .* layer has 0 weights"):
        build_net(pooled, protocols)
    huge = plan("contrastive", "classification.networks.contrastive.settings={side: 105, channels: [900]}")
    with pytest.raises(ParameterError, match=r"linear layer has 1905120000 weights"):
        build_net(huge, protocols)
    of_own = own_protocols(split(make_folder([3] * 20, [""] * 20)), SIZES)
    of_name = plan("background")
    with pytest.raises(ParameterError, match="background needs images by the same drawers"):
        make_training(of_name, build_net(of_name, protocols), of_own)


@pytest.mark.parametrize("name", ["own", "background", "protonet", "contrastive"])
def test_initial_weights_come_from_the_seed(name, protocols):
    same, again, other = (build_net(plan(name, seed=seed), protocols).state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(same, again, atol=0, rtol=0)
    key = next(key for key in same if "convolutions" in key and key.endswith("weight"))
    assert not torch.equal(same[key], other[key])


def test_recipe_own_alone_scales_its_initial_weights_to_the_drawings(protocols):
    images = torch.from_numpy(unpack_rows(protocols.bits[np.concatenate(protocols.training.images)])).float()
    deviations = {}
    for name in ("own", "background"):
        net = build_net(plan(name), protocols)
        assert isinstance(net, SiamesePair)
        with torch.no_grad():
            deviations[name] = net(images[:100], images[100:200]).std().item()
    assert 0.5 < deviations["own"] < 2
    assert deviations["background"] < 0.1


@pytest.mark.parametrize("name", ["pairs_30000_affine", "own", "protonet", "contrastive"])
def test_networks_train_on_own_images(name, tmp_path):
    few = [
        f"classification.recipes.{kind}.{key}"
        for kind in ("own", "protonet", "contrastive")
        for key in ("n_way=3", "n_query=1")
    ]
    of_own = own_protocols(split(make_folder([3] * 20, [""] * 20)), SIZES)
    of_name = plan(name, *few)
    before = build_net(of_name, of_own).state_dict()
    seen: list[tuple[str, int]] = []
    trained = train(
        of_name, of_own, folder=tmp_path, on_log=lambda name, point: seen.append((name, point.step))
    )
    assert trained.complete
    (report,) = trained.trainings
    assert seen[-1] == (report.name, report.n_steps)
    assert report.n_seen == trained.info.training["n_seen"] > 0
    assert (trained.info.net, trained.info.training["recipe"]) == (of_name.net, of_name.recipe)
    assert any(not torch.equal(before[key], value) for key, value in trained.net.state_dict().items())


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("own", "selection"), ("contrastive", "selection"), ("contrastive_koch", "selection"),
        ("protonet", "selection"), ("pairs_30000", "validation"),
    ],
)  # fmt: skip
def test_weights_are_selected_on_trials_that_are_not_tested(name, trials, protocols):
    copies = {name: dataclasses.replace(getattr(protocols, name)) for name in ("validation", "selection")}
    differing = dataclasses.replace(protocols, **copies)
    validation = RECIPES[NETWORKS[name].recipe].validation
    assert validation is not None
    assert validation(differing) is copies[trials]


def test_validation_gives_the_share_of_wrong_answers(protocols):
    of_name = plan("own")
    net = build_net(of_name, protocols)
    hits = score_list(NetworkScorer(net), protocols, protocols.selection)
    validate = make_validation(of_name, net, protocols, Speed())
    assert validate is not None
    assert validate() == pytest.approx(1 - hits.mean())
    assert make_validation(plan("background"), net, protocols, Speed()) is None


def test_a_budget_cuts_the_steps_and_a_run_that_goes_on_keeps_them(tmp_path, protocols, monkeypatch):
    of_name = plan("own", "classification.networks.own.smoke.n_epochs=100000")
    monkeypatch.setattr(
        training, "measure_training", lambda loss, *_, speed, **__: Measured(Stepper(loss, speed), 0.1)
    )
    monkeypatch.setattr(training, "validation_seconds", lambda *_: 0.0)
    asked = iter([True])
    stopped = train(
        of_name, protocols, folder=tmp_path / "a", seconds=60.0, stop=lambda: next(asked, False)
    ).trainings[0]
    resumed = train(of_name, protocols, folder=tmp_path / "a", seconds=60.0)
    assert resumed.complete
    assert 6 > resumed.trainings[0].n_steps == stopped.n_steps_planned > stopped.n_steps == 1
    with pytest.raises(ParameterError, match="too few to train in"):
        train(of_name, protocols, folder=tmp_path / "none", seconds=5.0)


@pytest.mark.parametrize("seconds", [0.0, -3.0, 0.001])
def test_a_budget_of_nothing_is_one_sentence(seconds, tmp_path, protocols):
    with refusing(ParameterError, match=r"0? s are too few to train in: 0 s are left after the start"):
        train(plan("own"), protocols, folder=tmp_path, seconds=seconds)


@pytest.mark.parametrize("name", ["own", "protonet", "pairs_30000_affine"])
def test_measuring_leaves_no_trace_in_the_network(name, protocols):
    net = build_net(plan(name), protocols)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    loss, feed, recipe = make_training(plan(name), net, protocols)
    batches = (feed.batch(step) for step in range(1000))
    found = measure_training(loss, feed, recipe, batches, seconds=0.1, speed=Speed(), world=World())
    assert found.steps_a_second > 0
    torch.testing.assert_close(net.state_dict(), before, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("own", {"bf16"}), ("protonet", {"bf16"}), ("pairs_30000_affine", {"tf32"}), ("background", {"tf32"})],
)
def test_pairs_on_published_weights_are_not_computed_in_bfloat16(name, parts, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    speed = choose_plan_speed("cuda", "auto", plan(name))
    assert set(speed.parts) & {"bf16", "tf32"} == parts
    assert set(speed.parts) - parts == {"channels_last", "compiled", "fused"}
    assert choose_plan_speed("cuda", "bf16", plan(name)).parts == ("bf16",)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    on_cpu = {"channels_last", "fused"} | parts & {"bf16"}
    assert set(choose_plan_speed("cpu", "auto", plan(name)).parts) == on_cpu


def test_other_images_are_trained_on_with_as_many_ways_and_queries_as_they_have(protocols):
    numbers = load_params(ROOT / "params.yaml").classification.recipes.own
    wide = numbers.model_copy(update={"n_way": 1000, "n_query": 50})
    found = fit_episodes(wide, protocols.training, "synthetic")
    assert (found.n_way, found.n_query) == (4 * len(protocols.training), 19)
    assert fit_episodes(numbers, protocols.training, "synthetic") == numbers
    assert fit_episodes(wide, protocols.training, "omniglot") == wide


@pytest.mark.parametrize("n_images", [2, 3, 30])
def test_the_default_numbers_train_on_small_folders(n_images):
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


def test_codes_are_whitened_as_it_validates_best_or_not_at_all(synthetic_drawings):
    def whitened_by(errors):
        net = CosineNet((4, 4), 16, 8).initialise(np.random.default_rng(0))
        before = net.code.weight.clone()
        left = iter(errors)
        whiten(net, within, lambda: next(left), Speed())
        assert next(left, None) is None
        return before, net

    spread = torch.rand(8, 8, generator=torch.Generator().manual_seed(1))
    within = spread @ spread.T
    before, net = whitened_by([0.2, 0.3, 0.2, 0.25])
    assert torch.equal(net.code.weight, before)
    before, net = whitened_by([0.2, 0.15, 0.1, 0.25])
    expected = CosineNet((4, 4), 16, 8).initialise(np.random.default_rng(0))
    expected.whiten(within, 1.0)
    assert torch.equal(net.code.weight, expected.code.weight)
    assert not torch.equal(net.code.weight, before)


def test_the_recipe_that_trains_on_the_validation_alphabets_selects_nothing(protocols):
    trained_on_both = {
        name for name, teaching in RECIPES.items()
        if teaching.classes(protocols) is protocols.training_and_validation
    }  # fmt: skip
    assert trained_on_both == {WITH_VALIDATION}
    assert RECIPES[WITH_VALIDATION].validation is None


def test_codes_are_whitened_by_a_fixed_share_where_nothing_selects(protocols, tmp_path, monkeypatch):
    shares = []
    monkeypatch.setattr(CosineNet, "whiten", lambda self, within, share: shares.append(share))
    trained = train(plan("contrastive_40"), protocols, folder=tmp_path)
    assert shares == [UNSELECTED_SHARE]
    assert trained.trainings[0].best_step == 6
