"""MaskNet's losses, gradients and answers on one batch, to compare settings of speed with the plain path.

Run as ``python -m tests.first_masknet_steps DEVICE PARTS...`` it prints them for every PARTS: torch.compile
cannot read the type checks that pytest puts around every function. On a CPU only the tracing is checked.
"""

import json
import sys
from copy import deepcopy
from dataclasses import fields, replace
from functools import cache
from typing import Any

import torch
from torch._dynamo.utils import counters

from oneshot.segment.batches import Batch, code, decode
from oneshot.segment.evaluate_masknet import MaskJudge
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.recipes import learning
from oneshot.training.speed import Speed, choose_speed
from tests.fake_scenes import fake_scenes
from tests.first_steps import tracing_only
from tests.tiny_masknet import STATISTICS, masknet_batch, tiny_masknet

SCENES = fake_scenes(6, 4, seed=0)
N_LOCATIONS = 16
LOSSES = {
    "proposals": lambda net: ProposalLoss(net),
    "discriminator": lambda net: DiscriminatorLoss(net),
    "corrected proposals": lambda net: ProposalLoss(net, corrected=True),
    "corrected discriminator": lambda net: DiscriminatorLoss(net, corrected=True),
}


@cache
def train_once() -> MaskNet:
    return tiny_masknet(SCENES)


def trained_masknet() -> MaskNet:
    """A copy of its own for every caller, without gradients."""
    net = deepcopy(train_once())
    net.zero_grad()
    return net


def batch_for(speed: Speed, n_locations: int) -> Batch:
    picked = masknet_batch(SCENES, n_locations)
    batch = decode(code(SCENES), slice(0, len(SCENES)), STATISTICS, speed.memory_format)
    batch = replace(batch, locations=picked.locations, corners=picked.corners)
    there = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return Batch(
        **{name: value if value is None else value.to(speed.device) for name, value in there.items()}
    )


def masknet_figures(speed: Speed) -> dict[str, Any]:
    """Of every loss its value and the size of its gradient; of every proposal its pixels and its score."""
    net = trained_masknet()
    found: dict[str, Any] = {}
    for name, make_loss in LOSSES.items():
        loss = speed.place(make_loss(net))
        with speed.running():
            speed.begin_step()
            value = speed.compile(loss)(batch_for(speed, loss.n_locations))
            value.backward()
        squares = [parameter.grad.square().sum() for parameter in learning(loss)]
        found[name] = [value.item(), torch.stack(squares).sum().sqrt().item()]
        net.zero_grad()
    judge, batch = MaskJudge(net, speed), batch_for(speed, 3)
    with torch.no_grad(), speed.running():
        shared, codes = judge.encode(batch.images, batch.targets)
        every = torch.arange(N_LOCATIONS, device=speed.device).expand(len(batch), -1)
        judged = judge.proposals(batch, shared, codes, every)
    found["scores"] = judged.scores.flatten().tolist()
    found["iou"] = 100 * judged.ious.mean().item()
    return found


if __name__ == "__main__":
    device, *settings = sys.argv[1:]
    if device == "cpu":
        torch.compile = tracing_only(torch.compile)
    found = {}
    for parts in settings:
        torch._dynamo.reset()
        counters.clear()
        found[parts] = masknet_figures(choose_speed(device, parts))
        found[parts]["n_graphs"] = counters["stats"]["unique_graphs"]
    print(json.dumps(found))
