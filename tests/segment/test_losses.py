"""Losses against plain NumPy."""

import numpy as np
import pytest
import torch

from oneshot.segment.batches import (
    PixelStatistics,
    characters_behind,
    code,
    decode,
    pick_others,
    with_others,
)
from oneshot.segment.losses import MatchingLoss, SegmentationLoss, pixel_loss
from oneshot.segment.nets.siamese_unet import SiameseUNet, weight_decay_loss
from tests.fake_scenes import fake_scenes, fake_targets
from tests.oracle import siamese_unet_numpy as oracle
from tests.segment.nets.test_siamese_unet import normal


def make_batch(n: int, matched: bool):
    scenes = fake_scenes(n, 4, seed=5)
    labels = pick_others(n, 4, 3, np.random.default_rng(0))
    targets = fake_targets(4, characters_behind(scenes.characters, labels), seed=1)
    coded = with_others(code(scenes), 4, labels, targets) if matched else code(scenes)
    return decode(coded, slice(0, n), PixelStatistics(20.0, 50.0))


def test_pixel_loss_is_softmax_cross_entropy_averaged_over_pixels():
    logits = 3 * normal(2, 2, 6, 5, seed=0)
    masks = normal(2, 6, 5, seed=1) > 0.5
    expected = np.mean(
        [oracle.cross_entropy(logit, mask) for logit, mask in zip(logits.numpy(), masks.numpy(), strict=True)]
    )
    assert pixel_loss(logits, masks).item() == pytest.approx(expected, rel=1e-6)


def test_matching_loss_equals_oracle_and_leaves_hidden_characters_out():
    target_codes, scene_codes = normal(3, 4, 6, seed=0), normal(3, 6, 2, 3, seed=1)
    visible = normal(3, 4, 2, 3, seed=2).clamp(min=0)
    visible[1, 2] = 0
    loss = MatchingLoss().double()
    torch.nn.init.constant_(loss.log_scale, 0.3)
    expected = oracle.matching_loss(target_codes.numpy(), scene_codes.numpy(), visible.numpy(), 0.3)
    assert loss(target_codes, scene_codes, visible).item() == pytest.approx(expected, rel=1e-5)


def test_matching_loss_of_hidden_characters_alone_is_zero():
    hidden = torch.zeros(2, 4, 2, 3, dtype=torch.float64)
    assert MatchingLoss()(normal(2, 4, 6, seed=0), normal(2, 6, 2, 3, seed=1), hidden).item() == 0


def test_published_loss_is_cross_entropy_and_weight_decay():
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    batch = make_batch(3, matched=False)
    expected = pixel_loss(net(batch.images, batch.targets), batch.masks) + weight_decay_loss(net)
    torch.testing.assert_close(SegmentationLoss(net)(batch), expected)


def test_matching_loss_is_added_with_its_weight():
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    batch = make_batch(3, matched=True)
    assert batch.others is not None
    codes = torch.stack(
        [net.encode_target(batch.targets), *(net.encode_target(batch.others[:, k]) for k in range(3))], dim=1
    )
    matching = oracle.matching_loss(
        codes.detach().double().numpy(),
        net.encode_scene(batch.images)[-1].detach().double().numpy(),
        batch.visible.double().numpy(),
        0.0,
    )
    plain = SegmentationLoss(net)(batch).item()
    assert SegmentationLoss(net, 0.1)(batch).item() == pytest.approx(plain + 0.1 * matching, rel=1e-4)


def test_matching_loss_without_its_data_is_refused():
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    with pytest.raises(ValueError, match="render_targets"):
        SegmentationLoss(net, 0.1)(make_batch(2, matched=False))
