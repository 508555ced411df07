"""Training with validation resumes bit for bit, keeps what validates best, and stops when nothing does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from oneshot.classify.feeds import EpisodeFeed, EpisodeLoss, PairFeed, PairLoss
from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.nets.koch import KochSmall
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.recipes import Contrastive, Own, Published
from oneshot.errors import TrainingError
from oneshot.omniglot.classes import omniglot_classes
from oneshot.training.fit import fit
from oneshot.training.tensors import load_tensors
from tests.training.test_fit import KilledError, tensors_of, without_time

RECIPES = {"published": Published(), "own": Own(), "contrastive": Contrastive()}
N_STEPS = 24  # of 4 pairs, or of one episode, in 3 epochs


@pytest.fixture
def make_run(synthetic_drawings):
    def make(name: str, seed: int = 1):
        generator = np.random.default_rng(0)
        if name == "contrastive":
            classes = omniglot_classes(synthetic_drawings, np.arange(42) < 9)
            episodes = EpisodeFeed(
                classes, seed=seed, n_way=6, n_query=1, n_epoch=8, n_epochs=3, within_alphabets=True,
                distorted=True, displacement=0.1,
            )  # fmt: skip
            cosines = CosineNet((4, 4), 16, 8).initialise(generator)
            return EpisodeLoss(cosines, synthetic_drawings.numbered(), 6, 1, True), episodes, RECIPES[name]
        net = KochSmall((2, 2, 2, 4), 8).initialise(generator)
        pairs = draw_set(koch_source(synthetic_drawings, "train"), 16, seed=0)
        feed = PairFeed(pairs, batch_size=4, seed=seed, n_copies=1, n_epochs=3)
        return PairLoss(net, synthetic_drawings.numbered()), feed, RECIPES[name]

    return make


def error_of(loss):
    """Something that depends on the weights."""
    return lambda: sum(parameter.sum() for parameter in loss.net.parameters()).sin().item()


def run(made, path, **settings):
    loss, feed, recipe = made
    settings = {"log_every": 3, "checkpoint_seconds": 0.0, "validate": error_of(loss)} | settings
    identity = recipe.describe() | {"feed": feed.about()}
    return fit(loss, feed, recipe, checkpoint=path, identity=identity, **settings)


@pytest.mark.parametrize(
    ("name", "kill_at"), [("published", 3), ("own", 9), ("published", 16), ("contrastive", 12)]
)
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(name, kill_at, tmp_path, make_run):
    made = make_run(name)
    whole = run(made, tmp_path / "whole")
    assert whole.step == N_STEPS
    assert [point.step for point in whole.curve if point.error is not None] == [8, 16, 24]

    def kill(point):
        if point.step == kill_at:
            raise KilledError

    with pytest.raises(KilledError):
        run(make_run(name), tmp_path / "killed", on_log=kill)
    resumed, points = make_run(name), []
    progress = run(resumed, tmp_path / "killed", on_log=points.append)
    assert without_time(points) == without_time(progress.curve) == without_time(whole.curve)
    torch.testing.assert_close(resumed[0].state_dict(), made[0].state_dict(), atol=0, rtol=0)
    kept = tensors_of(tmp_path / "killed")
    assert kept == tensors_of(tmp_path / "whole")
    assert {name.partition(".")[0] for name in kept} == {"loss", "best", "optimizer"}


def test_the_weights_that_validate_best_are_kept_and_patience_ends_training(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    errors, seen = iter([0.5, 0.2, 0.4, 0.2, 0.3, 0.1]), []

    def validate():
        seen.append({name: tensor.clone() for name, tensor in loss.net.state_dict().items()})
        return next(errors)

    patient = replace(recipe, patience=3)
    feed.n_steps = 48
    progress = run((loss, feed, patient), tmp_path / "run", validate=validate)
    assert progress.stopped_early
    assert (progress.step, progress.best_step, progress.best_error) == (40, 16, 0.2)
    torch.testing.assert_close(loss.net.state_dict(), seen[1], atol=0, rtol=0)
    again = make_run("published")
    again[1].n_steps = 48
    finished = run((again[0], again[1], patient), tmp_path / "run", validate=validate)
    assert finished == progress
    torch.testing.assert_close(again[0].net.state_dict(), seen[1], atol=0, rtol=0)


def test_without_validation_the_last_weights_are_kept(tmp_path, make_run):
    loss, feed, recipe = make_run("own")
    progress = run((loss, feed, recipe), tmp_path / "run", validate=None)
    tensors, _ = load_tensors(tmp_path / "run")
    for name, tensor in loss.net.state_dict().items():
        assert torch.equal(tensor, tensors[f"loss.net.{name}"])
    assert progress.best_step == N_STEPS


def test_a_checkpoint_of_another_network_or_feed_is_refused(tmp_path, make_run, synthetic_drawings):
    run(make_run("own"), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"another run \(feed .*'seed': 1.*not .*'seed': 2"):
        run(make_run("own", seed=2), tmp_path / "run")
    _, feed, recipe = make_run("own")
    other = PairLoss(KochSmall((2, 2, 2, 4), 9), synthetic_drawings.numbered())
    with pytest.raises(TrainingError, match="another network"):
        run((other, feed, recipe), tmp_path / "run")
