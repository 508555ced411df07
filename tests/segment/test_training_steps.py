"""Trainings in turn: where each begins, what goes on from where, how time is shared out."""

import numpy as np
import pytest
import torch
from oneshot.segment.training_steps import Step, make_masknet_steps, make_objective, train_steps

from oneshot.params import MaskNetPhases, load_params
from oneshot.segment import training, training_steps
from oneshot.segment.feed import Phase
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.segment.recipes import make_recipe
from oneshot.segment.training import Outcome
from oneshot.training.fit import Progress
from tests.segment.test_training import FakeTrainingSet
from tests.tiny_masknet import make_masknet

PHASES = (Phase((4,), 40),)


def make_both(name: str = "fast") -> list[Step]:
    return [
        Step("proposals", make_recipe(name, 2e-3, 4, 0.1, trained_before=True), PHASES),
        Step("discriminator", make_recipe(name, 2e-3, 4, 0.0, trained_before=True), PHASES),
    ]


@pytest.fixture
def run(tmp_path):
    """Trains a tiny net from the same start each time."""

    def run_it(steps=None, folder="run", **changes):
        net, training_set = make_masknet(), FakeTrainingSet()
        settings = {"seed": 1, "n_jobs": 1, "log_every": 5} | changes
        outcomes = train_steps(
            net, training_set, steps or make_both(), statistics=training_set.statistics([4]),
            folder=tmp_path / folder, **settings,
        )  # fmt: skip
        return net, outcomes

    return run_it


def test_both_steps_are_trained_to_the_end(run):
    seen = []
    before = make_masknet().state_dict()
    net, outcomes = run(on_log=lambda step, point: seen.append((step, point.step)))
    assert [outcome.progress.n_scenes for outcome in outcomes] == [40, 40]
    assert seen == [("proposals", 5), ("proposals", 10), ("discriminator", 5), ("discriminator", 10)]
    assert all(not torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_the_discriminator_begins_as_the_target_encoder_is_after_the_first_step(run, monkeypatch):
    starts = {}

    def look(name, net, recipe):
        starts[name] = [
            {key: tensor.clone() for key, tensor in part.state_dict().items()}
            for part in (net.discriminator, net.siamese.target_encoder)
        ]
        return make_objective(name, net, recipe)

    monkeypatch.setattr(training_steps, "make_objective", look)
    run()
    discriminator, target_encoder = starts["discriminator"]
    torch.testing.assert_close(discriminator, target_encoder, atol=0, rtol=0)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(discriminator, starts["proposals"][1], atol=0, rtol=0)


@pytest.mark.parametrize("n_steps", [7, 10, 13])
def test_a_run_stopped_in_either_step_goes_on_as_if_it_had_not_been(run, n_steps):
    whole, _ = run(folder="whole")
    asked = iter([False] * (n_steps - 1) + [True])
    _, first = run(stop=lambda: next(asked, True))
    assert not first[-1].progress.complete or len(first) == 1
    resumed, outcomes = run()
    assert all(outcome.progress.complete for outcome in outcomes)
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), atol=0, rtol=0)


def test_time_is_shared_out(run, monkeypatch):
    given, clock = [], iter(np.arange(100.0, 2000.0, 25.0))

    def fake_train(loss, training_set, recipe, phases, *, seconds, deadline, **_):
        given.append((type(loss), seconds, deadline))
        return Outcome(Progress("fast", 0.1, n_steps=0), phases)

    monkeypatch.setattr(training_steps, "train", fake_train)
    monkeypatch.setattr(training_steps.time, "monotonic", lambda: float(next(clock)))
    run(seconds=200.0, first_share=0.6)
    # 25 s pass between two looks at the clock; the second step gets all that is left.
    assert given == [
        (ProposalLoss, pytest.approx(0.6 * 175), pytest.approx(150 + 0.6 * 175)),
        (DiscriminatorLoss, pytest.approx(125), np.inf),
    ]
    run()
    assert [of_step[1:] for of_step in given[2:]] == [(None, np.inf), (None, np.inf)]
    run(seconds=200.0, deadline=7.0)
    assert [of_step[2] for of_step in given[4:]] == [7.0, 7.0]


def test_a_first_step_slower_than_measured_makes_way_for_the_second_and_is_not_taken_up_again(
    run, monkeypatch
):
    """Its own part of the time is over, not that of the command."""

    def train_slowly(loss, *arguments, seconds, deadline, **settings):
        if isinstance(loss, ProposalLoss):
            assert deadline < np.inf
            deadline = 0.0
        return training.train(loss, *arguments, deadline=deadline, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(training_steps, "train", train_slowly)
        net, outcomes = run(seconds=100.0, log_every=2)
    assert [outcome.progress.step for outcome in outcomes] == [2, 10]
    assert [outcome.progress.complete for outcome in outcomes] == [False, True]
    seen = []
    again, resumed = run(on_log=lambda step, point: seen.append((step, point.step)), log_every=2)
    assert [outcome.progress.step for outcome in resumed] == [2, 10]
    assert seen[:2] == [("proposals", 2), ("discriminator", 2)]
    torch.testing.assert_close(again.state_dict(), net.state_dict(), atol=0, rtol=0)


def test_no_step_is_begun_after_the_deadline(run):
    _, outcomes = run(deadline=0.0, log_every=2)
    assert [outcome.progress.step for outcome in outcomes] == [2]


def test_only_recipe_fast_mends_the_labels():
    for name, corrected in {"published": False, "fast": True}.items():
        for step in make_both(name):
            assert make_objective(step.name, make_masknet(), step.recipe).corrected is corrected


def test_steps_follow_the_parameters():
    params = load_params()
    phases = MaskNetPhases(
        proposals=({"clutter_levels": (4, 8), "n_scenes": 30},),
        discriminator=({"clutter_levels": (4,), "n_scenes": 20},),
    )
    proposals, discriminator = make_masknet_steps("published", params.masknet.recipes["published"], phases)
    assert (proposals.name, proposals.recipe.lr, proposals.recipe.batch_size) == ("proposals", 5e-5, 50)
    assert proposals.phases == (Phase((4, 8), 30),)
    assert (discriminator.recipe.lr, discriminator.recipe.batch_size) == (2.5e-4, 250)
    assert discriminator.phases == (Phase((4,), 20),)
    assert proposals.recipe.prepare is None


def test_a_siamese_unet_has_one_training_which_gets_all_the_time(monkeypatch, tmp_path):
    given = []

    def fake_train(loss, training_set, recipe, phases, *, seconds, checkpoint, **_):
        given.append((type(loss), seconds, checkpoint.name))
        return Outcome(Progress("fast", 0.1, n_steps=0), phases)

    monkeypatch.setattr(training_steps, "train", fake_train)
    monkeypatch.setattr(training_steps.time, "monotonic", lambda: 5.0)
    step = Step("segmentation", make_recipe("fast", 2e-3, 4, 0.1), PHASES)
    train_steps(
        make_masknet().siamese, FakeTrainingSet(), [step], statistics={}, folder=tmp_path, seconds=60.0
    )
    assert given == [(SegmentationLoss, 60.0, "segmentation.safetensors")]
