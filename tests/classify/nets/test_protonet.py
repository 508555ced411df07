"""The prototypical network: sizes, averaging and scores."""

import numpy as np
import torch

from oneshot.classify.nets.protonet import ProtoNet, area_shares
from oneshot.classify.scoring import NetworkScorer


def make_net(n_filters: int = 64) -> ProtoNet:
    return ProtoNet(n_filters).initialise(torch.Generator().manual_seed(0))


def test_published_size():
    assert sum(parameter.numel() for parameter in ProtoNet().parameters()) == 111_936
    assert ProtoNet()(torch.zeros(2, 105, 105)).isnan().all()
    assert make_net()(torch.zeros(2, 105, 105)).shape == (2, 64)


def test_averaging_shares_every_pixel_out_once():
    shares = area_shares(105, 28)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(shares.sum(0), 28 / 105, atol=1e-6)
    # The second of 28 covers pixels 3.75 to 7.5.
    np.testing.assert_allclose(shares[1, 3:8] * 3.75, [0.25, 1, 1, 1, 0.5], atol=1e-6)


def test_scores_are_minus_squared_distances_of_codes(synthetic_drawings):
    images = synthetic_drawings.unpack()[:3, 0]
    scorer = NetworkScorer(make_net(4))
    codes = scorer.encode(images)
    expected = [[-((a - b) ** 2).sum() for b in codes] for a in codes]
    np.testing.assert_allclose(scorer.compare(codes, codes), expected, rtol=1e-5)
