"""Koch's network beside the obvious PyTorch: ``python -m bench.koch [--device cuda] [--base koch]``.

In turns in one run: pairs a second that training sees, distortions included; and N-way scoring with every
image encoded once beside scoring every pair of images.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim import Adam

from bench import obvious_koch
from oneshot.classify.feeds import PairFeed, PairLoss
from oneshot.classify.nets import NETS
from oneshot.classify.nets.koch import SiamesePair
from oneshot.classify.nets.network import set_order
from oneshot.classify.pairs import draw_set, koch_source
from oneshot.classify.recipes import Own
from oneshot.classify.scoring import NetworkScorer
from oneshot.omniglot.drawings import Drawings, load_drawings
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.training.fit import train_step
from oneshot.training.speed import Speed, choose_speed

N_WAYS = (5, 20)
WARM_UP_STEPS = 3


def main() -> None:
    arguments = parse()
    speed = choose_speed(arguments.device, arguments.speed)
    drawings = find_drawings(arguments.drawings)
    net = NETS[arguments.base]().initialise(np.random.default_rng(0))
    theirs = obvious_koch.with_weights_of(net).to(speed.device)
    print(
        f"{arguments.base} on {speed.device}, {', '.join(speed.parts) or 'plain'}; "
        f"{torch.get_num_threads()} threads"
    )
    compare_scoring(net, theirs, drawings, speed, arguments)
    compare_training(net, theirs, drawings, speed, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--speed", default="auto")
    parser.add_argument(
        "--base", default="koch_small", choices=[name for name, net in NETS.items() if net.judges_pairs]
    )
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=1, help="of the obvious DataLoader")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each reading")
    parser.add_argument("--drawings", type=Path, help="drawings.npz; else synthetic alphabets")
    return parser.parse_args()


def find_drawings(path: Path | None) -> Drawings:
    if path:
        return load_drawings(path)
    return draw_alphabets(np.random.default_rng(0), {"train": 6, "eval": 1, "test": 1}, 8)


def take_turns(
    ways: dict[str, Callable[[], int]], arguments: argparse.Namespace, speed: Speed, unit: str
) -> None:
    """Run each way for some seconds, round by round; a way returns how many things one call of it did."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in itertools.chain(*[ways.items()] * arguments.rounds):
        n, started = 0, time.perf_counter()
        while time.perf_counter() - started < arguments.seconds:
            n += way()
            wait(speed)
        rates[name].append(n / (time.perf_counter() - started))
    for name, found in rates.items():
        print(f"  {name}: {statistics.median(found):,.1f} {unit}/s ({min(found):,.1f} to {max(found):,.1f})")
    ours, obvious = (statistics.median(found) for found in rates.values())
    print(f"  {ours / obvious:.1f} times as fast", flush=True)


def wait(speed: Speed) -> None:
    if speed.device_type == "cuda":
        torch.cuda.synchronize(speed.device)


def compare_training(
    net: SiamesePair, theirs: torch.nn.Module, drawings: Drawings, speed: Speed, arguments: argparse.Namespace
) -> None:
    print("training, pairs with distortions")
    pairs = draw_set(koch_source(drawings, "train"), 30_000, seed=0)
    feed = PairFeed(pairs, batch_size=arguments.batch_size, seed=0, n_copies=8)
    set_order(net, speed.memory_format)
    loss, recipe, steps = speed.place(PairLoss(net, drawings.numbered())), Own(), itertools.count()
    forward, optimizers = speed.compile(loss), recipe.optimizers(loss, speed.fused)
    their_optimizer = Adam(theirs.parameters(), lr=recipe.lr)
    characters = np.flatnonzero(drawings.character_sets == "train").tolist()
    batches = obvious_koch.batches(drawings.unpack(), characters, arguments.batch_size, arguments.workers)

    def our_step() -> int:
        with speed.running():
            train_step(forward, feed.batch(next(steps)), optimizers, speed)
        return arguments.batch_size

    def their_step() -> int:
        first, second, same = (tensor.to(speed.device) for tensor in next(batches))
        F.binary_cross_entropy_with_logits(theirs(first, second), same).backward()
        their_optimizer.step()
        their_optimizer.zero_grad()
        return arguments.batch_size

    for _ in range(WARM_UP_STEPS):
        our_step(), their_step()
    take_turns({"ours": our_step, "obvious": their_step}, arguments, speed, "pairs")


def compare_scoring(
    net: SiamesePair, theirs: torch.nn.Module, drawings: Drawings, speed: Speed, arguments: argparse.Namespace
) -> None:
    """Compare scoring of as many queries as ways, as in the paper's trials: 20 x 20."""
    images = drawings.unpack()
    scorer = NetworkScorer(net, speed)
    for n_way in N_WAYS:
        print(f"scoring, {n_way} queries against {n_way} supports")
        queries, supports = images[:n_way, 0], images[:n_way, 1]
        tensors = [torch.from_numpy(some).float().to(speed.device) for some in (queries, supports)]

        def ours(queries: np.ndarray = queries, supports: np.ndarray = supports) -> int:
            scorer.compare(scorer.encode(queries), scorer.encode(supports))
            return len(queries)

        def obvious(tensors: list[torch.Tensor] = tensors) -> int:
            obvious_koch.score(theirs, *tensors)
            return len(tensors[0])

        found, expected = (
            scorer.compare(*map(scorer.encode, (queries, supports))),
            obvious_koch.score(theirs, *tensors),
        )
        print(f"  the same but for {(found - expected).abs().max().item():.1e}")
        take_turns({"every image encoded once": ours, "every pair": obvious}, arguments, speed, "trials")


if __name__ == "__main__":
    main()
