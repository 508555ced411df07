"""MaskNet as one would first write it in PyTorch: the baseline of ``python -m bench.masknet``.

Proposal after proposal is masked, normalised and decoded whole, for a batch of scenes at a time, as in the
paper's own code; float32 as PyTorch sets it up. It gives the same as ours, on the same weights.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import obvious
from oneshot.segment.nets.masknet import MaskNet

THRESHOLD = 0.3
SCORE_EPSILON = 1e-4


class ObviousMaskNet(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.siamese = obvious.ObviousSiameseUNet(f)
        self.discriminator = obvious.Encoder(f, 5, 1)
        self.score = nn.Linear(16 * f, 1, bias=False)

    def encode(self, scenes, targets):
        codes = self.siamese.target_encoder(targets)[-1]  # b x c x 1 x 1
        skips = self.siamese.scene_encoder(scenes)
        return codes, skips, (codes * skips[-1]).sum(1, keepdim=True) * codes

    def decode(self, matched, skips, locations):
        """Decode one location of every scene."""
        b, _, h, w = matched.shape
        x = matched * F.one_hot(locations, h * w).view(b, 1, h, w)
        x = F.layer_norm(x, x.shape[1:], eps=1e-12)
        for i, block in enumerate(self.siamese.decoder):
            x = block(torch.cat([x, skips[5 - i]], dim=1))
            if i in (2, 3, 4):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    def judge(self, logits, codes, mean, std):
        masks = F.softmax(logits, dim=1)[:, 1] > THRESHOLD
        crops = (255 * crop(masks) - mean) / std
        crops = crops[:, None].expand(-1, 3, -1, -1)
        differences = (self.discriminator(crops)[-1] - codes).abs().flatten(1)
        return masks, torch.sigmoid(self.score(differences)[:, 0])

    @torch.no_grad()
    def answer(self, scenes, targets, mean, std) -> tuple[Tensor, Tensor]:
        """Find the mask that scores best of every scene, and its score."""
        codes, skips, matched = self.encode(scenes, targets)
        n_locations = matched.shape[2] * matched.shape[3]
        best_masks, best_scores = None, torch.full((len(scenes),), -1.0, device=scenes.device)
        for location in range(n_locations):
            locations = torch.full((len(scenes),), location, device=scenes.device)
            masks, scores = self.judge(self.decode(matched, skips, locations), codes, mean, std)
            better = scores > best_scores
            best_masks = (
                masks if best_masks is None else torch.where(better[:, None, None], masks, best_masks)
            )
            best_scores = torch.where(better, scores, best_scores)
        return best_masks, best_scores

    def proposal_loss(self, scenes, targets, masks, locations):
        """Compute the loss of step 1; the first four of the eight locations are the target's."""
        _, skips, matched = self.encode(scenes, targets)
        logits = torch.stack([self.decode(matched, skips, place) for place in locations.T])
        wanted = torch.stack([masks.long()] * 4 + [torch.zeros_like(masks).long()] * 4)
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(0, 1))

    def discriminator_loss(self, scenes, targets, locations, mean, std):
        """Compute the loss of step 2; the first of the four locations is the target's."""
        with torch.no_grad():
            codes, skips, matched = self.encode(scenes, targets)
            logits = [self.decode(matched, skips, place) for place in locations.T]
        scores = torch.stack([self.judge(of_place, codes, mean, std)[1] for of_place in logits])
        right = torch.cat([scores[:1], 1 - scores[1:]])
        return -torch.log(right + SCORE_EPSILON).mean()


def crop(masks):
    """Crop a third around the centre of mass, as a spatial transformer by grid_sample."""
    h, w = masks.shape[1:]
    floats = masks.float()
    total = floats.sum((1, 2)).clamp(min=1)
    rows = (floats.sum(2) * torch.arange(h, device=masks.device)).sum(1).div(total, rounding_mode="floor")
    columns = (floats.sum(1) * torch.arange(w, device=masks.device)).sum(1).div(total, rounding_mode="floor")
    steps = torch.linspace(-1, 1, 32, device=masks.device)
    y = rows[:, None] * h / (h - 1) + steps * h / 6
    x = columns[:, None] * w / (w - 1) + steps * w / 6
    inside = ((y >= 0) & (y <= h - 1))[:, :, None] & ((x >= 0) & (x <= w - 1))[:, None]
    grid = torch.stack(
        [
            ((2 * x + 1) / w - 1)[:, None].expand(-1, 32, -1),
            ((2 * y + 1) / h - 1)[:, :, None].expand(-1, -1, 32),
        ],
        -1,
    )
    return F.grid_sample(floats[:, None], grid, align_corners=False)[:, 0] * inside


def with_weights_of(ours: MaskNet) -> ObviousMaskNet:
    net = ObviousMaskNet(ours.feature_maps)
    net.siamese = obvious.with_weights_of(ours.siamese)
    with torch.no_grad():
        for block, our_block in zip(net.discriminator.blocks, ours.discriminator.blocks(), strict=True):
            block.conv.weight.copy_(our_block.weight)
            block.shift.copy_(our_block.shift)
        net.score.weight.copy_(ours.score_weights[None])
    return net
