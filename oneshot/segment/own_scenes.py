"""Where a network sees a target in a colour image of any size: colours made flat, tiles, one answer.

Networks learned from scenes of 96 x 96 with a black background, and targets of 32 x 32. The background of an
image is the colour that its border shows most often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int16, UInt8
from PIL import Image
from torch import Tensor, nn

from oneshot.errors import ParameterError
from oneshot.segment.batches import Batch, PixelStatistics
from oneshot.segment.evaluate_masknet import MaskJudge, choose_masks
from oneshot.segment.evaluate_matcher import ColourJudge
from oneshot.segment.groups import crop_groups, crop_targets, group_colours
from oneshot.segment.metrics import FOREGROUND_PROBABILITY, foreground_probability
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.segment.nets.masknet import MaskNet
from oneshot.training.speed import Speed

TILE, STEP = 96, 48  # pixels: of a tile, and from one to the next at most
TILES_AT_ONCE = 16
TARGET_SIDE = 32
TARGET_INK = 20  # the longer side of a target's ink: the median in scenes' targets
LEAST_CONTRAST = 8  # of 256, between ink and background
# An image is flat if at most this share of its ink has colours of fewer pixels than so many: of published
# scenes 4 % at most, scaled to three quarters 9 %; from JPEG or anti-aliased 23 % and more (20 scenes each).
# Not so if little is blended: scenes anti-aliased at 1.5 times the size have 1 to 9 %, and pass for flat.
MOST_RARE, RARE_PIXELS = 0.15, 8
MOST_COLOURS = 1_000  # of a flat image: of a large JPEG, each of some ten thousand has many pixels
ALIKE = 32  # of 256, in every channel: what may be one colour where an image is not flat
LEAST_ALIKE = 2  # of a pixel's eight neighbours, for it to be of a stroke's core
CORE_CONTRAST = 0.85  # of the strongest contrast among a pixel and its neighbours
LEAST_CORE = 6  # pixels, of a colour
REACH = 2  # pixels, from an edge to the cores that it may belong to


@dataclass(frozen=True)
class Found:
    """Answer to one image.

    mask: the target's pixels. box: left, top, right, bottom in pixels, right and bottom excluded; None where
    the mask is empty. score, in 0..1, high if the network is sure, compares answers of one network only. Of a
    colour matcher: the share of the chosen colour in the softmax over all colours looked at; of MaskNet: the
    discriminator's; of others: the mean probability of the mask's pixels. 0 where the mask is empty.
    """

    mask: Bool[np.ndarray, "h w"]
    box: tuple[int, int, int, int] | None
    score: float
    network: str


def find_target(
    net: nn.Module, name: str, image: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "th tw 3"]
) -> Found:
    """Find a target in an image, both of any size, by a network of a name.

    Raises:
        ParameterError: the target shows nothing.
    """
    with torch.no_grad():
        mask, score = locate(net, image, fit_target(target))
    box = find_box(mask)
    return Found(mask, box, min(1.0, score) if box else 0.0, name)


def find_box(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int] | None:
    """Give left, top, right, bottom of what is marked, right and bottom excluded; None if nothing is."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@singledispatch
def locate(
    net: nn.Module, image: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "th tw 3"]
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Give the mask and its score, by tiles whose probabilities are blended: most weight to their middles."""
    pixels, inner = pad(darken(image))
    sums, weights = (np.zeros(pixels.shape[:2], np.float32) for _ in range(2))
    ramp = np.minimum(np.arange(TILE) + 1, TILE - np.arange(TILE)).astype(np.float32)
    window = np.outer(ramp, ramp) / ramp.max() ** 2
    net.eval()
    for places, batch in read_tiles(pixels, target):
        probabilities = foreground_probability(net(batch.images, batch.targets)).numpy()
        for (top, left), found in zip(places, probabilities, strict=True):
            sums[top : top + TILE, left : left + TILE] += window * found
            weights[top : top + TILE, left : left + TILE] += window
    probability = (sums / weights)[inner]
    mask = probability > FOREGROUND_PROBABILITY
    return mask, float(probability[mask].mean()) if mask.any() else 0.0


@locate.register
def locate_proposal(
    net: MaskNet, image: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "th tw 3"]
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Do the same by a MaskNet: the proposal that scores best of all tiles is the answer."""
    pixels, inner = pad(darken(image))
    judge = MaskJudge(net, Speed())
    best, best_score = np.zeros(pixels.shape[:2], np.bool_), 0.0
    for places, batch in read_tiles(pixels, target):
        masks, scores = choose_masks(judge, batch, None)
        for (top, left), mask, score in zip(places, masks.numpy(), scores.tolist(), strict=True):
            if score > best_score and mask.any():
                best[:], best_score = False, score
                best[top : top + TILE, left : left + TILE] = mask
    return best[inner], best_score


@locate.register
def locate_colour(
    net: ColourMatcher, image: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "th tw 3"]
) -> tuple[Bool[np.ndarray, "h w"], float]:
    """Do the same by a colour matcher, which needs no tiles but flat colours."""
    judge = ColourJudge(net, Speed())
    background = find_background(image)
    # Less the background (modulo 256) every colour is another one, and the background black.
    flat = image - background if is_flat(image, background) else flatten_colours(image, background)
    groups = group_colours(flat[None])
    numbers = groups.list_all()
    if not len(numbers[0]):
        return groups.maps[0] > 0, 0.0
    crops, targets = crop_groups(groups, *numbers, net.framing), crop_targets(target[None], net.framing)
    looked_at = torch.from_numpy(judge.glance(groups, crops, targets))
    scores = judge.score(net.whole, crops, numbers[0], targets).both.where(looked_at, -torch.inf)
    chosen = int(scores.argmax())
    return groups.maps[0] == chosen + 1, float(scores.softmax(0)[chosen])


def find_background(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, " 3"]:
    """Find the colour that the border shows most often."""
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    colours, n_pixels = np.unique(border, axis=0, return_counts=True)
    return colours[n_pixels.argmax()]


def darken(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Give every pixel's distance from the background, channel by channel: the background is black then."""
    return np.abs(image.astype(np.int16) - find_background(image)).astype(np.uint8)


def fit_target(target: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "side side 3"]:
    """Make a target as networks know them, 32 x 32, in one colour on black.

    Ink has at least half the strongest contrast with the background. One of 32 x 32 keeps its place and size;
    of others the box around the ink is scaled to 20 px, its longer side, and put into the middle.

    Raises:
        ParameterError: there is no ink.
    """
    dark = darken(target)
    contrast = dark.max(2).astype(np.float32)
    if contrast.max() < LEAST_CONTRAST:
        raise ParameterError("the target is blank: give an image of one character on a plain background.")
    ink = contrast >= contrast.max() / 2
    tint = np.median(dark[ink], axis=0).astype(np.uint8)
    if ink.shape != (TARGET_SIDE, TARGET_SIDE):
        left, top, right, bottom = find_box(ink) or (0, 0, 1, 1)
        cut = contrast[top:bottom, left:right]
        height, width = (max(1, round(TARGET_INK * length / max(cut.shape))) for length in cut.shape)
        scaled = np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.BILINEAR))
        top, left = (TARGET_SIDE - height) // 2, (TARGET_SIDE - width) // 2
        ink = np.zeros((TARGET_SIDE, TARGET_SIDE), np.bool_)
        ink[top : top + height, left : left + width] = scaled >= scaled.max() / 2
    return np.multiply(ink[..., None], tint)


def pad(
    image: UInt8[np.ndarray, "h w 3"],
) -> tuple[UInt8[np.ndarray, "ph pw 3"], tuple[slice, slice]]:
    """Put an image that is smaller than a tile into the middle of black; also say where it then lies."""
    missing = [max(0, TILE - length) for length in image.shape[:2]]
    inner = tuple(slice(n // 2, n // 2 + m) for n, m in zip(missing, image.shape[:2], strict=True))
    return np.pad(image, [*((n // 2, n - n // 2) for n in missing), (0, 0)]), (inner[0], inner[1])


def measure_pixels(pixels: UInt8[np.ndarray, "h w 3"]) -> PixelStatistics:
    """Compute mean and deviation within the box around all ink, in place of those of the level's scenes."""
    left, top, right, bottom = find_box(pixels.max(2) > 0) or (0, 0, 1, 1)
    inked = pixels[top:bottom, left:right]
    return PixelStatistics(float(inked.mean()), max(1.0, float(inked.std())))


def read_tiles(
    pixels: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "th tw 3"]
) -> Iterator[tuple[list[tuple[int, int]], Batch]]:
    """Give the places (top, left) of some tiles, evenly spread, and the batch of them, until all are read."""
    statistics = measure_pixels(pixels)
    tops, lefts = (
        np.linspace(0, length - TILE, -(-(length - TILE) // STEP) + 1).round().astype(int).tolist()
        for length in pixels.shape[:2]
    )
    every = [(top, left) for top in tops for left in lefts]

    def normalise_pixels(some: UInt8[np.ndarray, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
        channels_first = torch.from_numpy(some).permute(0, 3, 1, 2).float().contiguous()
        return (channels_first - statistics.mean) / statistics.std

    for first in range(0, len(every), TILES_AT_ONCE):
        places = every[first : first + TILES_AT_ONCE]
        tiles = np.stack([pixels[top : top + TILE, left : left + TILE] for top, left in places])
        n = len(places)
        yield (
            places,
            Batch(
                normalise_pixels(tiles),
                normalise_pixels(target[None]).expand(n, -1, -1, -1),
                torch.zeros(tiles.shape[:3], dtype=torch.bool),
                torch.full((n,), statistics.mean),
                torch.full((n,), statistics.std),
            ),
        )


def is_flat(image: UInt8[np.ndarray, "h w 3"], background: UInt8[np.ndarray, " 3"]) -> bool:
    """Say if ink has few colours, nearly all of it those of many pixels, as not from JPEG or anti-aliased."""
    colours, n_pixels = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    n_pixels = n_pixels[(colours != background).any(1)]
    n_rare = n_pixels[n_pixels < RARE_PIXELS].sum()
    return len(n_pixels) <= MOST_COLOURS and bool(n_rare <= MOST_RARE * n_pixels.sum())


def flatten_colours(
    image: UInt8[np.ndarray, "h w 3"], background: UInt8[np.ndarray, " 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Give an image of few colours, one for each that strokes' cores show, and black for the background.

    A core is a pixel that contrasts with the background, as strongly as its surroundings, and has two
    neighbours like itself. Cores of colours alike are one colour, the most frequent first. Every pixel takes,
    of the colours of cores and background within two pixels, the nearest.
    """
    pixels = image.astype(np.int16)
    contrast = np.abs(pixels - background).max(2)
    core = contrast > ALIKE
    core &= sum(np.abs(near - pixels).max(2) <= ALIKE for near in shifted(pixels, 1, -256)) > LEAST_ALIKE
    core &= contrast >= CORE_CONTRAST * np.max([*shifted(contrast, 1, 0)], axis=0)
    colours = np.concatenate([background[None].astype(np.int16), choose_colours(pixels[core])])
    places = np.full(image.shape[:2], -1)
    places[contrast <= ALIKE] = 0
    nearest, least = np.full(core.sum(), -1), np.full(core.sum(), ALIKE + 1)
    for number, colour in enumerate(colours):  # one after another: all at once would fill the memory
        distance = np.abs(pixels[core] - colour).max(1)
        nearest, least = np.where(distance < least, number, nearest), np.minimum(distance, least)
    places[core] = nearest
    chosen, least = np.zeros_like(places), np.full(places.shape, 2**15)
    for near in shifted(places, REACH, -1):
        distance = np.where(near < 0, 2**15, np.abs(pixels - colours[near]).sum(2))
        chosen, least = np.where(distance < least, near, chosen), np.minimum(distance, least)
    return np.stack([chosen & 255, chosen >> 8, np.zeros_like(chosen)], 2).astype(np.uint8)


def choose_colours(pixels: Int16[np.ndarray, "n 3"]) -> Int16[np.ndarray, "k 3"]:
    """Choose colours such that most pixels are like one of them: the most frequent first, each time."""
    cells, which = np.unique(pixels // 8, axis=0, return_inverse=True)
    n_pixels = np.bincount(which.ravel(), minlength=len(cells))
    chosen = []
    while n_pixels.sum() > 0:
        near = (np.abs(cells - cells[n_pixels.argmax()]).max(1) <= ALIKE // 8) & (n_pixels > 0)
        if n_pixels[near].sum() >= LEAST_CORE:
            chosen.append(np.average(cells[near], axis=0, weights=n_pixels[near]) * 8 + 4)
        n_pixels[near] = 0
    return np.array(chosen, np.int16).reshape(-1, 3)


def shifted(
    values: Int[np.ndarray, "h w *c"] | Int16[np.ndarray, "h w *c"], reach: int, outside: int
) -> Iterator[Int[np.ndarray, "h w *c"] | Int16[np.ndarray, "h w *c"]]:
    """Give the values moved by up to so many pixels, each way and not at all."""
    height, width = values.shape[:2]
    edges = [(reach, reach)] * 2 + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, edges, constant_values=outside)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            yield padded[down : down + height, right : right + width]
