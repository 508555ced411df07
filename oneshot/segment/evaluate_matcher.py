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
from oneshot.segment.group_kernels import SAMPLES
from oneshot.segment.groups import Crops, Framing, Groups, crop_groups, crop_targets, group_colours
from oneshot.segment.metrics import Evaluation, iou, localised
from oneshot.segment.nets.colour_matcher import ColourMatcher, EncoderPair, GroupEncoder
from oneshot.training.memory import compute_in_batches, fill_up
from oneshot.training.speed import Speed

N_LOOKED_AT = 48  # groups of a scene, after the glance: as good as all (docs/log.md)
CROPS_AT_ONCE = {"cpu": 128, "mps": 16384, "cuda": 16384}  # what stays in a CPU's cache


@dataclass(frozen=True)
class GroupScores:
    """Scores of groups: the cosine with the target's code, the groups' own number, and both together."""

    cosines: Float[Tensor, " g"]
    numbers: Float[Tensor, " g"]
    both: Float[Tensor, " g"]


class ColourJudge:
    """One colour matcher at work, at a given speed, on the groups of some scenes at a time."""

    def __init__(self, net: ColourMatcher, speed: Speed) -> None:
        self.net, self.speed = speed.place(net).eval(), speed

    def encode(self, encoder: GroupEncoder, crops: Crops) -> tuple[Float[Tensor, "n c"], Float[Tensor, " n"]]:
        """Encode any number of crops, so many at a time.

        In channels_last at any speed: with few channels that takes two thirds of the time (one CPU core).
        """

        def encode_some(which: slice) -> tuple[Tensor, Tensor]:
            n = len(crops.shapes[which])
            # A power of two of them on a GPU, where the fastest convolution is searched for every number.
            padded = 1 << (n - 1).bit_length() if n and self.speed.device_type == "cuda" else n
            pixels, shapes = (
                torch.from_numpy(fill_up(values[which], padded)).to(self.speed.device)
                for values in (crops.pixels, crops.shapes)
            )
            codes, numbers = encoder(shares(pixels, torch.channels_last), shapes)
            return codes[:n], numbers[:n]

        n_crops = max(1, len(crops.shapes))  # a batch of none, where images are black
        found = compute_in_batches(
            encode_some, n_crops, CROPS_AT_ONCE[self.speed.device_type], what="crops", even=False,
            device=self.speed.device,
        )  # fmt: skip
        codes, numbers = zip(*(both for both, _ in found), strict=True)
        return torch.cat(codes), torch.cat(numbers)

    @torch.no_grad()
    def score(
        self, pair: EncoderPair, crops: Crops, images: Int[np.ndarray, " g"], targets: Crops
    ) -> GroupScores:
        """Score groups, of which `images` names the scenes, for the targets of those scenes."""
        with self.speed.running():
            codes, numbers = self.encode(pair.groups, crops)
            target_codes, _ = self.encode(pair.targets, targets)
        cosines = (codes * target_codes[torch.from_numpy(images).to(codes.device)]).sum(1)
        return GroupScores(cosines.cpu(), numbers.cpu(), (pair.log_scale.exp() * cosines + numbers).cpu())

    def glance(self, groups: Groups, crops: Crops, targets: Crops) -> Bool[np.ndarray, " g"]:
        """Say which groups are among those of their scene that score best at a glance."""
        images, numbers = groups.list_all()
        table = tabulate(groups, self.score(self.net.glance, crops, images, targets).both)
        order = np.argsort(-table, axis=1, kind="stable")[:, :N_LOOKED_AT]
        chosen = np.zeros(table.shape, np.bool_)
        np.put_along_axis(chosen, order, True, axis=1)
        return chosen[images, numbers]


def tabulate(groups: Groups, scores: Float[Tensor, " g"]) -> Float[np.ndarray, "n most_plus_1"]:
    """Put scores into a row for every image, each at its group's number; minus infinity elsewhere."""
    images, numbers = groups.list_all()
    table = np.full((len(groups.maps), int(groups.counts.max(initial=0)) + 1), -np.inf, np.float32)
    table[images, numbers] = scores.numpy()
    return table


def choose_groups(groups: Groups, scores: Float[Tensor, " g"]) -> Int[np.ndarray, " n"]:
    """Give the number of every image's group that scores best; 0 where there is none."""
    return tabulate(groups, scores).argmax(1)


def mark(groups: Groups, numbers: Int[np.ndarray, " n"]) -> Bool[Tensor, "n h w"]:
    """Mark the pixels of one group of every image; of number 0 none."""
    wanted = numbers[:, None, None]
    return torch.from_numpy((groups.maps == wanted) & (wanted > 0))


def read_scenes(scenes: Scenes, framing: Framing) -> tuple[Groups, Crops, Crops]:
    """Group the images by colour; crop all groups, and all targets."""
    groups = group_colours(scenes.images())
    crops = crop_groups(groups, *groups.list_all(), framing)
    return groups, crops, crop_targets(scenes.targets(), framing)


def answer_all(judge: ColourJudge, scenes: Scenes) -> dict[str, Bool[Tensor, "n h w"]]:
    """Give the masks of all answers: the network's, those of parts of its score, two without a network."""
    groups, crops, targets = read_scenes(scenes, judge.net.framing)
    images, _ = groups.list_all()
    looked_at = torch.from_numpy(judge.glance(groups, crops, targets))
    scores = judge.score(judge.net.whole, crops, images, targets)
    by_answer = {
        OWN: scores.both.where(looked_at, -torch.inf),
        COSINE: scores.cosines,
        OWN_NUMBER: scores.numbers,
        LARGEST_COLOUR: torch.from_numpy(groups.areas).float(),
    }
    masks = {name: mark(groups, choose_groups(groups, found)) for name, found in by_answer.items()}
    return masks | {EVERY_CHARACTER: torch.from_numpy(groups.maps > 0)}


def answer_quickly(judge: ColourJudge, scenes: Scenes) -> Bool[Tensor, "n h w"]:
    """Give the network's own answer, for which few groups are looked at closely."""
    groups, crops, targets = read_scenes(scenes, judge.net.framing)
    images, _ = groups.list_all()
    looked_at = judge.glance(groups, crops, targets)
    some = Crops(crops.pixels[looked_at], crops.shapes[looked_at])
    scores = torch.full((len(images),), -torch.inf)
    scores[torch.from_numpy(looked_at)] = judge.score(judge.net.whole, some, images[looked_at], targets).both
    return mark(groups, choose_groups(groups, scores))


def in_batches(scenes: Scenes, batch_size: int) -> Iterator[Scenes]:
    for start in range(0, len(scenes), batch_size):
        yield scenes[start : start + batch_size]


def evaluate_matcher(
    net: ColourMatcher,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> dict[str, Evaluation]:
    """Score all answers of a colour matcher. It reads colours as they are: `statistics` are not used."""
    judge = ColourJudge(net, speed or Speed())
    parts: dict[str, list[Evaluation]] = {}
    for some in in_batches(scenes, batch_size):
        true = torch.from_numpy(some.masks)
        for name, predicted in answer_all(judge, some).items():
            found = Evaluation(iou(predicted, true).numpy(), localised(predicted, true).numpy())
            parts.setdefault(name, []).append(found)
    return {
        name: Evaluation(
            *(np.concatenate([getattr(part, field) for part in found]) for field in ("iou", "hits"))
        )
        for name, found in parts.items()
    }


def segment_matcher(
    net: ColourMatcher,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> Bool[np.ndarray, "n h w"]:
    """Mark the group that scores best in every scene; `statistics` are not used."""
    judge = ColourJudge(net, speed or Speed())
    return torch.cat([answer_quickly(judge, some) for some in in_batches(scenes, batch_size)]).numpy()


def rank_groups(
    net: ColourMatcher, scene: Scenes, n_most: int, *, speed: Speed | None = None
) -> dict[str, np.ndarray]:
    """Rank the groups of a single scene, best first, as pictures show them: by name what they need.

    `scene` and `target`: images; `crops` (groups x 2 x size x size, 0 to 255: its own ink, other ink);
    `scores`; `is_target`: which is the target's. One that does not come among the n_most takes the place of
    the last.
    """
    judge = ColourJudge(net, speed or Speed())
    groups, every_crop, targets = read_scenes(scene, net.framing)
    looked_at = judge.glance(groups, every_crop, targets)
    scores = judge.score(net.whole, every_crop, groups.list_all()[0], targets).both.numpy()
    numbers = 1 + np.lexsort((-scores, ~looked_at))[:n_most]  # those at a glance behind all others
    target = np.bincount(groups.maps[0][scene.masks[0]], minlength=1).argmax()
    if target and target not in numbers:
        numbers[-1] = target
    pixels = crop_groups(groups, np.zeros_like(numbers), numbers).pixels
    crops = (pixels.astype(np.int64) * 255 // SAMPLES**2).astype(np.uint8)
    images = {"scene": scene.images()[0], "target": scene.targets()[0]}
    return images | {"crops": crops, "scores": scores[numbers - 1], "is_target": numbers == target}
