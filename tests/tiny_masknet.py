"""A tiny MaskNet that has learnt a few scenes, not too well: its proposals differ, and some are blank."""

from dataclasses import replace

import numpy as np
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import Batch, PixelStatistics, code, decode, pick_locations
from oneshot.segment.losses import Objective
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.recipes import learning

STATISTICS = PixelStatistics(20.0, 50.0)


def make_masknet(seed: int = 0) -> MaskNet:
    """Untrained, with shifts that are not zero, and a discriminator that is no copy of the target encoder.

    From NumPy's numbers, since those of PyTorch's generators change with its version.
    """
    generator = np.random.default_rng(seed)
    net = MaskNet(2).start_from(SiameseUNet(2).initialise(np.random.default_rng(0)), np.random.default_rng(0))
    with torch.no_grad():
        for block in net.blocks():
            block.weight *= 0
            block.weight += 1.1 * draw(generator, block.weight) * block.weight[0].numel() ** -0.5
            block.shift += 0.3 * draw(generator, block.shift)
        net.score_weights.copy_(0.3 * draw(generator, net.score_weights))
    return net


def draw(generator: np.random.Generator, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(generator.standard_normal(tuple(like.shape))).float()


def masknet_batch(scenes: Scenes, n_locations: int, seed: int = 0) -> Batch:
    h, w = scenes.labels.shape[1:]
    picked = pick_locations(len(scenes), n_locations, h // 8 * (w // 8), np.random.default_rng(seed))
    places = torch.from_numpy(picked)
    batch = decode(code(scenes), slice(0, len(scenes)), STATISTICS)
    return replace(batch, locations=places[:, :-1], corners=places[:, -1])


def descend(loss: Objective, batch: Batch, n_steps: int) -> list[float]:
    """So many steps on one batch; the losses."""
    optimizer, losses = torch.optim.Adam(learning(loss), 1e-2), []
    for _ in range(n_steps):
        optimizer.zero_grad()
        value = loss(batch)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def tiny_masknet(scenes: Scenes, n_steps: int = 200) -> MaskNet:
    net = make_masknet(seed=2)  # one that leaves the plateau early
    descend(ProposalLoss(net), masknet_batch(scenes, 4), n_steps)
    loss = DiscriminatorLoss(net, corrected=True)
    loss.begin()
    descend(loss, masknet_batch(scenes, 3), 40)
    return net.eval()
