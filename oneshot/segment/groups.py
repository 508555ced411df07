"""Groups of a scene's pixels that share one colour, and crops of them.

A character has one flat colour, so that the pixels of one colour are the visible part of one character; of
256 characters two share a colour in one scene of 500. Black is the background and belongs to no group.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8, UInt16

from oneshot.segment import group_kernels

CROP_SIZE = 28  # pixels, each way
BOX_MARGIN = 0.1  # of the height and width of a group's box, on every side of it
WINDOW = 56.0  # pixels of the scene, each way, that a crop of one size for all groups shows
N_SHAPE = 4
# What a crop shows: the group's box with a margin, made square, or a window around the centre of the box.
Framing = Literal["box", "window"]


@dataclass(frozen=True)
class Groups:
    """The groups of several images, those of one image after those of another.

    `maps`: the number of every pixel's group within its image, from 1 on in reading order of their first
    pixels; 0 where the image is black. `counts`: groups of every image. `boxes`: top, left, bottom, right,
    the end excluded; `areas`: pixels.
    """

    maps: UInt16[np.ndarray, "n h w"]
    counts: Int[np.ndarray, " n"]
    boxes: Int[np.ndarray, "g 4"]
    areas: Int[np.ndarray, " g"]

    @property
    def starts(self) -> Int[np.ndarray, " n"]:
        """The place, among all groups, of every image's first one."""
        return np.cumsum(self.counts) - self.counts

    def list_all(self) -> tuple[Int[np.ndarray, " g"], Int[np.ndarray, " g"]]:
        """Give the image of every group, and its number there."""
        images = np.repeat(np.arange(len(self.maps)), self.counts)
        return images, np.arange(1, len(images) + 1) - self.starts[images]


@dataclass(frozen=True)
class Crops:
    """Groups as a network reads them: the pixels of their crops, and four numbers of each one's shape.

    Channel 0 counts, of the four samples of a pixel, those that show the group, channel 1 those that show
    another one. The shape: logarithms of area, height, width, and of the share of the box that is filled.
    """

    pixels: UInt8[np.ndarray, "n 2 size size"]
    shapes: Float32[np.ndarray, "n 4"]


def group_colours(images: UInt8[np.ndarray, "n h w 3"]) -> Groups:
    """Group the pixels of every image by their colour."""
    maps, counts = np.empty(images.shape[:3], np.uint16), np.empty(len(images), np.int64)
    group_kernels.number_colours(images, maps, counts)
    boxes, areas = np.zeros((counts.sum(), 4), np.int64), np.zeros(counts.sum(), np.int64)
    group_kernels.measure_groups(maps, np.cumsum(counts) - counts, boxes, areas)
    return Groups(maps, counts, boxes, areas)


def crop_groups(
    groups: Groups, images: Int[np.ndarray, " n"], numbers: Int[np.ndarray, " n"], framing: Framing = "box"
) -> Crops:
    """Crop some groups, each named by its image and its number there; number 0 is an empty crop."""
    # Those of number 0 are given a group that comes after all others and has no pixel.
    places = np.where(numbers > 0, groups.starts[images] + numbers - 1, len(groups.areas))
    boxes = np.concatenate([groups.boxes, np.zeros((1, 4), np.int64)])[places]
    areas = np.concatenate([groups.areas, np.zeros(1, np.int64)])[places]
    pixels = np.empty((len(numbers), 2, CROP_SIZE, CROP_SIZE), np.uint8)
    group_kernels.sample_crops(groups.maps, images, numbers, frame(boxes, framing), pixels)
    return Crops(pixels, describe_shapes(boxes, areas))


def frame(boxes: Int[np.ndarray, "n 4"], framing: Framing) -> Float[np.ndarray, "n 4"]:
    """Give what the crop of every box shows: top, left, height, width, in pixels of the image."""
    corners, sizes = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    if framing == "window":
        return np.column_stack([corners + (sizes - WINDOW) / 2, np.full(sizes.shape, WINDOW)])
    return np.column_stack([corners - BOX_MARGIN * sizes, (1 + 2 * BOX_MARGIN) * sizes])


def describe_shapes(
    boxes: Int[np.ndarray, "n 4"], areas: Int[np.ndarray, " n"]
) -> Float32[np.ndarray, "n 4"]:
    """Compute the four numbers of `Crops`; those of an empty group are zero."""
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    areas = np.maximum(areas, 1)
    numbers = np.column_stack([areas, sizes, areas / sizes.prod(1)])
    return np.log(numbers).astype(np.float32)


def crop_targets(targets: UInt8[np.ndarray, "n h w 3"], framing: Framing = "box") -> Crops:
    """Crop the one group of every target image; a few have none, since scaling lost all of their ink."""
    groups = group_colours(targets)
    return crop_groups(groups, np.arange(len(targets)), np.minimum(groups.counts, 1), framing)
