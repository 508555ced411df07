"""Losses of segmentation networks."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import Batch, SceneStatistics, code, decode
from oneshot.segment.coded import Coded
from oneshot.segment.nets.siamese_unet import (
    Block,
    Encoder,
    SiameseUNet,
    layer_norm,
    weight_decay_loss,
)
from oneshot.segment.phases import N_WINDOW_JOBS

# The mask covers 1.3 % of a scene; twice 2.3 apart, the logits start at a foreground probability of 1 %.
BACKGROUND_LOGIT = 2.3


def pixel_loss(logits: Float[Tensor, "b 2 h w"], masks: Bool[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Compute softmax cross-entropy, the mean over all pixels."""
    # With two classes it is the softplus of how far the wrong class is ahead.
    ahead = logits[:, 0].float() - logits[:, 1].float()
    return F.softplus(torch.where(masks, ahead, -ahead)).mean()


class MatchingLoss(nn.Module):
    """Auxiliary: asks the codes themselves to find characters, before any decoder has learnt to use them.

    The correlations of a target's code with all locations of all scenes of the batch, times exp(learned) /
    sqrt(channels), go through a softmax whose goal is the locations that show the character, in proportion to
    its visible pixels there. Characters that are entirely hidden are left out.

    Not published: it uses more supervision than the paper (labels and target images of distractors). Without
    such a push the target code collapses within 20 steps, and the network segments every character alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        target_codes: Float[Tensor, "b k c"],
        scene_codes: Float[Tensor, "b c h w"],
        visible: Float[Tensor, "b k h w"],
    ) -> Float[Tensor, ""]:
        b, k, c = target_codes.shape
        locations = scene_codes.transpose(0, 1).reshape(c, -1).float()
        # In float32 throughout: bfloat16 would round products of some hundreds by whole numbers.
        with torch.autocast(locations.device.type, enabled=False):
            correlations = target_codes.flatten(0, 1).float() @ locations
        log_shares = F.log_softmax(correlations * self.log_scale.exp() / c**0.5, dim=1).view(b, k, b, -1)
        # The character is sought in all scenes, but lies in its own.
        own_scene = torch.arange(b, device=visible.device)
        log_shares = log_shares[own_scene, :, own_scene]
        pixels = visible.flatten(2)
        n_pixels = pixels.sum(2)
        losses = -(pixels * log_shares).sum(2) / n_pixels.clamp(min=1e-6)
        return losses.sum() / (n_pixels > 0).sum().clamp(min=1)


class Objective(nn.Module):
    """Training loss of a network: called with a batch, it gives the scalar to minimise.

    `code` and `decode` are what the feed makes of rendered scenes, and of those that a batch is of.
    `n_window_jobs`: jobs whose scenes are shuffled together. `n_locations`: random locations that it wants of
    every scene. With `matching`, batches must bring target
    images of distractors. Parameters that it does not train want no gradient. `corrected`: MaskNet's
    labels are mended. `n_views`: ways in which a colour matcher's scenes are turned.
    """

    n_locations = 0
    n_window_jobs = N_WINDOW_JOBS

    def __init__(
        self, net: nn.Module, matching_weight: float = 0.0, *, corrected: bool = False, n_views: int = 1
    ) -> None:
        super().__init__()
        self.net, self.corrected, self.n_views = net, corrected, n_views
        net.requires_grad_(False)
        self.trained().requires_grad_(True)
        self.matching_weight = matching_weight
        self.matching = MatchingLoss() if matching_weight else None

    @property
    def splits(self) -> bool:
        """Say if it is the mean over the scenes of a batch: matching compares them with one another."""
        return self.matching is None

    def code(self, scenes: Scenes) -> Coded:
        return code(scenes)

    def decode(
        self, coded: Any, which: Int[Tensor, " b"], statistics: SceneStatistics,
        memory_format: torch.memory_format,
    ) -> Any:  # fmt: skip
        return decode(coded, which, statistics, memory_format)

    def begin(self) -> None:
        """Set up what depends on the trainings before: nothing, if there are none."""

    def prepare(self, batch: Any) -> None:
        """Set an untrained network up from a batch, as recipe fast wants it: leave it as it is."""

    def trained(self) -> nn.Module:
        """Give the part of the network that learns."""
        return self.net

    def ends(self) -> list[Block]:
        """Give its first and last blocks, whose weights are no maps from features to features."""
        raise NotImplementedError

    def encode(
        self, siamese: SiameseUNet, batch: Batch
    ) -> tuple[Float[Tensor, "b c"], list[Float[Tensor, "b _ _ _"]], Float[Tensor, ""]]:
        """Give the targets' codes, the scenes' layers, and the matching loss, weighted; 0 without one."""
        if self.matching is None:
            codes = siamese.encode_target(batch.targets)
            return codes, siamese.encode_scene(batch.images), codes.new_zeros(())
        if batch.others is None or batch.visible is None:
            raise ValueError(
                "the matching loss needs batches with other targets: give the feed render_targets"
            )
        b = len(batch)
        # Others come channel by channel; all are to lie in memory as the targets do.
        order = torch.contiguous_format if batch.targets.is_contiguous() else torch.channels_last
        others = batch.others.flatten(0, 1).contiguous(memory_format=order)
        codes = siamese.encode_target(torch.cat([batch.targets, others]))
        target_codes, other_codes = codes[:b], codes[b:].unflatten(0, batch.others.shape[:2])
        skips = siamese.encode_scene(batch.images)
        matching = self.matching(torch.cat([target_codes[:, None], other_codes], 1), skips[-1], batch.visible)
        return target_codes, skips, self.matching_weight * matching


class SegmentationLoss(Objective):
    """Siamese-U-Net's: cross-entropy and weight decay, plus the matching loss if any.

    With `matching_weight` 0 this is the published loss.
    """

    net: SiameseUNet

    @torch.no_grad()
    def prepare(self, batch: Batch) -> None:
        """Start from equal encoders, centred codes, and logits at the background's share."""
        net = self.net
        net.target_encoder.load_state_dict(net.scene_encoder.state_dict())
        centre_codes(net.target_encoder, batch.targets)
        centre_codes(net.scene_encoder, batch.images)
        net.decoder.blocks()[-1].shift.copy_(torch.tensor([BACKGROUND_LOGIT, -BACKGROUND_LOGIT]))

    def ends(self) -> list[Block]:
        return ends_of(self.net)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        target_codes, skips, matching = self.encode(self.net, batch)
        logits = self.net.decode(self.net.match(target_codes, skips[-1]), skips)
        return pixel_loss(logits, batch.masks) + weight_decay_loss(self.net) + matching


def ends_of(net: SiameseUNet) -> list[Block]:
    return [net.target_encoder.blocks()[0], net.scene_encoder.blocks()[0], net.decoder.blocks()[-1]]


def centre_codes(encoder: Encoder, images: Float[Tensor, "b 3 h w"]) -> None:
    """Set every shift to minus the mean, over these images, of what it is added to.

    After ReLU and layer norm all codes share a large common part, which hides what tells them apart.
    """
    x = images
    for step, layer in enumerate(encoder.blocks()):
        layer.shift.copy_(-layer_norm(layer.convolve(x)).mean((0, 2, 3)))
        x = encoder.pool(step, layer(x))
