"""Losses of MaskNet's two trainings.

Source: Michaelis, Bethge, Ecker 2018, section 4; github.com/michaelisc/cluttered-omniglot at 0cd38ba.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from oneshot.segment.batches import LOCATION, Batch
from oneshot.segment.losses import Objective, ends_of, pixel_loss
from oneshot.segment.metrics import centre, foreground, iou
from oneshot.segment.nets.masknet import MaskNet, decode_proposals, share_steps
from oneshot.segment.nets.siamese_unet import Block, Blocks, weight_decay_loss
from oneshot.segment.proposals import crops_of, near_locations

SCORE_EPSILON = 1e-4
SAME_IOU = 0.5  # of a proposal's mask with the true one, from which on it counts as the target's


def near_target(batch: Batch) -> Int[Tensor, "b 4"]:
    """Give the four locations around the centre of mass of every target."""
    h, w = batch.masks.shape[1:]
    return near_locations(centre(batch.masks), h // LOCATION, w // LOCATION)


def random_locations(batch: Batch) -> tuple[Int[Tensor, "b k"], Int[Tensor, " b"]]:
    if batch.locations is None or batch.corners is None:
        raise ValueError("MaskNet's training needs batches with random locations: tell the feed how many")
    return batch.locations, batch.corners


class ProposalLoss(Objective):
    """Step 1, of encoders and decoder: the mask at the target, nothing elsewhere; and weight decay.

    Eight proposals a scene: the four locations around the target's centre of mass, and four random ones.

    Quirk: a random one that happens to be one of the four is told to give nothing, as published. With
    `corrected` it is told to give the mask.
    """

    n_locations = 4
    net: MaskNet

    def trained(self) -> Blocks:
        return self.net.siamese

    def ends(self) -> list[Block]:
        return ends_of(self.net.siamese)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        siamese = self.net.siamese
        codes, skips, matching = self.encode(siamese, batch)
        near, (elsewhere, _) = near_target(batch), random_locations(batch)
        locations = torch.cat([near, elsewhere], 1)
        shared = share_steps(siamese.decoder, codes, skips)
        logits = decode_proposals(siamese.decoder, shared, locations)
        wanted = torch.cat(
            [torch.ones_like(near, dtype=torch.bool), torch.zeros_like(elsewhere, dtype=torch.bool)], 1
        )
        if self.corrected:
            wanted = (locations[:, :, None] == near[:, None]).any(2)
        masks = batch.masks[:, None] & wanted[..., None, None]
        return pixel_loss(logits.flatten(0, 1), masks.flatten(0, 1)) + weight_decay_loss(siamese) + matching


class DiscriminatorLoss(Objective):
    """Step 2, of the discriminator alone: cross-entropy of the scores and weight decay of its encoder.

    Four proposals a scene: one of the four around the target, which is to score 1, and three random ones,
    which are to score 0. With `corrected` it is a mask that overlaps the true one by half that is to score 1.
    """

    n_locations = 3
    net: MaskNet

    def __init__(self, net: MaskNet, matching_weight: float = 0.0, **settings: Any) -> None:
        super().__init__(net, **settings)  # codes do not learn: they are not matched
        net.score_weights.requires_grad_(True)

    def begin(self) -> None:
        """Start from the target encoder as it is by now."""
        self.net.discriminator.load_state_dict(self.net.siamese.target_encoder.state_dict())

    def trained(self) -> Blocks:
        return self.net.discriminator

    def ends(self) -> list[Block]:
        return [self.net.discriminator.blocks()[0]]

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        with torch.no_grad():
            codes, masks, same = self.propose(batch)
            k = len(masks) // len(codes)
            of_scenes = (batch.pixel_means, batch.pixel_stds, codes)
            means, stds, codes = (values.repeat_interleave(k, 0) for values in of_scenes)
        # As the targets lie in memory.
        order = torch.contiguous_format if batch.targets.is_contiguous() else torch.channels_last
        scores = self.net.score(crops_of(masks, means, stds, order), codes).unflatten(0, (-1, k))
        loss = score_loss(scores, same.unflatten(0, (-1, k)))
        return loss + weight_decay_loss(self.net.discriminator)

    def propose(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "b c"], Bool[Tensor, "b*4 h w"], Bool[Tensor, "b*4"]]:
        """Give the targets' codes, the masks of four proposals, and which of them are to score 1."""
        siamese = self.net.siamese
        codes, skips = self.net.encode(batch.images, batch.targets)
        elsewhere, corners = random_locations(batch)
        chosen = near_target(batch).gather(1, corners[:, None])
        locations = torch.cat([chosen, elsewhere], 1)
        shared = share_steps(siamese.decoder, codes, skips)
        masks = foreground(decode_proposals(siamese.decoder, shared, locations).flatten(0, 1))
        if self.corrected:
            true = batch.masks.repeat_interleave(locations.shape[1], 0)
            return codes, masks, (iou(masks, true) >= SAME_IOU) & true.flatten(1).any(1)
        same = torch.zeros_like(locations, dtype=torch.bool)
        same[:, 0] = True
        return codes, masks, same.flatten()


def score_loss(scores: Float[Tensor, "b k"], same: Bool[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Compute cross-entropy, the mean over all proposals; the small term in it is as published."""
    right = torch.where(same, scores, 1 - scores)
    return -torch.log(right + SCORE_EPSILON).mean()
