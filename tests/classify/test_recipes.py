"""Rates, momenta and L2 of the recipes, step by step."""

import numpy as np
import pytest
import torch

from oneshot.classify.feeds import EpochFeed, PairFeed, PairLoss
from oneshot.classify.nets.koch import Koch, KochSmall
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.recipes import Constant, Halving, Own, Published
from oneshot.errors import ParameterError


@pytest.fixture
def loss(synthetic_drawings):
    net = KochSmall((2, 2, 2, 4), 8).initialise(np.random.default_rng(0))
    return PairLoss(net, synthetic_drawings.numbered())


@pytest.fixture
def pairs(synthetic_drawings):
    return draw_set(koch_source(synthetic_drawings, "train"), 4, seed=0)


def test_published_updates_equal_the_ordinary_rule_written_out(loss, pairs):
    """Rate, momentum and L2 of each layer, over three epochs of which each is one step."""
    feed = PairFeed(pairs, batch_size=4, seed=1)  # of 4 pairs: an epoch is one step
    feed.n_steps = 3
    recipe = Published(
        lrs=(0.1, 0.05, 0.02, 0.01, 0.005, 0.001), momenta=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
        l2s=(0.1, 0.05, 0.02, 0.01, 0.005, 0.0),
    )  # fmt: skip
    optimizers = recipe.optimizers(loss)
    expected = {name: p.detach().clone().double() for name, p in loss.net.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in expected.items()}
    layer_of = {"base.convolutions": 0, "base.connected": 4, "output": 5}
    for step in range(3):
        recipe.set_rates(optimizers, step, feed)
        loss(*feed.batch(step)).backward()
        for name, parameter in loss.net.named_parameters():
            place = next(layer for start, layer in layer_of.items() if name.startswith(start))
            layer = place or (int(name.split(".")[2]) if "convolutions" in name else 0)
            momentum = 0.5 + step / 2 * (recipe.momenta[layer] - 0.5)
            l2 = recipe.l2s[layer] if name.endswith("weight") else 0.0
            gradient = parameter.grad.double() + 2 * l2 * expected[name]
            velocity[name] = momentum * velocity[name] + gradient
            expected[name] -= recipe.lrs[layer] * 0.99**step * velocity[name]
        optimizers[0].step()
        optimizers[0].zero_grad()
        for name, parameter in loss.net.named_parameters():
            torch.testing.assert_close(parameter.detach().double(), expected[name], atol=1e-6, rtol=1e-5)


def length(n_steps, batch_size, n_epoch):
    """A feed of that length, of nothing."""
    feed = EpochFeed(n_epoch, batch_size, 1)
    feed.n_steps = n_steps
    return feed


def rates_of(recipe, loss, feed, steps):
    optimizers = recipe.optimizers(loss)
    rates = []
    for step in steps:
        rates.append(recipe.set_rates(optimizers, step, feed))
        assert rates[-1] == optimizers[0].param_groups[0]["lr"]
    return rates


def test_the_published_rate_falls_by_a_hundredth_every_epoch_not_every_step(loss):
    rates = rates_of(Published(), loss, length(8, 4, 16), range(8))
    assert rates == pytest.approx([0.01] * 4 + [0.0099] * 4)


def test_numbers_for_other_layers_are_refused(loss):
    with pytest.raises(ParameterError, match=r"has 5 rates, .* but the network has 6 layers"):
        Published(lrs=(0.01,) * 5).optimizers(loss)


def test_rates_of_prototypical_networks_are_halved(loss):
    rates = rates_of(Halving(), loss, length(10_000, 1, 100), (0, 1999, 2000, 4000))
    assert rates == [1e-3, 1e-3, 5e-4, 2.5e-4]


def test_our_own_rate_falls_with_the_inputs_of_the_widest_layer(synthetic_drawings):
    nets = {"small": KochSmall(), "published": Koch(), "tiny": KochSmall((2, 2, 2, 4), 8)}
    feed = length(1000, 1, 100)  # whose step 100 ends the warm-up
    rates = {
        name: rates_of(Own(lr=2e-3), PairLoss(net, synthetic_drawings.numbered()), feed, [100])[0]
        for name, net in nets.items()
    }
    assert rates == pytest.approx({"small": 2e-3, "published": 2e-3 / 4, "tiny": 2e-3}, rel=0.02)


def test_adam_at_a_constant_rate_keeps_it(loss):
    assert type(Constant(0.01).optimizers(loss)[0]) is torch.optim.Adam
    assert rates_of(Constant(0.01), loss, length(100, 1, 10), (0, 5, 99)) == [0.01] * 3
