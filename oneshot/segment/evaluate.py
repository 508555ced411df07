"""How well a trained network segments and finds the target, scene by scene."""

from collections.abc import Iterator
from functools import singledispatch

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from oneshot.clutter.scenes import Scenes
from oneshot.segment.answers import OWN
from oneshot.segment.batches import PixelStatistics, code, decode
from oneshot.segment.evaluate_masknet import evaluate_masknet, segment_masknet
from oneshot.segment.evaluate_matcher import evaluate_matcher, segment_matcher
from oneshot.segment.metrics import Evaluation, foreground, iou, localised
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.segment.nets.masknet import MaskNet
from oneshot.training.speed import Speed


@singledispatch
def evaluate_answers(
    net: nn.Module,
    scenes: Scenes,
    statistics: PixelStatistics,
    *,
    batch_size: int = 50,
    speed: Speed | None = None,
) -> dict[str, Evaluation]:
    """Score every answer of a network, by name (`oneshot.segment.answers`): of a Siamese-U-Net one.

    `net` takes scenes and targets and gives two-class logits, or is of a class that has functions of its own
    (see the end of this file). `statistics` are those of `test-train` at the same level, as published.
    """
    ious, hits = [], []
    for predicted, true in segment_batches(net, scenes, statistics, batch_size, speed or Speed()):
        ious.append(iou(predicted, true))
        hits.append(localised(predicted, true))
    return {OWN: Evaluation(torch.cat(ious).cpu().numpy(), torch.cat(hits).cpu().numpy())}


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
    batches = segment_batches(net, scenes, statistics, batch_size, speed or Speed())
    return torch.cat([predicted for predicted, _ in batches]).cpu().numpy()


def segment_batches(
    net: nn.Module, scenes: Scenes, statistics: PixelStatistics, batch_size: int, speed: Speed
) -> Iterator[tuple[Bool[Tensor, "b h w"], Bool[Tensor, "b h w"]]]:
    """Give predicted and true masks, batch by batch, on the device."""
    forward = speed.compile(speed.place(net).eval())
    coded = code(scenes).to(speed.device)
    for first in range(0, len(coded), batch_size):
        # The last batch reaches back until it is as large as the others: compiled code is for one size.
        start = max(0, min(first, len(coded) - batch_size))
        batch = decode(coded, slice(start, start + batch_size), statistics, speed.memory_format)
        # Not in inference mode, in which a network that is moved to a GPU could not be trained afterwards.
        with torch.no_grad(), speed.running():
            speed.begin_step()
            predicted = foreground(forward(batch.images, batch.targets))
        yield predicted[first - start :], batch.masks[first - start :]


evaluate_answers.register(MaskNet, evaluate_masknet)
evaluate_answers.register(ColourMatcher, evaluate_matcher)
segment.register(MaskNet, segment_masknet)
segment.register(ColourMatcher, segment_matcher)
