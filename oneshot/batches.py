"""From palette-coded scenes to the float batches that networks read, decoded where they are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from torch import Tensor

from oneshot.scenes import Scenes, Targets

STATISTICS_SCENES = 1000
LOCATION = 8  # pixels of the scene, each way, behind one location of the matching map


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation of pixel values in 0..255: one scalar each for all channels."""

    mean: float
    std: float


@dataclass(frozen=True)
class Others:
    """For training with the matching loss: some distractors of every scene, and a target image of each."""

    labels: Int[np.ndarray, "n k"]
    targets: Targets


@dataclass(frozen=True)
class CodedScenes:
    """Palette-coded scenes as tensors on one device.

    The last three are there for the matching loss only; `matched_labels` holds the target's label first.
    """

    labels: UInt8[Tensor, "n h w"] | Int[Tensor, "n h w"]
    palette: UInt8[Tensor, "n n_labels 3"]
    masks: Bool[Tensor, "n h w"]
    target_inks: Bool[Tensor, "n th tw"]
    target_tints: UInt8[Tensor, "n 3"]
    matched_labels: Int[Tensor, "n k_plus_1"] | None = None
    other_inks: Bool[Tensor, "n k th tw"] | None = None
    other_tints: UInt8[Tensor, "n k 3"] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Batch:
    """What a network reads: normalised images, channels first; masks are True on the target.

    For the matching loss only: `others` are target images of distractors; `visible` is the share of visible
    pixels of the target and of those distractors, in this order, at each location (h/8 x w/8) of the scene.
    """

    images: Float[Tensor, "b 3 h w"]
    targets: Float[Tensor, "b 3 th tw"]
    masks: Bool[Tensor, "b h w"]
    others: Float[Tensor, "b k 3 th tw"] | None = None
    visible: Float[Tensor, "b k_plus_1 h8 w8"] | None = None

    def __len__(self) -> int:
        return len(self.images)


def pixel_statistics(scenes: Scenes) -> PixelStatistics:
    """Of the first 1,000 scene images: of the training set when training, of `test-train` when evaluating."""
    first = scenes[:STATISTICS_SCENES]
    n, n_labels, _ = first.palette.shape
    # How often each colour occurs says all; no image needs decoding.
    colour_indices = first.labels + n_labels * np.arange(n)[:, None, None]
    n_pixels = np.bincount(colour_indices.ravel(), minlength=n * n_labels)[:, None]
    colours = first.palette.reshape(-1, 3).astype(np.float64)
    n_values = 3 * n_pixels.sum()
    mean = (n_pixels * colours).sum() / n_values
    variance = (n_pixels * (colours - mean) ** 2).sum() / n_values
    return PixelStatistics(float(mean), float(np.sqrt(variance)))


def pick_others(
    n_scenes: int, clutter_level: int, n_others: int, generator: np.random.Generator
) -> Int[np.ndarray, "{n_scenes} {n_others}"]:
    """Labels of distractors, picked without repeats in every scene."""
    draws = generator.random((n_scenes, clutter_level - 1))
    return 1 + np.argsort(draws, axis=1)[:, :n_others]


def characters_behind(scenes: Scenes, labels: Int[np.ndarray, "n k"]) -> UInt16[np.ndarray, "n k"]:
    return np.take_along_axis(scenes.characters, labels - 1, axis=1)


def code(
    parts: Sequence[Scenes],
    clutter_levels: Sequence[int] = (),
    others: Sequence[Others] = (),
    device: str = "cpu",
) -> CodedScenes:
    """Join parts, of different clutter levels too, and move them to a device.

    `clutter_levels` and `others`, one a part, are needed for the matching loss only.
    """
    joined = {
        name: torch.from_numpy(np.concatenate([getattr(part, name) for part in parts])).to(device)
        for name in ("masks", "target_inks", "target_tints")
    }
    # 16-bit labels become signed: torch does not index with unsigned ones, and there are at most 257 labels.
    labels = [
        part.labels if part.labels.dtype == np.uint8 else part.labels.astype(np.int16) for part in parts
    ]
    n_labels = max(part.palette.shape[1] for part in parts)
    palette = [
        np.pad(part.palette, ((0, 0), (0, n_labels - part.palette.shape[1]), (0, 0))) for part in parts
    ]
    joined["labels"] = torch.from_numpy(np.concatenate(labels)).to(device)
    joined["palette"] = torch.from_numpy(np.concatenate(palette)).to(device)
    if others:
        matched = [
            np.column_stack([np.full(len(part), level), other.labels])
            for part, level, other in zip(parts, clutter_levels, others, strict=True)
        ]
        joined["matched_labels"] = torch.from_numpy(np.concatenate(matched)).to(device)
        for name in ("inks", "tints"):
            stacked = np.concatenate([getattr(other.targets, name) for other in others])
            joined[f"other_{name}"] = torch.from_numpy(stacked).to(device)
    return CodedScenes(**joined)


def decode_images(
    labels: UInt8[Tensor, "b h w"] | Int[Tensor, "b h w"],
    palette: UInt8[Tensor, "b n_labels 3"],
    statistics: PixelStatistics,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Float[Tensor, "b 3 h w"]:
    """Look every pixel up in its scene's palette, which is normalised beforehand: it is far smaller."""
    b, h, w = labels.shape
    colours = normalise(palette, statistics)
    pixels = labels.flatten(1).long()
    if memory_format == torch.channels_last:
        images = colours.gather(1, pixels[:, :, None].expand(-1, -1, 3))
        return images.view(b, h, w, 3).permute(0, 3, 1, 2)
    return colours.mT.gather(2, pixels[:, None].expand(-1, 3, -1)).view(b, 3, h, w)


def decode_targets(
    inks: Bool[Tensor, "*b th tw"],
    tints: UInt8[Tensor, "*b 3"],
    statistics: PixelStatistics,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Float[Tensor, "*b 3 th tw"]:
    """Ink in its tint on black paper, normalised."""
    tinted = inks[..., None, :, :] * tints[..., None, None]
    images = normalise(tinted, statistics)
    return images.contiguous(memory_format=memory_format) if images.ndim == 4 else images


def normalise(pixels: UInt8[Tensor, "*shape"], statistics: PixelStatistics) -> Float[Tensor, "*shape"]:
    return (pixels.float() - statistics.mean) / statistics.std


def visible_shares(
    labels: UInt8[Tensor, "b h w"] | Int[Tensor, "b h w"], matched_labels: Int[Tensor, "b k"]
) -> Float[Tensor, "b k h8 w8"]:
    """Share of every location's 8 x 8 pixels that show the character behind each label."""
    shown = labels[:, None] == matched_labels[:, :, None, None]
    return F.avg_pool2d(shown.float(), LOCATION)


def decode(
    scenes: CodedScenes,
    which: slice | Int[Tensor, " b"],
    statistics: PixelStatistics,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Batch:
    """The float batch of the chosen scenes, on the device where they lie."""
    labels = scenes.labels[which]
    targets = decode_targets(scenes.target_inks[which], scenes.target_tints[which], statistics, memory_format)
    images = decode_images(labels, scenes.palette[which], statistics, memory_format)
    if scenes.matched_labels is None or scenes.other_inks is None or scenes.other_tints is None:
        return Batch(images, targets, scenes.masks[which])
    return Batch(
        images,
        targets,
        scenes.masks[which],
        others=decode_targets(scenes.other_inks[which], scenes.other_tints[which], statistics),
        visible=visible_shares(labels, scenes.matched_labels[which]),
    )
