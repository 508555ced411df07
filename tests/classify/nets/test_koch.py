"""Koch's network against plain NumPy and against its published figures."""

import numpy as np
import pytest
import torch

from oneshot.classify.nets import NETS
from oneshot.classify.nets.ink_box import crop_to_ink
from oneshot.classify.nets.koch import Koch, KochSmall
from oneshot.classify.scoring import BATCH_IMAGES, NetworkScorer
from oneshot.published import read_facts
from oneshot.training.initial_weights import fill_he
from oneshot.training.speed import Speed
from tests.oracle import koch_numpy as oracle


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def small_pair(n_code: int = 8) -> KochSmall:
    """With weights so large that its maps and codes differ between drawings."""
    net = KochSmall((2, 3, 3, 4), n_code).initialise(generator())
    for convolution in net.base.convolutions:
        fill_he(convolution.weight, generator())
    return net.eval()


@pytest.fixture(scope="module")
def images(synthetic_drawings):
    return synthetic_drawings.unpack().reshape(-1, 105, 105)[::21][:9]


def test_number_of_parameters():
    net = Koch()
    assert sum(parameter.numel() for parameter in net.parameters()) == read_facts("koch")["n_parameters"]


def test_network_equals_oracle(images):
    net = small_pair().double()
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    pairs = torch.from_numpy(images[:2]).double()
    codes = net.base.double()(pairs).detach().numpy()
    np.testing.assert_allclose(codes[0], oracle.encode(images[0], weights), atol=1e-6)
    found = net(pairs[:1], pairs[1:2]).item()
    assert found == pytest.approx(oracle.logit(images[0], images[1], weights), abs=1e-5)
    assert abs(codes[0] - codes[1]).max() > 1e-3


def test_initial_weights_are_as_published():
    net = Koch().initialise(generator())
    for name, parameter in net.named_parameters():
        mean, sigma = (0.5, 0.01) if name.endswith("bias") else (0.0, 0.01 if "convol" in name else 0.2)
        if parameter.numel() > 100:
            assert parameter.mean().item() == pytest.approx(mean, abs=5 * sigma / parameter.numel() ** 0.5)
            assert parameter.std().item() == pytest.approx(sigma, rel=0.25)


def test_initial_weights_follow_the_generator():
    first, same, other = (KochSmall().initialise(generator(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first.state_dict(), same.state_dict(), atol=0, rtol=0)
    assert not torch.equal(first.output.weight, other.output.weight)


@pytest.mark.parametrize("name", NETS)
def test_every_network_gives_nan_until_initialised_and_then_codes_of_its_length(name):
    net = NETS[name]()
    assert net.encoder(torch.zeros(1, 105, 105)).isnan().all()
    codes = net.initialise(generator()).encoder(torch.zeros(2, 105, 105))
    assert codes.shape == (2, net.n_code)
    assert NETS[name](**net.settings).n_code == net.n_code
    assert net.compare(codes, codes[:1]).shape == (2, 1)


@torch.no_grad()
def test_swapping_the_inputs_changes_nothing(images):
    net = small_pair()
    first, second = torch.from_numpy(images[:4]).float(), torch.from_numpy(images[4:8]).float()
    torch.testing.assert_close(net(first, second), net(second, first), atol=1e-6, rtol=0)
    scorer = NetworkScorer(net)
    codes = scorer.encode(images)
    assert torch.equal(scorer.compare(codes[:3], codes[3:]), scorer.compare(codes[3:], codes[:3]).T)


@torch.no_grad()
def test_all_pairs_of_codes_score_as_every_pair_of_images_on_its_own(images, monkeypatch):
    monkeypatch.setitem(BATCH_IMAGES, "cpu", 4)  # a last batch of another size
    monkeypatch.setattr("oneshot.classify.scoring.COMPARED_AT_ONCE", 64)  # and rows compared in parts
    net = small_pair().train()
    scorer = NetworkScorer(net, Speed(channels_last=True))
    scores = scorer.compare(scorer.encode(images[:5]), scorer.encode(images[5:]))
    assert net.training
    for q, query in enumerate(images[:5]):
        for s, support in enumerate(images[5:]):
            alone = net(torch.from_numpy(query[None]).float(), torch.from_numpy(support[None]).float())
            assert scores[q, s].item() == pytest.approx(alone.item(), abs=1e-5)
    assert scores.std() > 1e-3


@torch.no_grad()
def test_normalised_drawings_are_cropped_to_their_ink(images):
    plain, normalised = small_pair(), KochSmall((2, 3, 3, 4), 8, normalised=True).eval()
    normalised.load_state_dict(plain.state_dict())
    drawings = torch.from_numpy(images).float()
    torch.testing.assert_close(normalised.encoder(drawings), plain.encoder(crop_to_ink(drawings, 105)))
    assert (normalised.encoder(drawings) - plain.encoder(drawings)).abs().max() > 1e-3
    assert Koch(**normalised.settings).settings == normalised.settings
