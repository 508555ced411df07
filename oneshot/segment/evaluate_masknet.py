"""MaskNet's answers, those of its cheaper variants, and those of oracles, scene by scene.

An oracle is a MaskNet that is told part of the truth: what it still misses is the fault of the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from oneshot.clutter.scenes import Scenes
from oneshot.segment.answers import OWN, SNAPPED, TOP
from oneshot.segment.batches import (
    LOCATION,
    Batch,
    CodedScenes,
    PixelStatistics,
    code,
    decode,
    read_colours,
    read_labels,
)
from oneshot.segment.metrics import (
    Evaluation,
    centre,
    foreground,
    foreground_probability,
    iou,
    localised,
    snap_to_colours,
)
from oneshot.segment.nets.masknet import MaskNet, SharedSteps, decode_proposals, share_steps
from oneshot.segment.proposals import centre_location, crops_of
from oneshot.training.memory import Result, compute_in_batches
from oneshot.training.speed import Speed

TOP_K = (1, 4, 16)  # proposals by matching score, in the variants that decode these only
# Decoded at a time. On a CPU what stays in its cache (24 feature maps, two cores: 144 take 0.26 s in parts of
# 24, 0.32 s of 48, 0.42 s at once); on a GPU at most so many, halved until its free memory holds them.
PROPOSALS_AT_ONCE = {"cpu": 24, "mps": 576, "cuda": 4608}
BYTES_A_PROPOSAL = 7.3 * 2**30 / 2304  # at 24 feature maps (counted, not measured)


def count_at_once(feature_maps: int, speed: Speed) -> int:
    """Count the proposals that are decoded at a time."""
    n = PROPOSALS_AT_ONCE[speed.device_type]
    if speed.device_type == "cuda":
        torch.cuda.empty_cache()  # what PyTorch holds without need is free, too
        free = torch.cuda.mem_get_info(speed.device)[0]
        while n > 1 and n * BYTES_A_PROPOSAL * feature_maps / 24 > free:
            n //= 2
    return n


@dataclass(frozen=True)
class JudgedMasks:
    """Masks of every scene, judged: the discriminator's score, and how well each fits the true mask."""

    scores: Float[Tensor, "b k"]
    ious: Float[Tensor, "b k"]
    hits: Bool[Tensor, "b k"]

    def pick(self, which: Int[Tensor, " b"]) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
        """Give IoU and hit of one mask of every scene."""
        iou, hits = (values.gather(1, which[:, None])[:, 0] for values in (self.ious, self.hits))
        return iou, hits


class Encoding(nn.Module):
    """The first half of an answer, once a scene: what all its proposals share, and the target's code."""

    def __init__(self, net: MaskNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, scenes: Float[Tensor, "b 3 h w"], targets: Float[Tensor, "b 3 32 32"]
    ) -> tuple[SharedSteps, Float[Tensor, "b c"]]:
        codes, skips = self.net.encode(scenes, targets)
        return share_steps(self.net.siamese.decoder, codes, skips), codes


class Proposing(nn.Module):
    """The second half: the masks of some locations of every scene."""

    def __init__(self, net: MaskNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, shared: SharedSteps, locations: Int[Tensor, "b k"]) -> Bool[Tensor, "b k h w"]:
        logits = decode_proposals(self.net.siamese.decoder, shared, locations)
        return foreground(logits.flatten(0, 1)).unflatten(0, locations.shape)


class Scoring(nn.Module):
    """The discriminator's scores of masks."""

    def __init__(self, net: MaskNet, memory_format: torch.memory_format = torch.contiguous_format) -> None:
        super().__init__()
        self.net = net
        self.memory_format = memory_format

    def forward(
        self,
        masks: Bool[Tensor, "n h w"],
        target_codes: Float[Tensor, "n c"],
        pixel_means: Float[Tensor, " n"],
        pixel_stds: Float[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        return self.net.score(crops_of(masks, pixel_means, pixel_stds, self.memory_format), target_codes)


class MaskJudge:
    """One MaskNet at work, at a given speed."""

    def __init__(self, net: MaskNet, speed: Speed) -> None:
        speed.place(net).eval()
        # Replayed CUDA graphs would overwrite what all proposals share while they are decoded.
        self.speed = replace(speed, cuda_graphs=False)
        self.encode = self.speed.compile(Encoding(net))
        self.propose = self.speed.compile(Proposing(net))
        self.score_crops = self.speed.compile(Scoring(net, speed.memory_format))
        self.decoder, self.memory_format = net.siamese.decoder, speed.memory_format
        self.n_at_once = count_at_once(net.feature_maps, speed)

    def score(
        self, batch: Batch, codes: Float[Tensor, "b c"], masks: Bool[Tensor, "b k h w"]
    ) -> Float[Tensor, "b k"]:
        """Score some masks of every scene.

        Many are blank, and all blank ones of a scene score alike: on a CPU they are scored once. On a GPU,
        where the fastest convolution is searched for every number of masks, that would cost more than it
        spares; compiled code, too, is for one number.
        """
        b, k = masks.shape[:2]
        of_scenes = (codes, batch.pixel_means, batch.pixel_stds)
        if self.speed.even:
            spread = (values.repeat_interleave(k, 0) for values in of_scenes)
            return self.score_crops(masks.flatten(0, 1), *spread).view(b, k)
        inked = masks.flatten(2).any(2)
        scores = self.score_crops(torch.zeros_like(masks[:, 0]), *of_scenes)[:, None].repeat(1, k)
        if inked.any():
            scene = inked.nonzero()[:, 0]
            scores[inked] = self.score_crops(masks[inked], *(values[scene] for values in of_scenes))
        return scores

    def judge(self, batch: Batch, codes: Float[Tensor, "b c"], masks: Bool[Tensor, "b k h w"]) -> JudgedMasks:
        true = batch.masks.repeat_interleave(masks.shape[1], 0)
        flat = masks.flatten(0, 1)
        ious, hits = (measure(flat, true).unflatten(0, masks.shape[:2]) for measure in (iou, localised))
        return JudgedMasks(self.score(batch, codes, masks), ious, hits)

    def proposals(
        self, batch: Batch, shared: SharedSteps, codes: Float[Tensor, "b c"], locations: Int[Tensor, "b k"]
    ) -> JudgedMasks:
        """Judge what comes of some locations of every scene."""
        n_each = max(1, self.n_at_once // len(batch))
        parts = []
        for some in locations.split(n_each, 1):
            parts.append(self.judge(batch, codes, self.propose(shared, some)))
        return join_judged(parts)

    def probabilities(self, shared: SharedSteps, location: Int[Tensor, " b"]) -> Float[Tensor, "b h w"]:
        """Decode one location of every scene once more, to the probabilities of the foreground."""
        return foreground_probability(decode_proposals(self.decoder, shared, location[:, None])[:, 0])

    def candidates(
        self, batch: Batch, codes: Float[Tensor, "b c"], labels: Int[Tensor, "b h w"], n: int
    ) -> JudgedMasks:
        """Judge the visible pixels of all n characters as if proposed; what is hidden scores least."""
        n_locations = labels[0].numel() // LOCATION**2  # no more masks than there are proposals
        n_parts = -(-n // max(1, min(self.n_at_once // len(batch), n_locations)))
        parts = []
        # Of equal size, where they can be: see `score`.
        for some in torch.arange(1, n + 1, device=labels.device).split(-(-n // n_parts)):
            masks = labels[:, None] == some[:, None, None]
            judged = self.judge(batch, codes, masks)
            seen = masks.flatten(2).any(2)
            parts.append(JudgedMasks(judged.scores.where(seen, -torch.inf), judged.ious, judged.hits))
        return join_judged(parts)


def join_judged(parts: Sequence[JudgedMasks]) -> JudgedMasks:
    return JudgedMasks(
        *(torch.cat([getattr(part, field.name) for part in parts], 1) for field in fields(JudgedMasks))
    )


def answer_batch(
    judge: MaskJudge,
    batch: Batch,
    labels: Int[Tensor, "b h w"],
    colours: Int[Tensor, "b h w"],
    n_characters: int,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Give IoU and hits of every answer (see `oneshot.segment.answers`) of every scene of a batch."""
    shared, codes = judge.encode(batch.images, batch.targets)
    b, h, w = shared.correlation.shape
    every = torch.arange(h * w, device=codes.device).expand(b, -1)
    judged = judge.proposals(batch, shared, codes, every)
    candidates = judge.candidates(batch, codes, labels, n_characters)
    chosen_location = judged.scores.argmax(1)
    found = {OWN: judged.pick(chosen_location)}
    snapped = snap_to_colours(judge.probabilities(shared, chosen_location), colours, n_characters + 1)
    found[SNAPPED] = (iou(snapped, batch.masks), localised(snapped, batch.masks))
    correlation = shared.correlation.flatten(1)
    for k in TOP_K:
        best = correlation.topk(min(k, h * w)).indices  # the k locations that match their target best
        chosen = torch.zeros_like(correlation, dtype=torch.bool).scatter(1, best, True)
        scores = judged.scores.where(chosen, -torch.inf)
        found[f"{TOP}{k}"] = judged.pick(scores.argmax(1))
    found["location_given"] = judged.pick(centre_location(centre(batch.masks), h, w))
    found["candidates_given"] = candidates.pick(candidates.scores.argmax(1))
    found["choice_given"] = judged.pick(judged.ious.argmax(1))
    return found


def answer_in_batches(
    judge: MaskJudge,
    coded: CodedScenes,
    statistics: PixelStatistics,
    answer: Callable[[Batch, slice], Result],
) -> Iterator[tuple[Result, int]]:
    """Answer scenes, as many as their proposals are decoded at once; and say how many were there before."""
    h, w = coded.labels.shape[1:]
    n_locations = (h // LOCATION) * (w // LOCATION)

    def answer_some(which: slice) -> Result:
        with torch.no_grad(), judge.speed.running():
            return answer(decode(coded, which, statistics, judge.memory_format), which)

    return compute_in_batches(
        answer_some, len(coded), max(1, judge.n_at_once // n_locations), what="scenes of a MaskNet",
        device=judge.speed.device,
    )  # fmt: skip


def evaluate_masknet(
    net: MaskNet,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int | None = None,
    speed: Speed | None = None,
) -> dict[str, Evaluation]:
    """Score all answers of a MaskNet and its oracles; `statistics` are of `test-train` at the same level.

    As many scenes are answered at a time as suits the device, whatever `batch_size` says.
    """
    speed = speed or Speed()
    judge, coded = MaskJudge(net, speed), code(scenes).to(speed.device)

    def answer(batch: Batch, which: slice) -> dict[str, tuple[Tensor, Tensor]]:
        (labels, _), colours = read_labels(coded, which), read_colours(coded, which)
        return answer_batch(judge, batch, labels, colours, scenes.characters.shape[1])

    parts = [
        {name: [values[n_before:] for values in pair] for name, pair in found.items()}
        for found, n_before in answer_in_batches(judge, coded, statistics, answer)
    ]
    return {
        name: Evaluation(*(torch.cat([part[name][i] for part in parts]).cpu().numpy() for i in (0, 1)))
        for name in parts[0]
    }


def segment_masknet(
    net: MaskNet,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int | None = None,
    top_k: int | None = None,
    speed: Speed | None = None,
) -> Bool[np.ndarray, "n h w"]:
    """Answer every scene; with `top_k` only so many proposals are decoded, which match best.

    As many scenes are answered at a time as suits the device, whatever `batch_size` says.
    """
    speed = speed or Speed()
    judge, coded = MaskJudge(net, speed), code(scenes).to(speed.device)
    found = answer_in_batches(judge, coded, statistics, lambda batch, _: segment_batch(judge, batch, top_k))
    return torch.cat([masks[n_before:] for masks, n_before in found]).cpu().numpy()


def segment_batch(judge: MaskJudge, batch: Batch, top_k: int | None) -> Bool[Tensor, "b h w"]:
    """Choose the mask that scores best of every scene."""
    return choose_masks(judge, batch, top_k)[0]


def choose_masks(
    judge: MaskJudge, batch: Batch, top_k: int | None
) -> tuple[Bool[Tensor, "b h w"], Float[Tensor, " b"]]:
    """Choose the mask that scores best of every scene, and give its score, too."""
    shared, codes = judge.encode(batch.images, batch.targets)
    correlation = shared.correlation.flatten(1)
    locations = correlation.topk(top_k or correlation.shape[1]).indices
    best = torch.zeros_like(batch.masks)
    best_scores = torch.full_like(codes[:, 0], -torch.inf, dtype=torch.float32)
    for some in locations.split(max(1, judge.n_at_once // len(batch)), 1):
        masks = judge.propose(shared, some)
        scores, which = judge.score(batch, codes, masks).max(1)
        better = scores > best_scores
        chosen = masks[torch.arange(len(masks), device=masks.device), which]
        best = torch.where(better[:, None, None], chosen, best)
        best_scores = torch.where(better, scores, best_scores)
    return best, best_scores
