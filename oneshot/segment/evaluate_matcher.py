"""The colour matcher's answers, and what each part of its score would answer alone, scene by scene."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from oneshot.clutter.scenes import Scenes
from oneshot.segment.answers import COSINE, EVERY_CHARACTER, LARGEST_COLOUR, OWN, OWN_NUMBER
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.group_batches import shares
from oneshot.segment.groups import Crops, Groups, crop_groups, crop_targets, group_colours
from oneshot.segment.metrics import Evaluation, iou, localised
from oneshot.segment.nets.colour_matcher import ColourMatcher, GroupEncoder
from oneshot.training.speed import Speed

CROPS_AT_ONCE = {"cpu": 256, "cuda": 16384}  # what stays in a CPU's cache


@dataclass(frozen=True)
class Scored:
    """Scores of all groups of some scenes: the whole score is cosines * scale + numbers."""

    groups: Groups
    cosines: Float[Tensor, " g"]
    numbers: Float[Tensor, " g"]
    scale: float

    def by_answer(self) -> dict[str, Float[Tensor, " g"]]:
        """Give the scores by which each answer chooses a group."""
        areas = torch.from_numpy(self.groups.areas).to(self.cosines)
        return {
            OWN: self.scale * self.cosines + self.numbers,
            COSINE: self.cosines,
            OWN_NUMBER: self.numbers,
            LARGEST_COLOUR: areas,
        }


class ColourJudge:
    """One colour matcher at work, at a given speed."""

    def __init__(self, net: ColourMatcher, speed: Speed) -> None:
        self.net, self.speed = speed.place(net).eval(), speed

    def encode(self, encoder: GroupEncoder, crops: Crops) -> tuple[Float[Tensor, "n c"], Float[Tensor, " n"]]:
        """Encode any number of crops, so many at a time."""
        found = []
        size = CROPS_AT_ONCE[self.speed.device_type]
        for start in range(0, max(1, len(crops.shapes)), size):  # a batch of none, where images are black
            pixels, shapes = (
                torch.from_numpy(values[start : start + size]).to(self.speed.device)
                for values in (crops.pixels, crops.shapes)
            )
            found.append(encoder(shares(pixels, self.speed.memory_format), shapes))
        codes, numbers = zip(*found, strict=True)
        return torch.cat(codes), torch.cat(numbers)

    @torch.no_grad()
    def score(self, scenes: Scenes) -> Scored:
        """Score all groups of all scenes in one row."""
        net, groups = self.net, group_colours(scenes.images())
        with self.speed.running():
            images, numbers = groups.list_all()
            codes, own = self.encode(net.group_encoder, crop_groups(groups, images, numbers, net.framing))
            targets, _ = self.encode(net.target_encoder, crop_targets(scenes.targets(), net.framing))
        cosines = (codes * targets[torch.from_numpy(images).to(targets.device)]).sum(1)
        return Scored(groups, cosines, own, net.log_scale.exp().item())


def choose_groups(groups: Groups, scores: Float[Tensor, " g"]) -> Int[np.ndarray, " n"]:
    """Give the number of every image's group that scores best; 0 where there is none."""
    images, numbers = groups.list_all()
    table = np.full((len(groups.maps), int(groups.counts.max(initial=0)) + 1), -np.inf, np.float32)
    table[images, numbers] = scores.cpu().numpy()
    return table.argmax(1)


def mark(groups: Groups, numbers: Int[np.ndarray, " n"]) -> Bool[Tensor, "n h w"]:
    """Mark the pixels of one group of every image; of number 0 none."""
    wanted = numbers[:, None, None]
    return torch.from_numpy((groups.maps == wanted) & (wanted > 0))


def scored_batches(
    net: ColourMatcher, scenes: Scenes, batch_size: int, speed: Speed | None
) -> Iterator[tuple[Scored, Bool[Tensor, "b h w"]]]:
    """Score the groups of some scenes after those of others; also give the true masks."""
    judge = ColourJudge(net, speed or Speed())
    for start in range(0, len(scenes), batch_size):
        some = scenes[start : start + batch_size]
        yield judge.score(some), torch.from_numpy(some.masks)


def evaluate_matcher(
    net: ColourMatcher,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> dict[str, Evaluation]:
    """Score the answers of a colour matcher, those of its parts, and two that need no network.

    It reads colours as they are: `statistics` are not used.
    """
    parts: dict[str, list[Evaluation]] = {}
    for scored, true in scored_batches(net, scenes, batch_size, speed):
        groups = scored.groups
        masks = {
            name: mark(groups, choose_groups(groups, scores)) for name, scores in scored.by_answer().items()
        }
        masks[EVERY_CHARACTER] = torch.from_numpy(groups.maps > 0)
        for name, predicted in masks.items():
            found = Evaluation(iou(predicted, true).numpy(), localised(predicted, true).numpy())
            parts.setdefault(name, []).append(found)
    return {
        name: Evaluation(
            *(np.concatenate([getattr(part, field) for part in some]) for field in ("iou", "hits"))
        )
        for name, some in parts.items()
    }


def segment_matcher(
    net: ColourMatcher,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> Bool[np.ndarray, "n h w"]:
    """Mark the group that scores best in every scene."""
    masks = [
        mark(scored.groups, choose_groups(scored.groups, scored.by_answer()[OWN]))
        for scored, _ in scored_batches(net, scenes, batch_size, speed)
    ]
    return torch.cat(masks).numpy()
