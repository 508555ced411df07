"""The prototypical network: sizes, averaging and scores."""

import numpy as np
import torch

from oneshot.classify.nets.protonet import ProtoNet
from oneshot.classify.scoring import NetworkScorer


def make_net(n_filters: int = 64) -> ProtoNet:
    return ProtoNet(n_filters).initialise(np.random.default_rng(0))


def test_published_size():
    assert sum(parameter.numel() for parameter in ProtoNet().parameters()) == 111_936
    assert ProtoNet()(torch.zeros(2, 105, 105)).isnan().all()
    assert make_net()(torch.zeros(2, 105, 105)).shape == (2, 64)


def test_scores_are_minus_squared_distances_of_codes(synthetic_drawings):
    images = synthetic_drawings.unpack()[:3, 0]
    scorer = NetworkScorer(make_net(4))
    codes = scorer.encode(images)
    expected = [[-((a - b) ** 2).sum() for b in codes] for a in codes]
    np.testing.assert_allclose(scorer.compare(codes, codes), expected, rtol=1e-5)
