"""Siamese-U-Net against plain NumPy and against its published figures."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

from oneshot.segment.nets import NETS
from oneshot.segment.nets.siamese_unet import Block, SiameseUNet, layer_norm, weight_decay_loss
from tests.oracle import siamese_unet_numpy as oracle


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_net(feature_maps: int = 2) -> SiameseUNet:
    """In float64, with shifts that are not zero, so that leaving one out shows."""
    net = SiameseUNet(feature_maps).initialise(np.random.default_rng(0)).double()
    for block in net.blocks():
        torch.nn.init.normal_(block.shift, generator=generator(len(block.shift)))
    return net


def arrays(net: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def normal(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


@pytest.mark.parametrize(("feature_maps", "n_parameters"), [(24, 3_223_922), (8, 359_890)])
def test_number_of_parameters(feature_maps, n_parameters):
    net = NETS["siamese_unet"](feature_maps)
    assert sum(parameter.numel() for parameter in net.parameters()) == n_parameters


def test_a_published_forward_pass_takes_1_65_gigaflop():
    net = SiameseUNet(24).initialise(np.random.default_rng(0))
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 96, 96), torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() / 1e9 == pytest.approx(1.65, abs=0.01)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_convolution_pads_like_tensorflow(kernel, dilation):
    block = Block(3, 4, kernel, dilation=dilation).double()
    block.initialise(np.random.default_rng(0))
    x = normal(1, 3, 7, 6)
    expected = oracle.same_convolution(x[0].numpy(), block.weight.detach().numpy(), dilation)
    np.testing.assert_allclose(block.convolve(x)[0].detach().numpy(), expected, atol=1e-12)


def test_layer_norm_epsilon_lets_faint_maps_through():
    """At an epsilon of 1e-5 these would stay near zero."""
    assert layer_norm(1e-4 * normal(1, 3, 8, 8)).std().item() == pytest.approx(1, abs=0.01)


def test_encoders_outputs_have_the_published_sizes():
    net = SiameseUNet(4).initialise(np.random.default_rng(0))
    scene = [tuple(y.shape[1:]) for y in net.encode_scene(torch.zeros(1, 3, 96, 96))]
    assert scene == [(8, 96, 96), (16, 48, 48), (32, 24, 24), (32, 12, 12), (64, 12, 12), (64, 12, 12)]
    target = [tuple(y.shape[1:]) for y in net.target_encoder(torch.zeros(1, 3, 32, 32))]
    assert target == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (32, 4, 4), (64, 2, 2), (64, 1, 1)]


@pytest.mark.parametrize("encoder", ["scene_encoder", "target_encoder"])
def test_encoder_equals_oracle(encoder):
    net = small_net()
    x = normal(2, 3, 32, 32)
    for sample in range(2):
        expected = oracle.encode(x[sample].numpy(), arrays(net), encoder)
        for found, wanted in zip(getattr(net, encoder)(x), expected, strict=True):
            np.testing.assert_allclose(found[sample].detach().numpy(), wanted, atol=1e-9)


def test_network_equals_oracle():
    net = small_net()
    scenes, targets = normal(2, 3, 40, 32), normal(2, 3, 32, 32, seed=2)
    logits = net(scenes, targets).detach().numpy()
    for sample in range(2):
        expected = oracle.forward(scenes[sample].numpy(), targets[sample].numpy(), arrays(net))
        np.testing.assert_allclose(logits[sample], expected, atol=1e-8)


def test_channels_last_changes_nothing():
    net = SiameseUNet(4).initialise(np.random.default_rng(0))
    scenes, targets = normal(2, 3, 96, 96).float(), normal(2, 3, 32, 32, seed=2).float()
    plain = net(scenes, targets)
    turned = net(scenes.to(memory_format=torch.channels_last), targets.to(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, plain, atol=2e-5, rtol=0)


def test_initial_weights_are_normal_cut_at_two_sigma():
    block = Block(32, 96, 3)
    block.initialise(np.random.default_rng(0))
    sigma = math.sqrt(1.3 * 2 / ((9 * 32 + 9 * 96) / 2))
    weights = block.weight.detach().flatten().numpy() / sigma
    assert abs(weights).max() <= 2
    assert stats.kstest(weights, stats.truncnorm(-2, 2).cdf).pvalue > 0.01
    assert not block.shift.any()


def test_initial_weights_follow_the_generator():
    first, same, other = (
        SiameseUNet(2).initialise(np.random.default_rng(seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["decoder.layers.0.weight"], other["decoder.layers.0.weight"])


def test_a_network_that_was_never_initialised_answers_nan():
    assert SiameseUNet(2)(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)).isnan().all()


def test_weight_decay_counts_convolution_weights_only():
    net = small_net()
    squares = sum((array**2).sum() for name, array in arrays(net).items() if name.endswith("weight"))
    assert weight_decay_loss(net).item() == pytest.approx(1e-9 * squares / 2, rel=1e-12)
