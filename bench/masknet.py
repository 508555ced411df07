"""MaskNet's answers and training, the obvious PyTorch beside ours, in one run: ``python -m bench.masknet``.

Scenes a second are medians of readings, with their range; the obvious and ours take turns. Without --weights
MaskNet is what it is before its own training: a Siamese-U-Net's weights, and few proposals are blank.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import obvious_masknet
from bench.harness import Bench, Readings
from bench.rates import synchronise
from oneshot.segment.batches import Batch, code, decode, pick_locations
from oneshot.segment.evaluate_masknet import TOP_K, MaskJudge, segment_batch, segment_masknet
from oneshot.segment.losses import Objective
from oneshot.segment.masknet_losses import DiscriminatorLoss, ProposalLoss, near_target
from oneshot.segment.metrics import iou
from oneshot.segment.nets import NETS
from oneshot.segment.nets.masknet import MaskNet, decode_proposals, share_steps
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.training.fit import train_step
from oneshot.training.tensors import load_network
from stages.command import run

ROUNDS = 2
N_LOCATIONS = 144


def find_net(bench: Bench, path: Path | None) -> MaskNet:
    """Load a trained one if there are weights, or build one on a Siamese-U-Net's; else an untrained one."""
    net = bench.new_net() if path is None else load_network(path, NETS)[0]
    return net if isinstance(net, MaskNet) else MaskNet(net.feature_maps).start_from(net, generator())


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def batch_of(bench: Bench, n: int, n_locations: int = 4) -> Batch:
    """The first scenes of a level-4 job, with random locations."""
    scenes = code(bench.scenes[:n]).to(bench.device)
    batch = decode(scenes, slice(0, n), bench.statistics, bench.speed.memory_format)
    picked = pick_locations(n, n_locations, N_LOCATIONS, np.random.default_rng(0))
    places = torch.from_numpy(picked).to(bench.device)
    return replace(batch, locations=places[:, :-1], corners=places[:, -1])


def some_of(batch: Batch, which: slice) -> Batch:
    return Batch(
        *(getattr(batch, name)[which] for name in ("images", "targets", "masks", "pixel_means", "pixel_stds"))
    )


def in_turns(bench: Bench, works: dict[str, Callable[[], Any]], n_scenes: dict[str, int]) -> dict[str, Any]:
    """Readings of every way, the ways in turns, after one call each to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    synchronise(bench.device)
    for _ in range(ROUNDS):
        for name, work in works.items():
            started = time.perf_counter()
            while time.perf_counter() - started < bench.seconds:
                reading = time.perf_counter()
                work()
                synchronise(bench.device)
                rates[name].append(n_scenes[name] / (time.perf_counter() - reading))
    found = {name: Readings(values) for name, values in rates.items()}
    for name, readings in found.items():
        ratio = readings.median / found["obvious"].median
        print(f"  {name}: {readings}, {ratio:.2f} times the obvious", flush=True)
    return {name: readings.figures() for name, readings in found.items()}


def same_answers(bench: Bench, net: MaskNet) -> dict[str, Any]:
    """Whether both answer alike: masks of the same scenes, in plain float32 and as the overlay runs it."""
    n = 64 if bench.cuda else 8
    batch, true = batch_of(bench, n), torch.from_numpy(bench.scenes.masks[:n])
    mean, std = bench.statistics.mean, bench.statistics.std
    obvious_net = obvious_masknet.with_weights_of(net).to(bench.device)
    with bench.speed.plain().running():  # in true float32, as ours
        theirs, _ = obvious_net.answer(batch.images, batch.targets, mean, std)
    found: dict[str, Any] = {"obvious": 100 * float(iou(theirs.cpu(), true).mean()), "n": n}
    for speed in (bench.speed.plain(), bench.speed):
        name = ",".join(speed.parts) or "plain"
        ours = torch.from_numpy(segment_masknet(net, bench.scenes[:n], bench.statistics, speed=speed))
        same = (ours == theirs.cpu()).flatten(1).all(1).float().mean()
        found[name] = {"equal masks": float(same), "iou": 100 * float(iou(ours, true).mean())}
        print(
            f"  {name}: {same:.0%} of {n} masks equal to the obvious to the pixel; "
            f"IoU {found[name]['iou']:.2f} and {found['obvious']:.2f} points"
        )
    return found


def answers(bench: Bench, net: MaskNet) -> dict[str, Any]:
    """All 144 proposals, and only those that match best."""
    n = 32 if bench.cuda else 4
    batch = batch_of(bench, n)
    theirs = obvious_masknet.with_weights_of(net).to(bench.device).eval()
    mean, std = bench.statistics.mean, bench.statistics.std
    judges = {"plain": MaskJudge(net, bench.speed.plain()), "ours": MaskJudge(net, bench.speed)}

    def ours(name: str, top_k: int | None = None) -> Callable[[], Any]:
        judge = judges[name]
        # As many scenes at a time as an evaluation takes.
        size = max(1, judge.n_at_once // (top_k or N_LOCATIONS)) if not bench.cuda else n

        def work() -> None:
            with torch.no_grad(), judge.speed.running():
                for first in range(0, n, size):
                    part = slice(first, first + size)
                    segment_batch(judge, some_of(batch, part), top_k)

        return work

    works = {
        "obvious": lambda: theirs.answer(batch.images, batch.targets, mean, std),
        "shared steps, plain float32": ours("plain"),
        "shared steps": ours("ours"),
        **{f"shared steps, best {k} proposals": ours("ours", k) for k in TOP_K},
    }
    return in_turns(bench, works, dict.fromkeys(works, n))


def training(bench: Bench, net: MaskNet) -> dict[str, Any]:
    """A step of each of the two trainings, scenes already decoded; the same Adam, batch of the recipe."""
    found = {}
    sizes = {"proposals": 50 if bench.cuda else 8, "discriminator": 250 if bench.cuda else 8}
    for name, make_loss in {"proposals": ProposalLoss, "discriminator": DiscriminatorLoss}.items():
        print(f"  {name}, batches of {sizes[name]}")
        batch = batch_of(bench, sizes[name], make_loss.n_locations)
        own = near_target(batch)
        if name == "discriminator":
            own = own.gather(1, batch.corners[:, None])
        locations = torch.cat([own, batch.locations], 1)
        works = {
            "obvious": obvious_step(bench, net, name, batch, locations),
            "ours": our_step(bench, make_loss(net), batch),
        }
        found[name] = in_turns(bench, works, dict.fromkeys(works, sizes[name]))
    return found


def obvious_step(
    bench: Bench, net: MaskNet, name: str, batch: Batch, locations: torch.Tensor
) -> Callable[[], Any]:
    theirs = obvious_masknet.with_weights_of(net).to(bench.device).train()
    learning = (
        theirs.siamese if name == "proposals" else torch.nn.ModuleList([theirs.discriminator, theirs.score])
    )
    optimizer = torch.optim.Adam(learning.parameters(), lr=1e-5)
    mean, std = bench.statistics.mean, bench.statistics.std

    def step() -> None:
        if name == "proposals":
            loss = theirs.proposal_loss(batch.images, batch.targets, batch.masks, locations)
        else:
            loss = theirs.discriminator_loss(batch.images, batch.targets, locations, mean, std)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def our_step(bench: Bench, loss: Objective, batch: Batch) -> Callable[[], Any]:
    recipe = SegmentationRecipe("published", 1e-5, len(batch), 0.0, trained_before=True)
    bench.speed.place(loss).train()
    optimizers = recipe.optimizers(loss, bench.speed.fused)
    forward = bench.speed.compile(loss)

    def step() -> None:
        with bench.speed.running():
            train_step(forward, batch, optimizers, bench.speed)

    return step


def arithmetic(bench: Bench, net: MaskNet) -> dict[str, float]:
    """Of a scene's answer, in operations: 144 decoded whole, and with the steps that they share done once."""
    batch = batch_of(bench, 1)
    every = torch.arange(N_LOCATIONS, device=bench.device)[None]
    decoder = bench.speed.plain().place(net).siamese.decoder
    with torch.no_grad():
        codes, skips = net.encode(batch.images, batch.targets)
        with FlopCounterMode(display=False) as once:
            net.siamese.decode(net.siamese.match(codes, skips[-1]), skips)
        with FlopCounterMode(display=False) as shared:
            decode_proposals(decoder, share_steps(decoder, codes, skips), every)
    naive, ours = N_LOCATIONS * once.get_total_flops(), shared.get_total_flops()
    print(
        f"  decoding 144 proposals: {naive / 1e9:.1f} GFLOP a scene, {ours / 1e9:.1f} with shared steps: "
        f"{naive / ours:.2f} times fewer"
    )
    return {"naive": naive, "shared": ours}


SECTIONS: dict[str, Callable[[Bench, MaskNet], Any]] = {
    "same answers": same_answers,
    "arithmetic": arithmetic,
    "answers": answers,
    "training": training,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--speed", default="auto", help="auto, plain, or parts joined by commas: ours")
    parser.add_argument("--feature-maps", type=int, help="24 on a GPU, 8 on a CPU")
    parser.add_argument("--weights", type=Path, help="of a MaskNet or a Siamese-U-Net")
    parser.add_argument(
        "--seconds", type=float, help="of every measurement and turn: 3 on a GPU, 10 on a CPU"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing is begun")
    parser.add_argument("--drawings", type=Path, help="Omniglot, packed; fetched where none are given")
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    arguments = parser.parse_args()
    arguments.batch_size, arguments.levels = None, "4"
    warnings.filterwarnings("ignore", "Using padding='same'")  # the obvious network does
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        net = find_net(bench, arguments.weights)
        bench.found["feature_maps"] = net.feature_maps
        print(", ".join(f"{name} {value}" for name, value in bench.found.items()))
        for name, measure in SECTIONS.items():
            bench.section(name, lambda bench, measure=measure: measure(bench, net))


if __name__ == "__main__":
    run(main)
