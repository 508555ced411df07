"""The prototypical network: sizes, averaging, and one episode learnt by heart."""

import numpy as np
import pytest
import torch

from oneshot.episodic import EpisodeFeed, EpisodeLoss, turn
from oneshot.errors import ParameterError
from oneshot.koch_recipes import Halving
from oneshot.koch_training import fit_pairs
from oneshot.nets.protonet import ProtoNet, area_shares
from oneshot.scorers import ProtoScorer


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
    scorer = ProtoScorer(make_net(4))
    codes = scorer.encode(images)
    expected = [[-((a - b) ** 2).sum() for b in codes] for a in codes]
    np.testing.assert_allclose(scorer.compare(codes, codes), expected, rtol=1e-5)


def test_episodes_hold_different_drawings_of_different_classes():
    feed = EpisodeFeed(np.array([3, 8, 9]), seed=0, n_way=7, n_shot=2, n_query=3)
    numbers, turns = (tensor.reshape(7, 5).numpy() for tensor in feed.batch(4))
    assert all(len(set(row)) == 5 for row in numbers.tolist())
    assert (numbers // 20 == numbers[:, :1] // 20).all()
    assert len(set(zip((numbers[:, 0] // 20).tolist(), turns[:, 0].tolist(), strict=True))) == 7
    assert torch.equal(feed.batch(4)[0], feed.batch(4)[0])
    assert not torch.equal(feed.batch(4)[0], feed.batch(5)[0])


def test_too_few_characters_are_one_sentence():
    with pytest.raises(ParameterError, match=r"60 ways of 1 \+ 5 drawings need more than 3 characters"):
        EpisodeFeed(np.array([3, 8, 9]), seed=0)


def test_quarter_turns():
    image = torch.arange(4.0).view(1, 2, 2)
    turned = turn(image.expand(4, 2, 2), torch.arange(4))
    for n in range(4):
        np.testing.assert_array_equal(turned[n], np.rot90(image[0].numpy(), n))


def test_episodes_are_learnt(synthetic_drawings, tmp_path):
    net = make_net(16)
    feed = EpisodeFeed(np.arange(18), seed=0, n_way=10, n_shot=1, n_query=2, n_epoch=10)
    loss = EpisodeLoss(net, synthetic_drawings, 10, 1)
    progress = fit_pairs(loss, feed, Halving(3e-3), checkpoint=tmp_path / "run", n_epochs=10)
    losses = [point.loss for point in progress.curve]
    assert losses[-1] < 0.5 * losses[0]
