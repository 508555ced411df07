"""From palette-coded scenes to the float batches that networks read, decoded where they are read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8, UInt16
from torch import Tensor

from oneshot.clutter.scenes import Scenes, Targets
from oneshot.segment.coded import Coded

STATISTICS_SCENES = 1000
LOCATION = 8  # pixels of the scene, each way, behind one location of the matching map


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation of pixel values in 0..255: one scalar each for all channels."""

    mean: float
    std: float


@dataclass(frozen=True)
class SceneStatistics:
    """The same for every scene of a batch: batches can mix clutter levels, each of which has its own."""

    means: Float[Tensor, " b"]
    stds: Float[Tensor, " b"]

    def of(self, which: Int[Tensor, " c"]) -> "SceneStatistics":
        """Choose those of some scenes."""
        return SceneStatistics(self.means[which], self.stds[which])


@dataclass(frozen=True)
class CodedScenes(Coded):
    """Palette-coded scenes as tensors on one device: 10 to 11 kB a scene of 96 x 96, at every clutter level.

    Masks and inks are packed, eight pixels to a byte, the first in its highest bit. `mask_labels` is the
    label of the pixels under the mask where `labels` has no room for it (label 256, in eight bits), else -1.
    The last three are there for the matching loss only; `matched_labels` holds the target's label first.
    """

    labels: UInt8[Tensor, "n h w"] | Int[Tensor, "n h w"]
    palette: UInt8[Tensor, "n n_labels 3"]
    mask_bits: UInt8[Tensor, "n h w8"]
    mask_labels: Int[Tensor, " n"]
    target_ink_bits: UInt8[Tensor, "n th tw8"]
    target_tints: UInt8[Tensor, "n 3"]
    target_width: int
    matched_labels: Int[Tensor, "n k_plus_1"] | None = None
    other_ink_bits: UInt8[Tensor, "n k th tw8"] | None = None
    other_tints: UInt8[Tensor, "n k 3"] | None = None


@dataclass(frozen=True)
class Batch:
    """Scenes as a network reads them: normalised images, channels first; masks are True on the target.

    `pixel_means` and `pixel_stds` are what the scenes were normalised with, as MaskNet's crops are to be.

    For the matching loss only: `others` are target images of distractors; `visible` is the share of visible
    pixels of the target and of those distractors, in this order, at each location (h/8 x w/8) of the scene.
    For MaskNet only: `locations` (row * w/8 + column) are picked at random, without repeats in a scene;
    `corners` (0..3) say which of the four locations around the target is looked at.
    """

    images: Float[Tensor, "b 3 h w"]
    targets: Float[Tensor, "b 3 th tw"]
    masks: Bool[Tensor, "b h w"]
    pixel_means: Float[Tensor, " b"]
    pixel_stds: Float[Tensor, " b"]
    others: Float[Tensor, "b k 3 th tw"] | None = None
    visible: Float[Tensor, "b k_plus_1 h8 w8"] | None = None
    locations: Int[Tensor, "b n_locations"] | None = None
    corners: Int[Tensor, " b"] | None = None

    def __len__(self) -> int:
        return len(self.images)


def pixel_statistics(scenes: Scenes) -> PixelStatistics:
    """Compute them of the first 1,000 scenes: the training set's to train, `test-train`'s to evaluate."""
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


def statistics_of_scenes(
    statistics: Sequence[PixelStatistics], n_each: int, device: str | torch.device
) -> SceneStatistics:
    """Join those of several parts, the same number of scenes each, one after the other."""
    # Filled in on the device: a tensor of Python's numbers is copied there, which makes the CPU wait.
    means, stds = (
        torch.cat([torch.full((n_each,), getattr(part, name), device=device) for part in statistics])
        for name in ("mean", "std")
    )
    return SceneStatistics(means, stds)


def pick_others(
    n_scenes: int, clutter_level: int, n_others: int, generator: np.random.Generator
) -> Int[np.ndarray, "{n_scenes} {n_others}"]:
    """Pick labels of distractors, without repeats in a scene."""
    draws = generator.random((n_scenes, clutter_level - 1))
    return 1 + np.argsort(draws, axis=1)[:, :n_others]


def pick_locations(
    n_scenes: int, n_locations: int, n_all: int, generator: np.random.Generator
) -> Int[np.ndarray, "{n_scenes} n_locations_plus_1"]:
    """Pick some of `n_all` locations of every scene, without repeats; last comes one of four corners."""
    draws = generator.random((n_scenes, n_all), dtype=np.float32)
    # Sorted, since the order within a partition depends on the processor.
    locations = np.sort(np.argpartition(draws, n_locations - 1, axis=1)[:, :n_locations], axis=1)
    return np.column_stack([locations, generator.integers(4, size=n_scenes)])


def characters_behind(
    characters: UInt16[np.ndarray, "n n_characters"], labels: Int[np.ndarray, "n k"]
) -> UInt16[np.ndarray, "n k"]:
    """Find the characters behind some labels of every scene, of those behind labels from 1 on."""
    return np.take_along_axis(characters, labels - 1, axis=1)


def code(scenes: Scenes) -> CodedScenes:
    """Pack scenes, on the CPU."""
    labels, mask_labels = narrow(scenes.labels, scenes.masks)
    arrays = {
        "labels": labels,
        "palette": scenes.palette,
        "mask_bits": np.packbits(scenes.masks, axis=-1),
        "mask_labels": np.full(len(scenes), mask_labels, np.int16),
        "target_ink_bits": np.packbits(scenes.target_inks, axis=-1),
        "target_tints": scenes.target_tints,
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return CodedScenes(**tensors, target_width=scenes.target_inks.shape[-1])


def narrow(
    labels: UInt8[np.ndarray, "n h w"] | UInt16[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"]
) -> tuple[UInt8[np.ndarray, "n h w"] | Int[np.ndarray, "n h w"], int]:
    """Give labels in eight bits where that loses nothing, and the label of all pixels under the masks, or -1.

    In a published scene of 256 characters only the target has label 256, and the mask shows where.
    """
    if labels.dtype == np.uint8:
        return labels, -1
    below = np.where(masks, 0, labels)
    under = labels[masks]
    if below.max(initial=0) < 256 and under.size and (under == under[0]).all():
        return below.astype(np.uint8), int(under[0])
    return labels.astype(np.int16), -1  # torch does not index with unsigned 16-bit numbers


def with_others(
    coded: CodedScenes, clutter_level: int, labels: Int[np.ndarray, "n k"], targets: Targets
) -> CodedScenes:
    """Add what the matching loss needs, on the CPU: labels of distractors, and a target image of each."""
    matched_labels = np.column_stack([np.full(len(coded), clutter_level), labels]).astype(np.int16)
    return replace(
        coded,
        matched_labels=torch.from_numpy(matched_labels),
        other_ink_bits=torch.from_numpy(np.packbits(targets.inks, axis=-1)),
        other_tints=torch.from_numpy(targets.tints),
    )


def unpack(bits: UInt8[Tensor, "*shape w8"], width: int) -> Bool[Tensor, "*shape {width}"]:
    """Unpack pixels, eight to a byte, to truth values."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    return ((bits[..., None] >> places) & 1).flatten(-2)[..., :width].bool()


def decode_images(
    labels: UInt8[Tensor, "b h w"] | Int[Tensor, "b h w"],
    palette: UInt8[Tensor, "b n_labels 3"],
    statistics: SceneStatistics,
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
    inks: Bool[Tensor, "b *k th tw"],
    tints: UInt8[Tensor, "b *k 3"],
    statistics: SceneStatistics,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Float[Tensor, "b *k 3 th tw"]:
    """Paint ink in its tint on black paper, normalised."""
    tinted = inks[..., None, :, :] * tints[..., None, None]
    images = normalise(tinted, statistics)
    return images.contiguous(memory_format=memory_format) if images.ndim == 4 else images


def normalise(pixels: UInt8[Tensor, "b *shape"], statistics: SceneStatistics) -> Float[Tensor, "b *shape"]:
    per_scene = (-1, *(1 for _ in pixels.shape[1:]))
    return (pixels.float() - statistics.means.view(per_scene)) / statistics.stds.view(per_scene)


def visible_shares(
    labels: UInt8[Tensor, "b h w"] | Int[Tensor, "b h w"], matched_labels: Int[Tensor, "b k"]
) -> Float[Tensor, "b k h8 w8"]:
    """Compute the share of every location's 8 x 8 pixels that show the character behind each label."""
    shown = labels[:, None] == matched_labels[:, :, None, None]
    return F.avg_pool2d(shown.float(), LOCATION)


def read_labels(
    scenes: CodedScenes, which: slice | Int[Tensor, " b"]
) -> tuple[Int[Tensor, "b h w"], Bool[Tensor, "b h w"]]:
    """Read the label of every pixel, 0 on the background, and the target's mask."""
    labels = scenes.labels[which]
    masks = unpack(scenes.mask_bits[which], labels.shape[-1])
    if labels.dtype == torch.uint8:
        mask_labels = scenes.mask_labels[which][:, None, None]
        labels = torch.where(masks & (mask_labels >= 0), mask_labels, labels.short())
    return labels, masks


def read_colours(scenes: CodedScenes, which: slice | Int[Tensor, " b"]) -> Int[Tensor, "b h w"]:
    """Number the colours of every scene's pixels: alike where R, G and B are alike, 0 on black.

    The numbers lie below that of the palette's entries, and are not labels: two characters of one colour
    share theirs.
    """
    red, green, blue = scenes.palette[which].int().unbind(2)
    colours = (red << 16) | (green << 8) | blue
    # The place of the first entry of the same colour: of black the background's, which is 0.
    numbers = (colours[:, :, None] == colours[:, None]).byte().argmax(2)
    labels, _ = read_labels(scenes, which)
    return numbers.gather(1, labels.flatten(1).long()).view(labels.shape)


def decode(
    scenes: CodedScenes,
    which: slice | Int[Tensor, " b"],
    statistics: PixelStatistics | SceneStatistics,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Batch:
    """Make the float batch of the chosen scenes, on the device where they lie.

    statistics: one for all of them, or one for each.
    """
    labels, masks = read_labels(scenes, which)
    if isinstance(statistics, PixelStatistics):
        statistics = statistics_of_scenes([statistics], len(labels), labels.device)
    target_inks = unpack(scenes.target_ink_bits[which], scenes.target_width)
    targets = decode_targets(target_inks, scenes.target_tints[which], statistics, memory_format)
    images = decode_images(labels, scenes.palette[which], statistics, memory_format)
    batch = Batch(images, targets, masks, statistics.means, statistics.stds)
    if scenes.matched_labels is None or scenes.other_ink_bits is None or scenes.other_tints is None:
        return batch
    other_inks = unpack(scenes.other_ink_bits[which], scenes.target_width)
    return replace(
        batch,
        others=decode_targets(other_inks, scenes.other_tints[which], statistics),
        visible=visible_shares(labels, scenes.matched_labels[which]),
    )
