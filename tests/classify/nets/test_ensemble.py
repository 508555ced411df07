"""Several networks that answer together: the mean of their cosines, over drawings and distorted copies."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from oneshot.classify.distortions import distort, draw_distortions
from oneshot.classify.nets.ensemble import COPIES_SEED, Ensemble
from oneshot.exports.network import Graph, ImageComparison, compare_outputs, convert

SETTINGS = ({"channels": (4, 6), "side": 16, "n_code": 5}, {"channels": (3, 5), "side": 20, "n_code": 7})


@pytest.fixture
def images(synthetic_drawings) -> torch.Tensor:
    return torch.from_numpy(synthetic_drawings.unpack()[:6, 0]).float()


def make_net(**settings) -> Ensemble:
    return Ensemble(SETTINGS, **settings).initialise(np.random.default_rng(0)).eval()


@torch.no_grad()
def test_scores_are_the_mean_of_the_members_cosines(images):
    net = make_net()
    expected = []
    for member in net.members:
        codes = F.normalize(member(images).double(), dim=1)
        expected.append(codes[:2] @ codes.T)
    codes = net(images)
    assert codes.shape == (6, net.n_code) == (6, 12)
    found = net.present(net.compare(codes[:2], codes))
    np.testing.assert_allclose(found, torch.stack(expected).mean(0), atol=1e-6)
    assert found.std() > 1e-3


@torch.no_grad()
def test_copies_are_distorted_and_each_counts_alike(images):
    net = make_net(n_copies=2, displacement=0.2)
    inverses = torch.from_numpy(draw_distortions(COPIES_SEED, np.arange(2), np.ones(2, int))[:, 0])
    first, second = (
        distort(images, inverses[k].expand(6, 2, 3), net.moves[k].expand(6, 2, 5, 5)) for k in range(2)
    )
    assert net.moves.abs().amax() == pytest.approx(0.2, abs=0.02)
    assert (first - second).abs().amax() > 0.5
    codes = [
        sum(F.normalize(member(some), dim=1) for some in (images, first, second)) for member in net.members
    ]
    expected = torch.cat([F.normalize(code, dim=1) for code in codes], 1)
    torch.testing.assert_close(net(images), expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_it_is_rebuilt_from_its_settings_and_keeps_its_distortions(images):
    net = make_net(n_copies=3, displacement=0.1)
    again = Ensemble(**net.settings)
    assert again.settings == net.settings
    assert not net.state_dict().keys() & {"moves", "inverses"}
    torch.testing.assert_close(again.moves, net.moves, rtol=0, atol=0)
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again.eval()(images), net(images), rtol=0, atol=0)


def test_a_graph_for_any_number_of_images_computes_the_same(images):
    pytest.importorskip("onnxscript")
    net = make_net(n_copies=1, displacement=0.1)
    inputs = {"queries": images[:2], "supports": images[2:]}
    graph = Graph(ImageComparison(net), inputs, {"queries": "q", "supports": "s"}, ("scores", "codes"))
    for one in compare_outputs(graph, convert(graph, {})):
        assert one.difference <= one.tolerated


def test_without_members_there_is_none():
    with pytest.raises(ValueError, match="at least one member"):
        Ensemble([])
