"""Scaled to drawings, every unit starts at mean 0 and deviation 1; the output as the nearest neighbour."""

import numpy as np
import pytest
import torch

from oneshot.classify.nets import NETS
from oneshot.classify.nets.koch import KochSmall, SiamesePair, initialise_scaled


@pytest.fixture(scope="module")
def images(synthetic_drawings):
    return torch.from_numpy(synthetic_drawings.unpack().reshape(-1, 105, 105)[::13]).float()


def scaled_pair(images, seed=0):
    net = KochSmall((2, 3, 3, 4), 8)
    return initialise_scaled(net, images, np.random.default_rng(seed))


@torch.no_grad()
def test_every_unit_has_mean_0_and_deviation_1_over_the_images(images):
    net, sums = scaled_pair(images), []
    for layer in (*net.base.convolutions, net.base.connected):
        layer.register_forward_hook(lambda layer, inputs, output: sums.append(output.transpose(0, 1)))
    net.base(images)
    assert len(sums) == 5
    for units in sums:
        np.testing.assert_allclose(units.flatten(1).mean(1), 0, atol=1e-3)
        np.testing.assert_allclose(units.flatten(1).std(1), 1, atol=1e-3)


@torch.no_grad()
def test_the_output_is_the_nearest_neighbour_with_logits_around_0(images):
    net = scaled_pair(images)
    assert (net.output.weight == net.output.weight[0]).all()
    assert net.output.weight[0] < 0
    codes = net.base(images)
    first, second = torch.triu_indices(len(images), len(images), 1)
    logits = net.output(codes[first], codes[second])
    assert logits.mean().item() == pytest.approx(0, abs=1e-3)
    assert logits.std().item() == pytest.approx(1, abs=1e-2)


@torch.no_grad()
def test_images_that_are_all_alike_leave_finite_weights(images):
    net = scaled_pair(torch.zeros(4, 105, 105))
    assert net(images[:3], images[3:6]).isfinite().all()


def test_scaled_weights_follow_the_generator_and_the_images(images):
    first, same, other = (scaled_pair(images, seed).state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(first, same, atol=0, rtol=0)
    assert not torch.equal(first["base.connected.weight"], other["base.connected.weight"])
    assert not torch.equal(first["base.connected.bias"], scaled_pair(images[5:], 1).base.connected.bias)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name, net in NETS.items() if issubclass(net, SiamesePair)])
def test_every_siamese_network_can_be_scaled(name, images):
    net = initialise_scaled(NETS[name](), images[:6], np.random.default_rng(0))
    assert net(images[:2], images[2:4]).isfinite().all()
