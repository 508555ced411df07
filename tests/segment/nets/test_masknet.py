"""MaskNet against plain NumPy; what all proposals share against decoding each of them whole."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from oneshot.segment.nets import NETS
from oneshot.segment.nets.masknet import MaskNet, convolve_doubled, decode_proposals, share_steps
from oneshot.segment.nets.siamese_unet import SiameseUNet, correlate, spread
from oneshot.segment.proposals import crops_of
from tests.oracle import masknet_numpy as oracle
from tests.oracle import siamese_unet_numpy as siamese_oracle
from tests.segment.nets.test_siamese_unet import arrays, generator, normal


def small_net(feature_maps: int = 2, dtype: torch.dtype = torch.float64) -> MaskNet:
    """With shifts that are not zero, and a discriminator that is no copy of the target encoder."""
    siamese = SiameseUNet(feature_maps).initialise(np.random.default_rng(0))
    net = MaskNet(feature_maps).start_from(siamese, np.random.default_rng(0)).to(dtype)
    for number, block in enumerate(net.blocks()):
        torch.nn.init.normal_(block.shift, std=0.5, generator=generator(number))
    return net


def decode_each(net: SiameseUNet, codes, skips, locations) -> torch.Tensor:
    """Every proposal on its own, from a masked correlation, by Siamese-U-Net's own steps."""
    correlation = correlate(codes, skips[-1])
    rows = []
    for scene, of_scene in enumerate(locations):
        own = [skip[scene : scene + 1] for skip in skips]
        for location in of_scene:
            mask = F.one_hot(location, correlation[0].numel()).view(1, *correlation.shape[1:])
            masked = correlation[scene : scene + 1] * mask
            rows.append(net.decode(spread(masked, codes[scene : scene + 1]), own))
    return torch.cat(rows).unflatten(0, locations.shape)


def test_number_of_parameters():
    net = NETS["masknet"](24)
    n_encoder = sum(parameter.numel() for parameter in net.siamese.target_encoder.parameters())
    assert (
        sum(parameter.numel() for parameter in net.parameters()) == 3_223_922 + n_encoder + 384 == 4_208_402
    )


def test_a_proposal_equals_the_oracle():
    net = small_net()
    scenes, targets = normal(2, 3, 32, 40), normal(2, 3, 32, 32, seed=2)
    codes, skips = net.encode(scenes, targets)
    locations = torch.tensor([[0, 7, 19], [13, 4, 7]])
    logits = decode_proposals(net.siamese.decoder, share_steps(net.siamese.decoder, codes, skips), locations)
    weights = oracle.part(arrays(net), "siamese")
    for scene in range(2):
        layers = siamese_oracle.encode(scenes[scene].numpy(), weights, "scene_encoder")
        code = siamese_oracle.encode(targets[scene].numpy(), weights, "target_encoder")[-1].ravel()
        for place, location in enumerate(locations[scene].tolist()):
            expected = oracle.decode_proposal(layers, code, divmod(location, 5), weights)
            np.testing.assert_allclose(logits[scene, place].detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("last", [False, True])
def test_shared_steps_give_what_decoding_each_proposal_gives(last: bool):
    """At the published size, in the precision that is used, for every location."""
    net = small_net(4, torch.float32)
    order = torch.channels_last if last else torch.contiguous_format
    scenes = normal(2, 3, 96, 96, dtype=torch.float32).contiguous(memory_format=order)
    targets = normal(2, 3, 32, 32, seed=2, dtype=torch.float32).contiguous(memory_format=order)
    with torch.no_grad():
        codes, skips = net.encode(scenes, targets)
        locations = torch.stack([torch.randperm(144, generator=generator(seed)) for seed in (1, 2)])
        found = decode_proposals(
            net.siamese.decoder, share_steps(net.siamese.decoder, codes, skips), locations
        )
        expected = decode_each(net.siamese, codes, skips, locations)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert expected[0].std(0).max() > 0.1  # proposals differ


def test_gradients_of_shared_steps_are_those_of_decoding_each_proposal():
    net = small_net()
    scenes, targets = normal(2, 3, 32, 32), normal(2, 3, 32, 32, seed=2)
    locations = torch.tensor([[0, 5, 5], [15, 2, 9]])
    direction = normal(2, 3, 2, 32, 32, seed=3)
    gradients = []
    for shared in (True, False):
        codes, skips = net.encode(scenes, targets)
        decoder = net.siamese.decoder
        logits = (
            decode_proposals(decoder, share_steps(decoder, codes, skips), locations)
            if shared
            else decode_each(net.siamese, codes, skips, locations)
        )
        (logits * direction).sum().backward()
        gradients.append({n: p.grad.clone() for n, p in net.siamese.named_parameters()})
        net.zero_grad()
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, atol=1e-5 * gradient.abs().max(), rtol=1e-5)
        assert gradient.abs().max() > 0


def test_a_location_that_does_not_match_at_all_gives_a_map_of_zeros():
    """Normalising nothing gives nothing: the correlation of 0 must not become 0 / 0."""
    net = small_net()
    codes, skips = net.encode(normal(1, 3, 32, 32), normal(1, 3, 32, 32, seed=2))
    skips[-1][:, :, 1, 2] = 0
    locations = torch.tensor([[6, 9]])
    with torch.no_grad():
        shared = share_steps(net.siamese.decoder, codes, skips)
        assert shared.correlation[0, 1, 2] == 0
        found = decode_proposals(net.siamese.decoder, shared, locations)
        torch.testing.assert_close(
            found, decode_each(net.siamese, codes, skips, locations), atol=1e-6, rtol=0
        )
        nothing = net.siamese.decode(torch.zeros_like(skips[-1]), skips)
        torch.testing.assert_close(found[:, 0], nothing, atol=1e-6, rtol=0)


@pytest.mark.parametrize("n_out", [2, 6])  # phase by phase, and transposed
def test_a_convolution_of_doubled_pixels_is_done_before_they_are_doubled(n_out: int):
    x, weight = normal(2, 3, 5, 7), normal(n_out, 3, 3, 3, seed=2)
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(convolve_doubled(x, weight), expected)


def test_shared_steps_take_a_quarter_of_the_arithmetic():
    net = small_net(24, torch.float32)
    scenes, targets = normal(1, 3, 96, 96, dtype=torch.float32), normal(1, 3, 32, 32, dtype=torch.float32)
    with torch.no_grad():
        codes, skips = net.encode(scenes, targets)
    locations = torch.arange(36)[None]
    counts = []
    for decode in (
        lambda: decode_each(net.siamese, codes, skips, locations[:, :1]),
        lambda: decode_proposals(
            net.siamese.decoder, share_steps(net.siamese.decoder, codes, skips), locations
        ),
        lambda: share_steps(net.siamese.decoder, codes, skips),
    ):
        with FlopCounterMode(display=False) as counter:
            decode()
        counts.append(counter.get_total_flops())
    naive, all_of_them, once = counts
    assert 144 * naive / 1e9 == pytest.approx(139, abs=1)
    assert naive / ((all_of_them - once) / 36) > 3.9


def test_score_equals_the_oracle_and_is_a_half_for_equal_codes():
    net = small_net()
    masks = torch.zeros(2, 96, 96, dtype=torch.bool)
    masks[0, 20:30, 40:44] = True
    masks[1, 90:, 85:] = True
    codes = normal(2, 32, seed=4).abs()
    found = net.score(crops_of(masks, torch.full((2,), 5.0), torch.full((2,), 30.0)).double(), codes)
    for n in range(2):
        expected = oracle.score(masks[n].numpy(), codes[n].numpy(), arrays(net), 5.0, 30.0)
        assert found[n].item() == pytest.approx(expected, abs=1e-5)
    crops = normal(1, 3, 32, 32)
    assert net.score(crops, net.discriminator(crops)[-1].flatten(1)).item() == 0.5


def test_a_network_starts_as_the_siamese_one_and_the_discriminator_as_its_target_encoder():
    siamese = SiameseUNet(2).initialise(np.random.default_rng(3))
    net = MaskNet(2).start_from(siamese, np.random.default_rng(1))
    for name, tensor in siamese.state_dict().items():
        assert torch.equal(net.siamese.state_dict()[name], tensor)
    for name, tensor in siamese.target_encoder.state_dict().items():
        assert torch.equal(net.discriminator.state_dict()[name], tensor)
    reach = (6 / 33) ** 0.5
    assert 0.8 * reach < net.score_weights.abs().max() <= reach
    other = MaskNet(2).start_from(siamese, np.random.default_rng(2))
    assert not torch.equal(net.score_weights, other.score_weights)
