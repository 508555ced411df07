"""A tiny MaskNet that has learnt a few scenes, not too well: its proposals differ, and some are blank."""

from dataclasses import replace

import numpy as np
import torch

from oneshot.batches import Batch, PixelStatistics, code, decode, pick_locations
from oneshot.losses import Objective
from oneshot.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.nets.masknet import MaskNet
from oneshot.nets.siamese_unet import SiameseUNet
from oneshot.recipes import learning
from oneshot.scenes import Scenes

STATISTICS = PixelStatistics(20.0, 50.0)


def make_masknet(seed: int = 0) -> MaskNet:
    """Untrained, with shifts that are not zero, and a discriminator that is no copy of the target encoder."""
    generator = torch.Generator().manual_seed(seed)
    net = MaskNet(2).start_from(SiameseUNet(2).initialise(generator), generator)
    for block in net.blocks():
        torch.nn.init.normal_(block.shift, std=0.3, generator=generator)
    return net


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
    net = make_masknet()
    descend(ProposalLoss(net), masknet_batch(scenes, 4), n_steps)
    net.start_discriminator()
    descend(DiscriminatorLoss(net), masknet_batch(scenes, 3), 10)
    return net.eval()
