"""Masks from logits, and their scores, scene by scene.

Source: Michaelis, Bethge, Ecker 2018, section 5; github.com/michaelisc/cluttered-omniglot at 0cd38ba.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from oneshot.clutter.scenes import Scenes

FOREGROUND_PROBABILITY = 0.3
HIT_DISTANCE = 5  # pixels, excluded


@dataclass(frozen=True)
class Evaluation:
    """Intersection over union, and whether the target was found, of every scene in order."""

    iou: Float[np.ndarray, " n"]
    hits: Bool[np.ndarray, " n"]


def foreground_probability(logits: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b h w"]:
    """Compute the softmax probability of the foreground."""
    # With two classes the softmax is the logistic function of the difference.
    return torch.sigmoid(logits[:, 1].float() - logits[:, 0].float())


def foreground(logits: Float[Tensor, "b 2 h w"]) -> Bool[Tensor, "b h w"]:
    """Mark the pixels whose softmax probability of the foreground exceeds 0.3.

    Quirk: 0.3 and not 0.5, as published.
    """
    return foreground_probability(logits) > FOREGROUND_PROBABILITY


def snap_to_colours(
    probabilities: Float[Tensor, "b h w"], colours: Int[Tensor, "b h w"], n_colours: int
) -> Bool[Tensor, "b h w"]:
    """Mark the pixels of the colour that has the highest mean probability of foreground.

    colours: their numbers below `n_colours` as `read_colours` gives them; 0, black, is never marked.
    """
    places = colours.flatten(1)
    zeros = probabilities.new_zeros(len(places), n_colours)
    sums = zeros.scatter_add(1, places, probabilities.flatten(1))
    n_pixels = zeros.scatter_add(1, places, torch.ones_like(probabilities).flatten(1))
    means = torch.where(n_pixels > 0, sums / n_pixels, -1.0)
    means[:, 0] = -1.0
    return (colours == means.argmax(1)[:, None, None]) & (colours > 0)


def iou(predicted: Bool[Tensor, "b h w"], true: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Compute the intersection over union of every scene.

    Quirk: 1 where both masks are empty and the ratio is undefined.
    """
    intersection = (predicted & true).sum((1, 2))
    union = (predicted | true).sum((1, 2))
    return torch.where(union > 0, intersection / union, 1.0)


def centre(masks: Bool[Tensor, "b h w"]) -> Int[Tensor, "b 2"]:
    """Compute the centre of mass (row, column), each floored to a whole pixel; of an empty mask, (0, 0)."""
    _, h, w = masks.shape
    n_pixels = masks.sum((1, 2)).clamp(min=1)
    # Integers throughout, so that flooring is exact; torch has no integer matrix product on GPUs.
    rows = (masks.sum(2) * torch.arange(h, device=masks.device)).sum(1)
    columns = (masks.sum(1) * torch.arange(w, device=masks.device)).sum(1)
    return torch.stack([rows // n_pixels, columns // n_pixels], dim=1)


def localised(predicted: Bool[Tensor, "b h w"], true: Bool[Tensor, "b h w"]) -> Bool[Tensor, " b"]:
    """Say if the predicted centre of mass lies less than 5 px from the true one.

    Quirk: both centres are floored to whole pixels first. An empty mask has no centre: a miss.
    """
    squared_distance = (centre(predicted) - centre(true)).square().sum(1)
    both = predicted.any(2).any(1) & true.any(2).any(1)
    return both & (squared_distance < HIT_DISTANCE**2)


def iou_of_all_ink(scenes: Scenes) -> Float[np.ndarray, " n"]:
    """Compute the IoU of marking every character: what a network reaches that ignores its target."""
    ink = scenes.labels > 0
    union = (ink | scenes.masks).sum((1, 2))
    return np.where(union > 0, (ink & scenes.masks).sum((1, 2)) / np.maximum(union, 1), 1.0)


def has_same_class_distractor(scenes: Scenes) -> Bool[np.ndarray, " n"]:
    """Say if a scene holds another instance of the character that is searched, target image aside.

    The target's own label is the last one, as in scenes without occluders and in what `keep_visible` gives.
    """
    same = scenes.characters == scenes.target_characters[:, None]
    same[:, -1] = False
    return same.any(1)
