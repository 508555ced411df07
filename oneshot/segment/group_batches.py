"""Batches of cropped groups: what the colour matcher is trained on, in place of whole scenes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from oneshot.clutter.scenes import Scenes
from oneshot.segment.coded import Coded
from oneshot.segment.group_kernels import SAMPLES
from oneshot.segment.groups import Crops, Framing, Groups, crop_groups, crop_targets, group_colours

N_OTHERS = 1  # groups of a scene, besides the target's
ALL_VIEWS = 8  # of a scene's crops: turned by no to three quarters, then mirrored
PICKING_SEED = 0  # of both: the same draws for every job, which holds other scenes


@dataclass(frozen=True)
class CodedGroups(Coded):
    """Some groups of every scene, cropped, the target's first: 5 kB a scene with one other.

    `characters`: the character that every group is of, -1 where there is no group, such as a target's that
    lost all its ink. A character that is turned or mirrored is another one.
    """

    pixels: UInt8[Tensor, "n k 2 size size"]
    shapes: Float[Tensor, "n k 4"]
    characters: Int[Tensor, "n k"]
    target_pixels: UInt8[Tensor, "n 2 size size"]
    target_shapes: Float[Tensor, "n 4"]
    target_characters: Int[Tensor, " n"]


@dataclass(frozen=True)
class GroupBatch:
    """The same of some scenes, as a network reads it: all groups in a row, their pixels in 0..1."""

    pixels: Float[Tensor, "n 2 size size"]
    shapes: Float[Tensor, "n 4"]
    characters: Int[Tensor, "b k"]
    target_pixels: Float[Tensor, "b 2 size size"]
    target_shapes: Float[Tensor, "b 4"]
    target_characters: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.characters)


def code_groups(
    scenes: Scenes, framing: Framing, *, n_others: int = N_OTHERS, n_views: int = 1
) -> CodedGroups:
    """Group scenes by colour and crop the target's group and some others, on the CPU.

    All crops of a scene are turned alike, in one of the first `n_views` ways: what is learned of turned
    characters serves new ones, and takes longer.
    """
    generator = np.random.default_rng(PICKING_SEED)
    turns = generator.integers(n_views, size=len(scenes))
    groups = group_colours(scenes.images())
    numbers = pick_groups(groups, target_groups(groups, scenes.masks), n_others, generator)
    images = np.arange(len(scenes)).repeat(1 + n_others)
    crops = turn_crops(crop_groups(groups, images, numbers.ravel(), framing), turns[images])
    targets = turn_crops(crop_targets(scenes.targets(), framing), turns)
    characters = characters_of(groups, numbers, scenes)
    arrays = {
        "pixels": crops.pixels.reshape(*numbers.shape, *crops.pixels.shape[1:]),
        "shapes": crops.shapes.reshape(*numbers.shape, -1),
        "characters": np.where(characters < 0, -1, ALL_VIEWS * characters + turns[:, None]),
        "target_pixels": targets.pixels,
        "target_shapes": targets.shapes,
        "target_characters": ALL_VIEWS * scenes.target_characters.astype(np.int64) + turns,
    }
    return CodedGroups(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def target_groups(groups: Groups, masks: Bool[np.ndarray, "n h w"]) -> Int[np.ndarray, " n"]:
    """Find the number of the group at the first pixel under every mask; 0: there is none."""
    first = masks.reshape(len(masks), -1).argmax(1)
    numbers = groups.maps.reshape(len(masks), -1)[np.arange(len(masks)), first]
    return np.where(masks.any((1, 2)), numbers, 0).astype(np.int64)


def pick_groups(
    groups: Groups, targets: Int[np.ndarray, " n"], n_others: int, generator: np.random.Generator
) -> Int[np.ndarray, "n n_others_plus_1"]:
    """Pick other groups than the target's at random, none twice in a scene; 0 where there are too few."""
    n_scenes, width = len(targets), max(int(groups.counts.max()), n_others)
    draws = generator.random((n_scenes, width))
    numbers = np.arange(1, width + 1)
    draws[(numbers > groups.counts[:, None]) | (numbers == targets[:, None])] = 2.0
    others = np.argsort(draws, axis=1)[:, :n_others]
    drawn = np.take_along_axis(draws, others, axis=1) < 1.0
    return np.column_stack([targets, np.where(drawn, others + 1, 0)])


def characters_of(groups: Groups, numbers: Int[np.ndarray, "n k"], scenes: Scenes) -> Int[np.ndarray, "n k"]:
    """Find the character that some groups of every scene are of, by the label map; -1 for number 0."""
    labels = np.zeros((len(numbers), int(groups.counts.max()) + 1), np.int64)
    n, y, x = groups.maps.nonzero()
    labels[n, groups.maps[n, y, x]] = scenes.labels[n, y, x]
    found = np.take_along_axis(labels, numbers, axis=1)
    characters = np.take_along_axis(scenes.characters, np.maximum(found - 1, 0), axis=1)
    return np.where(numbers > 0, characters.astype(np.int64), -1)


def turn_crops(crops: Crops, turns: Int[np.ndarray, " n"]) -> Crops:
    """Turn every crop by so many quarters; from the fifth turn on, mirror it then."""
    pixels, shapes = crops.pixels.copy(), crops.shapes.copy()
    for turn in range(1, ALL_VIEWS):
        which = turns == turn
        turned = np.rot90(crops.pixels[which], turn, axes=(-2, -1))
        pixels[which] = turned[..., ::-1] if turn >= 4 else turned
    lying = turns % 2 == 1
    shapes[lying] = shapes[lying][:, [0, 2, 1, 3]]  # height and width change places
    return Crops(pixels, shapes)


def decode_groups(
    coded: CodedGroups, which: Int[Tensor, " b"], memory_format: torch.memory_format = torch.contiguous_format
) -> GroupBatch:
    """Make the float batch of the chosen scenes, on the device where they lie."""
    return GroupBatch(
        pixels=shares(coded.pixels[which].flatten(0, 1), memory_format),
        shapes=coded.shapes[which].flatten(0, 1),
        characters=coded.characters[which],
        target_pixels=shares(coded.target_pixels[which], memory_format),
        target_shapes=coded.target_shapes[which],
        target_characters=coded.target_characters[which],
    )


def shares(
    counts: UInt8[Tensor, "n 2 size size"], memory_format: torch.memory_format
) -> Float[Tensor, "n 2 size size"]:
    """Turn counts of samples into shares of ink."""
    return counts.float().div_(SAMPLES**2).contiguous(memory_format=memory_format)
