"""How well a trained network segments and finds the target, scene by scene."""

from collections.abc import Iterator
from functools import singledispatch

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from oneshot.clutter.scenes import Scenes
from oneshot.published import COVERED_SPLITS
from oneshot.segment.answers import OWN, SNAPPED
from oneshot.segment.batches import PixelStatistics, code, decode, read_colours
from oneshot.segment.evaluate_masknet import evaluate_masknet, segment_masknet
from oneshot.segment.evaluate_matcher import evaluate_matcher, segment_matcher
from oneshot.segment.metrics import (
    Evaluation,
    foreground,
    foreground_probability,
    iou,
    localised,
    snap_to_colours,
)
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.segment.nets.masknet import MaskNet
from oneshot.training.memory import compute_in_batches
from oneshot.training.speed import Speed


def evaluate_set(
    net: nn.Module,
    split: str,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int,
    speed: Speed,
) -> dict[str, Evaluation]:
    """Score a network on a test set: every answer, but of covered targets its own alone, as the tables do."""
    if split not in COVERED_SPLITS:
        return evaluate_answers(net, scenes, statistics, batch_size=batch_size, speed=speed)
    predicted = torch.from_numpy(segment(net, scenes, statistics, batch_size=batch_size, speed=speed))
    true = torch.from_numpy(scenes.masks)
    return {OWN: Evaluation(iou(predicted, true).numpy(), localised(predicted, true).numpy())}


@singledispatch
def evaluate_answers(
    net: nn.Module,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> dict[str, Evaluation]:
    """Score every answer of a network, by name (`oneshot.segment.answers`).

    `net` takes scenes and targets and gives two-class logits, or is of a class that has functions of its own
    (see the end of this file). `statistics` are those of `test-train` at the same level, as published.
    """
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {OWN: [], SNAPPED: []}
    for answers, true in answer_batches(net, scenes, statistics, batch_size, speed or Speed()):
        for name, predicted in answers.items():
            parts[name].append((iou(predicted, true), localised(predicted, true)))
    return {
        name: Evaluation(*(torch.cat(values).cpu().numpy() for values in zip(*some, strict=True)))
        for name, some in parts.items()
    }


@singledispatch
def segment(
    net: nn.Module,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> Bool[np.ndarray, "n h w"]:
    """Predict the mask of every scene."""
    batches = answer_batches(net, scenes, statistics, batch_size, speed or Speed())
    return torch.cat([answers[OWN] for answers, _ in batches]).cpu().numpy()


def answer_batches(
    net: nn.Module, scenes: Scenes, statistics: PixelStatistics, batch_size: int, speed: Speed
) -> Iterator[tuple[dict[str, Bool[Tensor, "b h w"]], Bool[Tensor, "b h w"]]]:
    """Give the masks of every answer by name, and the true ones, batch by batch, on the device."""
    forward = speed.compile(speed.place(net).eval())
    coded = code(scenes).to(speed.device)

    def answer(which: slice) -> tuple[dict[str, Bool[Tensor, "b h w"]], Bool[Tensor, "b h w"]]:
        batch = decode(coded, which, statistics, speed.memory_format)
        # Not in inference mode, in which a network that is moved to a GPU could not be trained afterwards.
        with torch.no_grad(), speed.running():
            speed.begin_step()
            logits = forward(batch.images, batch.targets)
            colours, n_colours = read_colours(coded, which), coded.palette.shape[1]
            snapped = snap_to_colours(foreground_probability(logits), colours, n_colours)
            return {OWN: foreground(logits), SNAPPED: snapped}, batch.masks

    for (answers, true), n_before in compute_in_batches(
        answer, len(coded), batch_size, what=f"scenes of a {type(net).__name__}", device=speed.device
    ):
        yield {name: masks[n_before:] for name, masks in answers.items()}, true[n_before:]


evaluate_answers.register(MaskNet, evaluate_masknet)
evaluate_answers.register(ColourMatcher, evaluate_matcher)
segment.register(MaskNet, segment_masknet)
segment.register(ColourMatcher, segment_matcher)
