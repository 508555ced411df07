"""Training and evaluation, the obvious PyTorch beside ours, in one run: ``python -m bench.training``.

Prints as it goes, so that a run that is cut off has told what it knew; a section that fails says so in one
sentence. Scenes a second are medians of readings, with their range. "Waiting" is the share of the time that a
loop spends without a batch: on a GPU, which may still be at work meanwhile, an upper bound of what it costs.
"""

import argparse
import copy
import itertools
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from bench import obvious
from bench.harness import LEVEL, Bench, Readings
from bench.overlay import overlay, profile
from bench.rates import PASSES, measure_rates, memory_traffic, operations
from oneshot.segment.batches import code, decode
from oneshot.segment.evaluate import evaluate_answers
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.memory import count_threads
from oneshot.segment.phases import N_WINDOW_JOBS, Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.render_ahead import Stock
from oneshot.training.fit import fit
from oneshot.training.progress import LogPoint
from stages.command import run

ROUNDS = 2  # in which the obvious and ours take turns
STOCK_BYTES = 4 * 2**30


def device_rates(bench: Bench) -> dict[str, float]:
    rates = measure_rates(bench.device)
    for name, rate in rates.items():
        unit = "TB/s, read and written" if name == "copy" else "TFLOP/s, matrix products"
        print(f"  {name}: {rate / 1e12:.3g} {unit}")
    return rates


def same_answers(bench: Bench) -> dict[str, float]:
    """Compare the obvious network's logits with ours, on our weights."""
    ours = bench.new_net()
    theirs = obvious.with_weights_of(ours).to(bench.device)
    speed = bench.speed.plain()
    batch = decode(
        code(bench.scenes[:8]).to(bench.device), torch.arange(8, device=bench.device), bench.statistics
    )
    with torch.no_grad(), speed.running():
        expected = theirs(batch.images, batch.targets)
        difference = speed.place(ours)(batch.images, batch.targets) - expected
    relative = float(difference.norm() / expected.norm())
    print(f"  logits of the obvious network and ours differ by {relative:.1e} of their size")
    if not relative < 1e-4:
        raise ValueError("the two networks do not compute the same")
    return {"relative": relative}


def train_obviously(bench: Bench, trainer: obvious.Trainer, seconds: float) -> Readings:
    """Train for so many seconds in all, and read the rates."""
    trainer.step().item()
    rates, started, waited = [], time.perf_counter(), trainer.seconds_waited
    n_steps = max(1, bench.steps_a_reading // 5)
    while time.perf_counter() - started < seconds:
        reading = time.perf_counter()
        for _ in range(n_steps):
            loss = trainer.step()
        loss.item()
        rates.append(n_steps * bench.batch_size / (time.perf_counter() - reading))
    waited = trainer.seconds_waited - waited
    return Readings(rates, waited / (time.perf_counter() - started))


def train_ours(
    bench: Bench, loss: SegmentationLoss, recipe: SegmentationRecipe, level: int, seconds: float, n_jobs: int,
    n_scenes: int = 2_000_000,
) -> Readings:  # fmt: skip
    """Train as a recorded run does; time before the first log point (compilation, first scenes) is apart."""
    marks: list[tuple[LogPoint, float]] = []

    def over() -> bool:
        return len(marks) > 1 and marks[-1][0].seconds - marks[0][0].seconds >= seconds

    with Stock(
        bench.training_set.render_job, memory_bytes=STOCK_BYTES, n_ahead=2 * N_WINDOW_JOBS,
        n_threads=count_threads(bench.device), device=bench.device,
    ) as stock:  # fmt: skip
        feed = SceneFeed(
            stock, [Phase((level,), n_scenes)], bench.statistics, batch_size=recipe.batch_size, seed=0,
            n_jobs=n_jobs, n_window_jobs=N_WINDOW_JOBS, speed=bench.speed,
            render_targets=bench.training_set.render_targets if recipe.matching_weight else None,
        )  # fmt: skip
        fit(
            loss, feed, recipe, checkpoint=bench.folder / f"{time.monotonic_ns()}.safetensors",
            log_every=bench.steps_a_reading, checkpoint_seconds=math.inf, speed=bench.speed, stop=over,
            on_log=lambda point: marks.append((point, feed.seconds_waited)),
        )  # fmt: skip
    pairs = list(itertools.pairwise(marks))
    rates = [(b.n_seen - a.n_seen) / (b.seconds - a.seconds) for (a, _), (b, _) in pairs]
    waiting = (marks[-1][1] - marks[0][1]) / (marks[-1][0].seconds - marks[0][0].seconds)
    return Readings(rates, waiting, marks[0][0].seconds)


def side_by_side(bench: Bench) -> dict[str, Any]:
    """Measure recipe published, the obvious loop and ours in turns."""
    loader = obvious.load(bench.raw, bench.statistics, bench.batch_size, bench.device, shuffle=True)
    trainer = obvious.Trainer(obvious.with_weights_of(bench.new_net()), loader, bench.device)
    loss, recipe = SegmentationLoss(bench.new_net()), bench.recipe("published")
    theirs: list[Readings] = []
    ours: list[Readings] = []
    # Beside a CPU's work nothing is rendered: in so short a reading that would weigh more than in a long run.
    n_jobs = 4 * N_WINDOW_JOBS if bench.cuda else N_WINDOW_JOBS
    for _ in range(ROUNDS):
        theirs.append(train_obviously(bench, trainer, bench.seconds))
        print(f"  obvious: {theirs[-1]}, waiting {theirs[-1].waiting:.1%}", flush=True)
        ours.append(train_ours(bench, loss, recipe, LEVEL, bench.seconds, n_jobs))
        print(
            f"  ours: {ours[-1]}, waiting {ours[-1].waiting:.1%}; before the first reading "
            f"{ours[-1].start_seconds:.1f} s",
            flush=True,
        )
    del trainer, loader
    both = [statistics.median(rate for part in parts for rate in part.rates) for parts in (theirs, ours)]
    ratios = [our.median / their.median for our, their in zip(ours, theirs, strict=True)]
    print(f"  ratio: {both[1] / both[0]:.2f} (of the turns: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    bench.found["ours"] = both[1]
    return {
        "obvious": [part.figures() for part in theirs],
        "ours": [part.figures() for part in ours],
        "ratio": both[1] / both[0],
    }


def recipe_and_levels(bench: Bench) -> dict[str, Any]:
    """Measure every level, and recipe fast: scenes rendered as they are needed, and from memory."""
    found: dict[str, Any] = {}
    recipe = bench.recipe("published")
    loss = SegmentationLoss(bench.new_net())
    for level in bench.levels:
        rate = rendering_rate(bench, level)
        print(f"  level {level}: rendering alone {rate:,.0f} scenes/s", flush=True)
        found[f"rendering {level}"] = rate
        sources = {"from memory": N_WINDOW_JOBS}
        if bench.cuda:
            sources = {"new scenes": 1000} | sources
        for name, n_jobs in sources.items():
            readings = train_ours(bench, loss, recipe, level, bench.seconds, n_jobs)
            print(f"  level {level}, {name}: {readings}, waiting {readings.waiting:.1%}", flush=True)
            found[f"level {level}, {name}"] = readings.figures()
        # A short reading lives on what was rendered before it began; so much would wait in the long run.
        found[f"waiting {level}"] = max(0.0, 1 - rate / readings.median)
        print(f"  level {level}: a long first pass would wait {found[f'waiting {level}']:.1%}", flush=True)
    recipe = bench.recipe("fast")
    loss = SegmentationLoss(bench.net, recipe.matching_weight)
    # A whole run, for weights that the sections below can tell apart; at least a few readings long.
    n_steps = 4 * bench.steps_a_reading + int(
        2 * bench.seconds * bench.found.get("ours", 0) / bench.batch_size
    )
    n_scenes = n_steps * bench.batch_size
    readings = train_ours(bench, loss, recipe, LEVEL, math.inf, N_WINDOW_JOBS, n_scenes)
    print(f"  level {LEVEL}, recipe fast: {readings}, waiting {readings.waiting:.1%}")
    return found | {"fast": readings.figures()}


def rendering_rate(bench: Bench, level: int) -> float:
    """Measure scenes a second of all the threads that render beside training."""
    n_threads = count_threads(bench.device)
    bench.training_set.render_job(level, 0)
    with ThreadPoolExecutor(n_threads) as threads:
        started = time.perf_counter()
        jobs = list(threads.map(lambda job: bench.training_set.render_job(level, job), range(n_threads)))
        return sum(len(job) for job in jobs) / (time.perf_counter() - started)


def utilisation(bench: Bench) -> dict[str, float]:
    """Compare the step of recipe published with the device's best rates."""
    forward, both = operations(bench.feature_maps)
    traffic = memory_traffic(bench.feature_maps)
    found = {"forward": forward, "forward and backward": both, "bytes, at least": traffic}
    print(f"  a scene: {both / 1e9:.2f} GFLOP, {forward / 1e9:.2f} of them forward; at least")
    print(
        f"  {traffic / 1e6:.0f} MB of memory traffic in bfloat16 ({PASSES} passes over every layer's result)"
    )
    if "ours" in bench.found:
        rates = bench.found["rates of the device"]
        matrix = max(rate for name, rate in rates.items() if name != "copy")
        achieved = both * bench.found["ours"]
        print(
            f"  achieved {achieved / 1e12:.3g} TFLOP/s, {achieved / matrix:.1%} of the matrix products' rate"
        )
        found |= {"achieved": achieved, "share of matrix rate": achieved / matrix}
        if bench.speed.bf16:
            found["share of copy rate"] = traffic * bench.found["ours"] / rates["copy"]
            print(f"  and {found['share of copy rate']:.1%} of the copy rate")
    return found


def evaluation(bench: Bench) -> dict[str, Any]:
    """Compare the scores of the same scenes by the same weights."""
    size = bench.batch_size if bench.cuda else 25
    loader = obvious.load(bench.raw, bench.statistics, size, bench.device, shuffle=False)
    theirs, ours = obvious.with_weights_of(copy.deepcopy(bench.net).cpu()), copy.deepcopy(bench.net)
    n = len(bench.scenes)
    rates: dict[str, list[float]] = {"obvious": [], "ours": []}
    ious = []
    for repeat in range(4 if bench.cuda else 1):
        for name in rates:
            started = time.perf_counter()
            if name == "obvious":
                iou = obvious.evaluate(theirs, loader, bench.device).mean()
            else:
                iou = evaluate_answers(
                    ours, bench.scenes, bench.statistics, batch_size=size, speed=bench.speed
                )["answer"].iou.mean()
            if repeat or not bench.cuda:  # the first round compiles and starts the workers
                rates[name].append(n / (time.perf_counter() - started))
            ious.append(100 * float(iou))
    found = {name: Readings(values) for name, values in rates.items()}
    for name, readings in found.items():
        print(f"  {name}: {readings}")
    ratio = found["ours"].median / found["obvious"].median
    print(f"  ratio: {ratio:.2f}; IoU {ious[0]:.2f} and {ious[1]:.2f} points")
    return {name: readings.figures() for name, readings in found.items()} | {"iou": ious}


SECTIONS: dict[str, Callable[[Bench], Any]] = {
    "rates of the device": device_rates,
    "same answers": same_answers,
    "side by side": side_by_side,
    "arithmetic and memory": utilisation,
    "levels and recipes": recipe_and_levels,
    "evaluation": evaluation,
    "profile": profile,
    "overlay": overlay,
}


def known_sections(text: str) -> list[str]:
    """Parse names of sections, joined by commas."""
    names = text.split(",")
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"there is no section {name!r}; choose of {', '.join(SECTIONS)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--speed", default="auto", help="auto, plain, or parts joined by commas: ours")
    parser.add_argument("--feature-maps", type=int, help="24 on a GPU, 8 on a CPU")
    parser.add_argument("--batch-size", type=int, help="250 on a GPU, 8 on a CPU; it should divide 8,000")
    parser.add_argument("--levels", default="4,256")
    parser.add_argument("--seconds", type=float, help="of every measurement: 3 on a GPU, 10 on a CPU")
    parser.add_argument("--minutes", type=float, default=5.0, help="after which nothing is begun")
    parser.add_argument(
        "--sections", type=known_sections, default=list(SECTIONS), help=f"some of: {', '.join(SECTIONS)}"
    )
    parser.add_argument("--drawings", type=Path, help="Omniglot, packed; fetched where none are given")
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "Using padding='same'")  # the obvious network does
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        print(", ".join(f"{name} {value}" for name, value in bench.found.items()))
        for name in arguments.sections:
            bench.section(name, SECTIONS[name])


if __name__ == "__main__":
    run(main)
