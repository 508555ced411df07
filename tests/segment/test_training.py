"""Whole trainings: plans by the parameters, time budgets, two trainings in turn, going on."""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from oneshot.errors import ParameterError, TrainingError
from oneshot.params import load_params
from oneshot.segment import training
from oneshot.segment.masknet_losses import DiscriminatorLoss
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.render_ahead import Stock
from oneshot.segment.training import (
    PlannedTraining,
    SegmentationPlan,
    build_net,
    make_objective,
    plan_training,
    train,
)
from oneshot.segment.training_set import TrainingSet
from oneshot.training.fit import Stepper
from oneshot.training.measure import Measured
from oneshot.training.progress import Progress
from oneshot.training.tensors import WeightsError, save_network
from tests.conftest import ROOT, refusing
from tests.fake_scenes import fake_scenes, fake_targets
from tests.tiny_masknet import make_masknet

PHASES = (Phase((4,), 40), Phase((8,), 160))
LONG = (Phase((4,), 4000), Phase((8,), 16000))


class FakeTrainingSet(TrainingSet):
    """Jobs of fake scenes."""

    def __init__(self):
        self.covered_shares = set()

    def render_job(self, level, job, covered_share=0.0):
        """Scenes of the share are other ones, their targets hidden."""
        self.covered_shares.add(covered_share)
        scenes = fake_scenes(20, level, seed=job)
        n_covered = int(20 * covered_share)
        scenes.masks[20 - n_covered :] = False
        return scenes[np.tile(np.arange(20), 100)]

    def render_targets(self, level, characters, seed):
        return fake_targets(level, characters, seed)


def make_plan(trainings, **changes) -> SegmentationPlan:
    settings = {
        "task": "segmentation", "name": "tiny", "net": "siamese_unet", "recipe": "fast", "settings": {},
        "seed": 1, "scale": "smoke", "log_every": 5, "checkpoint_seconds": 60.0, "feature_maps": 2,
        "n_jobs": 1, "proposals_share": 0.6, "starts_from": None, "trainings": tuple(trainings),
    }  # fmt: skip
    return SegmentationPlan(**settings | changes)


def plan_one(phases=PHASES, n_epochs=None, **changes) -> SegmentationPlan:
    recipe = SegmentationRecipe("fast", 2e-3, 4, 0.1, n_epochs)
    return make_plan([PlannedTraining("segmentation", recipe, tuple(phases))], **changes)


def plan_two(name="fast", **changes) -> SegmentationPlan:
    make = partial(SegmentationRecipe, name, 2e-3, 4, trained_before=True)
    weights = {"proposals": 0.1, "discriminator": 0.0}
    return make_plan(
        [PlannedTraining(one, make(weight), (Phase((4,), 40),)) for one, weight in weights.items()],
        net="masknet", starts_from="tiny", **changes,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Trains a tiny Siamese-U-Net from the same start each time; gives it and its training."""

    def run_it(phases=PHASES, folder="run", n_epochs=None, **settings):
        trained = train(plan_one(phases, n_epochs), FakeTrainingSet(), folder=tmp_path / folder, **settings)
        return trained, trained.trainings[0]

    return run_it


@pytest.fixture
def run_both(tmp_path):
    """Trains a tiny MaskNet likewise."""

    def run_it(folder="run", **settings):
        changes = {"log_every": settings.pop("log_every", 5)}
        return train(
            plan_two(**changes), FakeTrainingSet(), net=make_masknet(), folder=tmp_path / folder, **settings
        )

    return run_it


@pytest.fixture
def set_rate(monkeypatch):
    """Sets the scenes a second that are measured."""
    return lambda rate, **times: monkeypatch.setattr(
        training, "measure_training", fake_measure(rate / 4, **times)
    )


def fake_measure(steps_a_second, start_seconds=0.0):
    """Stands for a measurement that took no time."""
    return lambda loss, *_, speed, **__: Measured(Stepper(loss, speed), steps_a_second, start_seconds)


def n_scenes_of(report):
    return [phase["n_scenes"] for phase in report.settings["phases"]]


def test_without_a_budget_all_phases_are_trained_on(run):
    trained, report = run()
    assert trained.complete
    counts = (report.n_seen, report.n_steps, report.n_steps_planned)
    assert (report.name, counts) == ("segmentation", (200, 50, 50))
    assert n_scenes_of(report) == [40, 160]
    assert (trained.info.net, trained.info.settings) == ("siamese_unet", {"feature_maps": 2})
    assert trained.info.training["n_seen"] == 200
    assert trained.info.statistics.keys() == {"mean", "std"}


def test_a_budget_cuts_the_phases_to_the_measured_speed(run, set_rate):
    set_rate(100.0)
    trained, report = run(LONG, seconds=4.0)
    assert trained.complete
    cut_to = n_scenes_of(report)
    assert 150 < sum(cut_to) <= 400
    assert cut_to[1] / cut_to[0] == pytest.approx(4, abs=0.4)
    rates = [point.lr for point in report.curve]
    assert rates[-1] < 0.02 * max(rates)  # the schedule ends with the cut phases


def test_on_a_cpu_the_time_is_shared_with_rendering(run, set_rate, monkeypatch):
    asked = []
    monkeypatch.setattr(Stock, "measure_seconds", lambda stock, visits: asked.append(visits) or 0.01)
    set_rate(100.0)
    _, report = run([Phase((4, 8), 4000)], seconds=4.0)
    assert asked == [[(4, 0), (8, 0)]]
    assert 75 < sum(n_scenes_of(report)) <= 200


def test_a_budget_that_holds_everything_changes_nothing(run, set_rate):
    set_rate(1e6)
    _, report = run(seconds=100.0, n_epochs=20)
    assert (n_scenes_of(report), report.settings["n_epochs"]) == ([40, 160], 20)


def test_measuring_leaves_no_trace_in_the_network(run, monkeypatch):
    monkeypatch.setattr(training, "MEASURED_SECONDS", 0.1)
    plain, _ = run()
    measured, report = run(seconds=1000.0, folder="other")
    assert n_scenes_of(report) == [40, 160]
    torch.testing.assert_close(measured.net.state_dict(), plain.net.state_dict(), atol=0, rtol=0)


def test_too_short_a_budget_is_one_sentence(run, set_rate):
    set_rate(0.5)
    with pytest.raises(ParameterError, match=r"2 s are too few to train in: .*0\.5 scenes a second"):
        run(seconds=2.0)


def test_a_resumed_run_keeps_the_phases_that_were_cut_at_its_start(run, set_rate):
    set_rate(100.0)
    asked = iter([False] * 20 + [True])
    stopped, first = run(LONG, seconds=4.0, stop=lambda: next(asked, True))
    assert first.n_steps == 21
    assert not stopped.complete
    set_rate(1.0)
    resumed, second = run(LONG, seconds=4.0)
    assert second.settings == first.settings
    assert resumed.complete
    assert replace(second.curve[0], seconds=0.0) == replace(first.curve[0], seconds=0.0)


def test_a_deadline_ends_the_run_early(run):
    trained, _ = run(deadline=time.monotonic())
    assert not trained.complete


def test_both_trainings_go_to_the_end(run_both):
    seen = []
    before = make_masknet().state_dict()
    trained = run_both(on_log=lambda name, point: seen.append((name, point.step)))
    assert trained.complete
    assert [report.n_seen for report in trained.trainings] == [40, 40]
    assert trained.info.training["n_seen"] == 80
    assert seen == [("proposals", 5), ("proposals", 10), ("discriminator", 5), ("discriminator", 10)]
    assert all(not torch.equal(tensor, before[name]) for name, tensor in trained.net.state_dict().items())


def test_the_discriminator_begins_as_the_target_encoder_is_after_the_first_training(run_both, monkeypatch):
    starts, begin = [], DiscriminatorLoss.begin

    def look(loss):
        starts.append({name: tensor.clone() for name, tensor in loss.net.discriminator.state_dict().items()})
        begin(loss)
        torch.testing.assert_close(
            loss.net.discriminator.state_dict(), loss.net.siamese.target_encoder.state_dict(), atol=0, rtol=0
        )
        starts.append(loss.net.discriminator.state_dict())

    monkeypatch.setattr(DiscriminatorLoss, "begin", look)
    run_both()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(*starts, atol=0, rtol=0)


@pytest.mark.parametrize("n_steps", [7, 10, 13])
def test_a_run_stopped_in_either_training_goes_on_as_if_it_had_not_been(run_both, n_steps):
    whole = run_both(folder="whole")
    asked = iter([False] * (n_steps - 1) + [True])
    assert not run_both(stop=lambda: next(asked, True)).complete
    resumed = run_both()
    assert resumed.complete
    torch.testing.assert_close(resumed.net.state_dict(), whole.net.state_dict(), atol=0, rtol=0)


def train_matcher(folder, covered_share=0.25, training_set=None, **settings):
    recipe = SegmentationRecipe("own", 2e-3, 8, 0.0, weight_decay=0.02, covered_share=covered_share)
    trainings = [PlannedTraining("segmentation", recipe, (Phase((4, 8), 120),))]
    plan = make_plan(trainings, net="colour_matcher", recipe="own")
    return train(plan, training_set or FakeTrainingSet(), folder=folder, **settings)


@pytest.mark.parametrize("n_steps", [1, 6, 14])
def test_a_colour_matcher_stopped_anywhere_goes_on_as_if_it_had_not_been(n_steps, tmp_path):
    """The running means of its batch norms and its covered scenes included."""
    whole = train_matcher(tmp_path / "whole")
    asked = iter([False] * (n_steps - 1) + [True])
    assert not train_matcher(tmp_path / "run", stop=lambda: next(asked, True)).complete
    resumed = train_matcher(tmp_path / "run")
    assert resumed.complete
    torch.testing.assert_close(resumed.net.state_dict(), whole.net.state_dict(), atol=0, rtol=0)
    curves = [[point.loss for point in trained.trainings[0].curve] for trained in (whole, resumed)]
    assert curves[0] == curves[1]


def test_a_training_is_of_the_share_of_covered_scenes_that_its_recipe_says(tmp_path):
    training_set = FakeTrainingSet()
    covered = train_matcher(tmp_path / "covered", 0.5, training_set)
    # The whole jobs of share 0 are those of the statistics of pixels, which are published.
    assert training_set.covered_shares == {0.0, 0.5}
    plain = train_matcher(tmp_path / "plain", 0.0)
    assert covered.trainings[0].curve[0].loss != plain.trainings[0].curve[0].loss
    assert covered.trainings[0].settings["covered_share"] == 0.5
    assert "covered_share" not in plain.trainings[0].settings


def test_a_training_does_not_go_on_with_another_share_of_covered_scenes(tmp_path):
    asked = iter([False, True])
    train_matcher(tmp_path, 0.5, stop=lambda: next(asked, True))
    for other in (0.25, 0.0):
        with pytest.raises(TrainingError, match="of another run"):
            train_matcher(tmp_path, other)


def test_what_compilation_leaves_of_the_time_is_shared_out(run_both, run, set_rate, monkeypatch):
    given, deadlines = [], []

    def watch_fit(loss, *_, deadline, identity, **__):
        deadlines.append(deadline)
        return Progress(identity, n_steps=0)

    monkeypatch.setattr(training, "fit", watch_fit)
    monkeypatch.setattr(
        training, "cut_to_time", lambda planned, *words: given.append(words) or planned.phases
    )
    monkeypatch.setattr(training.time, "monotonic", lambda: 100.0)
    set_rate(1.0, start_seconds=20.0)
    run_both(seconds=200.0)
    # As much as the first took to compile is kept for the second, which gets all that is left.
    assert [left for *_, left, _ in given] == [pytest.approx(0.6 * 180), pytest.approx(200)]
    assert deadlines == [pytest.approx(100 + 0.6 * 180), np.inf]
    run_both()
    run_both(seconds=200.0, deadline=107.0)
    run(seconds=200.0)
    assert deadlines[2:] == [np.inf, np.inf, 107.0, 107.0, np.inf]


def test_a_share_that_compilation_has_eaten_is_one_sentence(run_both, set_rate):
    set_rate(1000.0, start_seconds=300.0)
    with refusing(ParameterError, match="200 s are too few to train in: 0 s are left after the start, comp"):
        run_both(seconds=200.0)
    with refusing(ParameterError, match="0 s are too few to train in"):
        run_both(seconds=0.0)


def test_a_first_training_slower_than_measured_makes_way_for_the_second_and_is_not_taken_up_again(
    run_both, set_rate, monkeypatch
):
    """Its own part of the time is over, not that of the command."""
    train_once = training.train_once

    def train_slowly(planned, loss, *, deadline, **settings):
        assert deadline == np.inf
        if planned.name == "proposals":
            return train_once(planned, loss, deadline=0.0, **settings)
        return train_once(planned, loss, deadline=deadline, **settings)

    set_rate(1e6)
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_once", train_slowly)
        trained = run_both(seconds=100.0, log_every=2)
    assert [report.n_steps for report in trained.trainings] == [2, 10]
    assert trained.complete
    seen = []
    again = run_both(on_log=lambda name, point: seen.append((name, point.step)), log_every=2)
    assert [report.n_steps for report in again.trainings] == [2, 10]
    assert seen[:2] == [("proposals", 2), ("discriminator", 2)]
    torch.testing.assert_close(again.net.state_dict(), trained.net.state_dict(), atol=0, rtol=0)


def test_no_training_is_begun_after_the_deadline(run_both):
    assert [report.n_steps for report in run_both(deadline=0.0, log_every=2).trainings] == [2]


def test_only_recipe_fast_mends_the_labels():
    for name, corrected in {"published": False, "fast": True}.items():
        for planned in plan_two(name).trainings:
            assert make_objective(planned.name, make_masknet(), planned.recipe).corrected is corrected


def load_plan(name, *overrides, seed=None):
    return plan_training(load_params(ROOT / "params.yaml", overrides), name, seed)


def test_plans_follow_the_parameters():
    numbers = load_params(ROOT / "params.yaml").segmentation.recipes["masknet"]["published"]
    plan = load_plan("masknet-4", "scale=paper", "lr=0.5", seed=5)
    for planned in plan.trainings:
        of_part = numbers[planned.name]
        assert (planned.recipe.lr, planned.recipe.batch_size) == (of_part.lr, of_part.batch_size)
        assert planned.recipe.trained_before
    assert (plan.net, plan.starts_from, plan.seed) == ("masknet", "siamese_unet-4", 5)
    assert plan.settings["proposals_share"] == plan.proposals_share
    (planned,) = load_plan("siamese_unet-16", "scale=paper", "lr=0.5").trainings
    assert planned.recipe.lr == 0.5  # the one at the top is Siamese-U-Net's
    assert [phase.clutter_levels for phase in planned.phases] == [(16,)]
    fast = load_plan("siamese_unet-16", "scale=paper", "scales.paper.segmentation.recipe=fast").trainings
    assert [phase.clutter_levels for phase in fast[0].phases] == [(4,), (8,), (16,)]


def test_a_network_with_one_recipe_has_it_at_every_scale_and_its_own_size():
    for scale, feature_maps in {"laptop": 24, "paper": 32}.items():
        plan = load_plan("colour_matcher", f"scale={scale}", "lr=0.5")
        numbers = load_params(ROOT / "params.yaml").segmentation.recipes["colour_matcher"]["own"]
        (planned,) = plan.trainings
        assert (plan.recipe, planned.recipe.name, plan.feature_maps) == ("own", "own", feature_maps)
        assert planned.recipe.lr == numbers["segmentation"].lr
        assert planned.recipe.weight_decay == numbers["segmentation"].weight_decay
        assert planned.recipe.covered_share == 0
        assert plan.levels == (4, 8, 16, 32, 64, 128, 256)


def test_the_variant_that_learns_from_covered_targets_differs_in_their_share_alone():
    (plain,), (covered,) = (
        load_plan(name, "scale=paper", "segmentation.networks.colour_matcher.paper.n_views=1").trainings
        for name in ("colour_matcher", "colour_matcher_covered")
    )
    assert covered.recipe.covered_share > 0
    assert replace(covered.recipe, covered_share=0.0) == plain.recipe
    plan = load_plan("colour_matcher_covered", "scale=paper")
    assert plan.settings["trainings"]["segmentation"]["covered_share"] == covered.recipe.covered_share


def test_what_cannot_be_planned_or_built_is_one_sentence(tmp_path):
    with pytest.raises(ParameterError, match="siamese_unet-8 is not trained at scale smoke"):
        load_plan("siamese_unet-8", "scale=smoke")
    plan = plan_two()
    with pytest.raises(TrainingError, match="tiny starts from tiny, which is not trained at scale smoke"):
        build_net(plan, tmp_path / "absent")
    other = SiameseUNet(3).initialise(np.random.default_rng(0))
    save_network(tmp_path / "other", other, plan.describe_weights(1, {"feature_maps": 3}))
    with pytest.raises(WeightsError, match="do not fit"):
        build_net(plan, tmp_path / "other")
    info = replace(plan.describe_weights(1, {"feature_maps": 3}), net="siamese_unet")
    save_network(tmp_path / "other", other, info)
    with pytest.raises(WeightsError, match="cannot be the start of one of 2 feature maps"):
        build_net(plan, tmp_path / "other")


def test_a_network_begins_with_the_weights_that_it_starts_from(tmp_path):
    start = SiameseUNet(2).initialise(np.random.default_rng(3))
    info = plan_one().describe_weights(70, {"feature_maps": 2}, n_seen_before=5)
    save_network(tmp_path / "start", start, info)
    masknet, n_seen = build_net(plan_two(), tmp_path / "start")
    assert n_seen == 75
    torch.testing.assert_close(masknet.siamese.state_dict(), start.state_dict(), atol=0, rtol=0)
    same, _ = build_net(plan_one(starts_from="start"), tmp_path / "start")
    torch.testing.assert_close(same.state_dict(), start.state_dict(), atol=0, rtol=0)
