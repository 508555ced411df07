"""Loss of the colour matcher."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import SceneStatistics
from oneshot.segment.group_batches import CodedGroups, GroupBatch, code_groups, decode_groups
from oneshot.segment.losses import Objective
from oneshot.segment.nets.colour_matcher import ColourMatcher, EncoderPair

ALL_LEVELS = 7
NO_CHOICE = -1e9  # a score that leaves no probability; infinite ones would have no gradient


class MatcherLoss(Objective):
    """Cross-entropy of choosing the target's group: among those of its scene, and among those of the batch.

    Groups of the target's character in other scenes are no choice. Scenes without a group of the target, such
    as those whose glyph lost all its ink, are left out.
    """

    n_window_jobs = ALL_LEVELS
    splits = False  # groups are chosen among those of the whole batch
    net: ColourMatcher

    def code(self, scenes: Scenes) -> CodedGroups:
        return code_groups(scenes, self.net.framing, n_views=self.n_views)

    def decode(
        self, coded: CodedGroups, which: Int[Tensor, " b"], statistics: SceneStatistics,
        memory_format: torch.memory_format,
    ) -> GroupBatch:  # fmt: skip
        """Make a batch of groups, which are not normalised by statistics of pixels."""
        return decode_groups(coded, which, memory_format)

    def forward(self, batch: GroupBatch) -> Float[Tensor, ""]:
        """Compute it for both looks at a group; they share no weights."""
        return self.loss_of(self.net.whole, batch) + self.loss_of(self.net.glance, batch)

    def loss_of(self, pair: EncoderPair, batch: GroupBatch) -> Float[Tensor, ""]:
        target_codes, _ = pair.targets(batch.target_pixels, batch.target_shapes)
        codes, numbers = pair.groups(batch.pixels, batch.shapes)
        # In float32 throughout: bfloat16 would round scores of some tens by more than what tells them apart.
        with torch.autocast(codes.device.type, enabled=False):
            scores = pair.log_scale.exp() * target_codes @ codes.T + numbers
        return choice_loss(scores, batch.characters, batch.target_characters)


def choice_loss(
    scores: Float[Tensor, "b n"], characters: Int[Tensor, "b k"], target_characters: Int[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Compute both cross-entropies, the mean over all scenes with a group of their target, which comes first.

    `scores`: of every target with the groups of all scenes; characters are -1 where there is no group.
    """
    b, k = characters.shape
    own = torch.arange(b, device=scores.device)
    missing = characters < 0
    own_scores = scores.view(b, b, k)[own, own].masked_fill(missing, NO_CHOICE)
    is_own = (own[:, None] == own)[..., None]
    same = (characters == target_characters[:, None, None]) & ~is_own
    all_scores = scores.masked_fill((missing | same).flatten(1), NO_CHOICE)
    in_scene = F.cross_entropy(own_scores, torch.zeros_like(own), reduction="none")
    in_batch = F.cross_entropy(all_scores, own * k, reduction="none")
    seen = ~missing[:, 0]
    return torch.where(seen, in_scene + in_batch, 0.0).sum() / seen.sum().clamp(min=1)
