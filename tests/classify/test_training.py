"""Training on pairs learns, resumes bit for bit, keeps what validates best, and stops when it diverges."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from oneshot.classify.nets.koch import KochBase, KochSmall, SiamesePair, set_order
from oneshot.classify.pair_feeds import EndlessPairs, FixedPairs, PairLoss
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.recipes import Constant, Halving, Own, Plan, Published
from oneshot.classify.training import fit_pairs
from oneshot.errors import ParameterError, TrainingError
from oneshot.training.speed import Speed, choose_speed
from oneshot.training.tensors import WeightsError, load_tensors
from tests.conftest import ROOT
from tests.first_pair_steps import KINDS, pair_figures

RECIPES = {"published": Published(), "own": Own()}
N_STEPS = 24  # of 4 pairs, in 3 epochs


class KilledError(Exception):
    """Stands for a power cut."""


@pytest.fixture
def make_run(synthetic_drawings):
    def make(name: str, seed: int = 1):
        net = SiamesePair(KochSmall((2, 2, 2, 4), 8)).initialise(torch.Generator().manual_seed(0))
        source = koch_source(synthetic_drawings, "train")
        if name == "published":
            feed = FixedPairs(draw_set(source, 16, seed=0), batch_size=4, seed=seed, n_copies=1)
        else:
            feed = EndlessPairs(source, batch_size=4, seed=seed, n_epoch=32)
        return PairLoss(net, synthetic_drawings), feed, RECIPES[name]

    return make


def error_of(loss):
    """Something that depends on the weights."""
    return lambda: loss.net.base.connected.bias.sum().sin().item()


def without_time(points):
    return [replace(point, seconds=0.0) for point in points]


def run(made, path, **settings):
    loss, feed, recipe = made
    settings = {
        "n_epochs": 3,
        "log_every": 3,
        "checkpoint_seconds": 0.0,
        "validate": error_of(loss),
    } | settings
    return fit_pairs(loss, feed, recipe, checkpoint=path, **settings)


@pytest.mark.parametrize("kill_at", [3, 9, 16])
@pytest.mark.parametrize("name", RECIPES)
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
    assert tensors_of(tmp_path / "killed") == tensors_of(tmp_path / "whole")


def tensors_of(path):
    """Raw bytes of every tensor of a checkpoint, the optimiser's state included."""
    tensors, _ = load_tensors(path)
    assert {name.partition(".")[0] for name in tensors} == {"net", "best", "optimizer"}
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_at_any_step_and_resumed_equals_uninterrupted_bit_for_bit(name, tmp_path, make_run):
    made = make_run(name)
    whole = run(made, tmp_path / "whole", log_every=5, checkpoint_seconds=3600.0)
    for n_steps in (1, 6, 4, 100):
        resumed, asked = make_run(name), iter([False] * (n_steps - 1) + [True])
        progress = run(
            resumed, tmp_path / "stopped", log_every=5, checkpoint_seconds=3600.0,
            stop=lambda asked=asked: next(asked, True),
        )  # fmt: skip
    assert progress.complete
    assert without_time(progress.curve) == without_time(whole.curve)
    torch.testing.assert_close(resumed[0].state_dict(), made[0].state_dict(), atol=0, rtol=0)


def test_the_weights_that_validate_best_are_kept_and_patience_ends_training(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    errors, seen = iter([0.5, 0.2, 0.4, 0.2, 0.3, 0.1]), []

    def validate():
        seen.append({name: tensor.clone() for name, tensor in loss.net.state_dict().items()})
        return next(errors)

    patient = replace(recipe, patience=3)
    progress = run((loss, feed, patient), tmp_path / "run", n_epochs=6, validate=validate)
    assert progress.stopped_early
    assert (progress.step, progress.best_step, progress.best_error) == (40, 16, 0.2)
    torch.testing.assert_close(loss.net.state_dict(), seen[1], atol=0, rtol=0)
    again = make_run("published")
    finished = run((again[0], again[1], patient), tmp_path / "run", n_epochs=6, validate=validate)
    assert finished == progress
    torch.testing.assert_close(again[0].net.state_dict(), seen[1], atol=0, rtol=0)


def test_without_validation_the_last_weights_are_kept(tmp_path, make_run):
    loss, feed, recipe = make_run("own")
    progress = run((loss, feed, recipe), tmp_path / "run", validate=None)
    tensors, _ = load_tensors(tmp_path / "run")
    for name, tensor in loss.net.state_dict().items():
        assert torch.equal(tensor, tensors[f"net.{name}"])
    assert progress.best_step == N_STEPS


def test_pairs_are_learnt(tmp_path, synthetic_drawings):
    net = SiamesePair(KochSmall((8, 8, 8, 16), 32)).initialise(torch.Generator().manual_seed(0))
    pairs = draw_set(koch_source(synthetic_drawings, "train"), 8, seed=0)
    feed = FixedPairs(pairs, batch_size=8, seed=0)
    loss = PairLoss(net, synthetic_drawings)
    progress = fit_pairs(loss, feed, Own(3e-3), checkpoint=tmp_path / "run", n_epochs=150, log_every=50)
    assert progress.curve[-1].loss < 0.1


def test_a_time_budget_is_kept_and_the_network_starts_as_it_was(tmp_path, make_run):
    loss, feed, recipe = make_run("own")
    before = {name: tensor.clone() for name, tensor in loss.net.state_dict().items()}
    started, first = time.monotonic(), []
    step_of = feed.batch

    def batch(step):
        first.append({name: tensor.clone() for name, tensor in loss.net.state_dict().items()})
        return step_of(step)

    feed.batch = batch
    progress = run((loss, feed, recipe), tmp_path / "run", n_epochs=10**6, seconds=3.0)
    assert 1.5 < time.monotonic() - started < 4.5
    assert progress.complete
    torch.testing.assert_close(first[-progress.n_steps], before, atol=0, rtol=0)
    with pytest.raises(ParameterError, match="too few to train in"):
        run(make_run("own"), tmp_path / "none", seconds=1e-4)


def test_training_ends_before_its_deadline_and_goes_on_later(tmp_path, make_run):
    made = make_run("own")
    deadline = time.monotonic() + 0.5
    progress = run(made, tmp_path / "run", deadline=deadline, on_log=lambda point: time.sleep(0.2))
    assert 0 < progress.step < N_STEPS
    assert run(make_run("own"), tmp_path / "run").complete


def test_divergence_ends_in_one_sentence_and_keeps_the_last_good_checkpoint(tmp_path, make_run):
    loss, feed, recipe = make_run("own")

    def spoil(point):
        if point.step == 6:
            loss.net.output.weight.register_hook(lambda gradient: gradient * torch.nan)

    with pytest.raises(TrainingError, match=r"'own' diverged by step 8 of 24 .*lower the learning rate"):
        run((loss, feed, recipe), tmp_path / "run", on_log=spoil)
    assert run(make_run("own"), tmp_path / "run").complete


def test_full_memory_is_one_sentence(tmp_path, make_run):
    made = make_run("own")

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    made[0].register_forward_hook(fail)
    with pytest.raises(TrainingError, match="memory ran out on cpu at batches of 4; lower batch_size"):
        run(made, tmp_path / "run")


def test_a_checkpoint_of_another_run_is_refused(tmp_path, make_run, synthetic_drawings):
    run(make_run("own"), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"another run \(feed .*'seed': 1.*not .*'seed': 2"):
        run(make_run("own", seed=2), tmp_path / "run")
    loss, feed, _ = make_run("own")
    with pytest.raises(TrainingError, match=r"another run \(lr 0.001, not 0.002\)"):
        run((loss, feed, Own(2e-3)), tmp_path / "run")
    other = PairLoss(SiamesePair(KochSmall((2, 2, 2, 4), 9)), synthetic_drawings)
    with pytest.raises(TrainingError, match="another network"):
        run((other, feed, Own()), tmp_path / "run")
    (tmp_path / "run").write_bytes(b"half")
    with pytest.raises(WeightsError, match="damaged"):
        run(make_run("own"), tmp_path / "run")


def test_published_updates_equal_the_ordinary_rule_written_out(make_run):
    """Rate, momentum and L2 of each layer, over three epochs of which each is one step."""
    loss, feed, _ = make_run("published")
    recipe = Published(
        lrs=(0.1, 0.05, 0.02, 0.01, 0.005, 0.001), momenta=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
        l2s=(0.1, 0.05, 0.02, 0.01, 0.005, 0.0),
    )  # fmt: skip
    optimizer, plan = recipe.optimizer(loss.net), Plan(n_steps=3, batch_size=4, n_epoch=4)
    expected = {name: p.detach().clone().double() for name, p in loss.net.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in expected.items()}
    layer_of = {"base.convolutions": 0, "base.connected": 4, "output": 5}
    for step in range(3):
        recipe.set_rates(optimizer, step, plan)
        loss(*feed.batch(step)).backward()
        for name, parameter in loss.net.named_parameters():
            place = next(layer for start, layer in layer_of.items() if name.startswith(start))
            layer = place or (int(name.split(".")[2]) if "convolutions" in name else 0)
            momentum = 0.5 + step / 2 * (recipe.momenta[layer] - 0.5)
            l2 = recipe.l2s[layer] if name.endswith("weight") else 0.0
            gradient = parameter.grad.double() + 2 * l2 * expected[name]
            velocity[name] = momentum * velocity[name] + gradient
            expected[name] -= recipe.lrs[layer] * 0.99**step * velocity[name]
        optimizer.step()
        optimizer.zero_grad()
        for name, parameter in loss.net.named_parameters():
            torch.testing.assert_close(parameter.detach().double(), expected[name], atol=1e-6, rtol=1e-5)


def test_the_published_rate_falls_by_a_hundredth_every_epoch_not_every_step(make_run):
    loss, _, _ = make_run("published")
    recipe = Published()
    optimizer, plan = recipe.optimizer(loss.net), Plan(n_steps=8, batch_size=4, n_epoch=16)
    falls = []
    for step in range(8):
        recipe.set_rates(optimizer, step, plan)
        falls.append(optimizer.param_groups[0]["lr"] / recipe.lrs[0])
    assert falls == pytest.approx([1.0] * 4 + [0.99] * 4)


def test_numbers_out_of_range_or_for_other_layers_are_refused(make_run):
    with pytest.raises(ParameterError, match=r"lrs holds 0\.2; the published range is 0\.0001 to 0\.1"):
        Published(lrs=(0.2,) * 6)
    with pytest.raises(ParameterError, match=r"has 5 rates, .* but the network has 6 layers"):
        Published(lrs=(0.01,) * 5).optimizer(make_run("own")[0].net)
    with pytest.raises(ParameterError, match="the learning rate is -1"):
        Own(lr=-1.0)


def test_rates_of_prototypical_networks_are_halved():
    net = torch.nn.Linear(1, 1)
    recipe, plan = Halving(), Plan(10_000, 1, 100)
    optimizer = recipe.optimizer(net)
    rates = []
    for step in (0, 1999, 2000, 4000):
        recipe.set_rates(optimizer, step, plan)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1e-3, 1e-3, 5e-4, 2.5e-4]


def test_our_own_rate_falls_with_the_inputs_of_the_widest_layer():
    rates = {}
    for name, net in (
        ("small", KochSmall()),
        ("published", KochBase()),
        ("tiny", KochSmall((2, 2, 2, 4), 8)),
    ):
        optimizer = Own(lr=2e-3).optimizer(net)
        Own(lr=2e-3).set_rates(optimizer, 100, Plan(1000, 1, 100))  # the end of the warm-up
        rates[name] = optimizer.param_groups[0]["lr"]
    assert rates == pytest.approx({"small": 2e-3, "published": 2e-3 / 4, "tiny": 2e-3}, rel=0.02)


def test_adam_at_a_constant_rate_keeps_it():
    net = torch.nn.Linear(1, 1)
    optimizer = Constant(0.01).optimizer(net)
    assert type(optimizer) is torch.optim.Adam
    for step in (0, 5, 99):
        Constant(0.01).set_rates(optimizer, step, Plan(100, 1, 10))
        assert optimizer.param_groups[0]["lr"] == 0.01
    with pytest.raises(ParameterError, match="must be within 0 and 1"):
        Constant(1.5)


plain_figures = cache(lambda device, kind: pair_figures(Speed(device), kind))
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def check(found, expected, bf16):
    assert np.std(expected["scores"]) > 0.01  # else all might agree on nothing
    assert found["losses"] == pytest.approx(expected["losses"], abs=3e-2 if bf16 else 1e-4)
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=5e-2 if bf16 else 5e-4)
    if bf16:
        assert found["losses"] != pytest.approx(expected["losses"], abs=1e-6), "no trace of bfloat16"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", ["fused", "channels_last", "bf16", "bf16,channels_last,fused"])
def test_first_losses_and_scores_are_those_of_the_plain_path(device, kind, parts):
    speed = choose_speed(device, parts)
    check(pair_figures(speed, kind), plain_figures(device, kind), speed.bf16)


@pytest.mark.parametrize("channels_last", [True, False])
def test_channels_lie_as_asked(channels_last):
    net = SiamesePair(KochSmall((2, 2, 2, 4), 8)).initialise(torch.Generator().manual_seed(0))
    set_order(net, Speed(channels_last=channels_last).memory_format)
    orders = []
    net.base.convolutions[2].register_forward_hook(
        lambda module, inputs, output: orders.append(
            [x.is_contiguous(memory_format=torch.channels_last) for x in (*inputs, output)]
        )
    )
    net.base(torch.zeros(2, 105, 105))
    assert orders == [[channels_last] * 2]


@pytest.mark.parametrize("device", DEVICES)
def test_compiled_code_follows_the_plain_path(device):
    settings = ["compiled", "bf16,channels_last,compiled,fused"]
    command = [sys.executable, "-m", "tests.first_pair_steps", device, *settings]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    for parts, kinds in json.loads(ran.stdout.splitlines()[-1]).items():
        for kind, found in kinds.items():
            assert found["n_graphs"] == 2  # to train, to encode
            check(found, plain_figures(device, kind), "bf16" in parts)
