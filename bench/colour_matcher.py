"""The colour matcher's speed beside other networks and obvious code: ``python -m bench.colour_matcher``.

All rates are of a processor second of one thread, so that other work on the machine hardly shows; medians of
readings with their range. Networks are untrained: what they compute does not depend on their weights.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from oneshot.clutter.scenes import Scenes
from oneshot.params import load_params
from oneshot.published import CLUTTER_LEVELS
from oneshot.segment.batches import PixelStatistics, SceneStatistics, pixel_statistics
from oneshot.segment.coded import join_coded
from oneshot.segment.evaluate import segment
from oneshot.segment.group_batches import N_OTHERS, CodedGroups, code_groups
from oneshot.segment.groups import BOX_MARGIN, CROP_SIZE
from oneshot.segment.matcher_losses import MatcherLoss
from oneshot.segment.nets.colour_matcher import ColourMatcher
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.segment.training_set import TrainingSet
from oneshot.training.fit import train_step
from oneshot.training.speed import Speed, choose_speed
from stages.command import run

ROUNDS = 5
LEVELS = (4, 256)  # of the scenes that are answered
N_ANSWERED = {"colour_matcher": 60, "siamese_unet": 20, "masknet": 2}
N_CODED = 140  # scenes of every level that are coded, a reading
UNUSED = SceneStatistics(torch.zeros(0), torch.zeros(0))


def in_turns(works: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Print what every way does in a processor second, the ways in turns; each gives what it has done."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # compiles, or loads what was compiled
    for _ in range(ROUNDS):
        for name, work in works.items():
            started = time.process_time()
            n_done = work()
            rates[name].append(n_done / (time.process_time() - started))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    first = next(iter(medians.values()))
    for name, found in rates.items():
        print(
            f"  {name}: {medians[name]:,.4g} ({min(found):,.4g} to {max(found):,.4g}); "
            f"{first / medians[name]:.3g} times this is the first"
        )
    return medians


def make_networks(feature_maps: int) -> dict[str, torch.nn.Module]:
    generator = torch.Generator().manual_seed(0)
    siamese = SiameseUNet(feature_maps).initialise(generator)
    return {
        "colour_matcher": ColourMatcher().initialise(generator),
        "siamese_unet": siamese,
        "masknet": MaskNet(feature_maps).start_from(siamese, generator),
    }


def measure_answers(training_set: TrainingSet, feature_maps: int, speed: Speed) -> None:
    networks = make_networks(feature_maps)
    for level in LEVELS:
        scenes = training_set.render_job(level, 0)
        normal = pixel_statistics(scenes)
        print(f"scenes of {level} characters that are answered, {feature_maps} feature maps beside 24")
        in_turns(
            {
                name: answer_with(net, scenes[: N_ANSWERED[name]], normal, speed)
                for name, net in networks.items()
            }
        )


def answer_with(
    net: torch.nn.Module, scenes: Scenes, normal: PixelStatistics, speed: Speed
) -> Callable[[], int]:
    return lambda: len(segment(net, scenes, normal, speed=speed))


def code_obviously(scenes: Scenes) -> int:
    """Group by np.unique, and crop by indexing, one group after another; which ones does not matter."""
    for image, mask in zip(scenes.images(), scenes.masks, strict=True):
        packed = image.astype(np.int64) @ np.array([65536, 256, 1])
        colours = np.unique(packed[packed > 0])
        wanted = [np.bincount(packed[mask]).argmax() if mask.any() else colours[0], *colours[: 1 + N_OTHERS]]
        for colour in wanted[: 1 + N_OTHERS]:
            own, other = packed == colour, (packed != colour) & (packed > 0)
            rows, columns = own.any(1).nonzero()[0], own.any(0).nonzero()[0]
            places = []
            for found, size in ((rows, own.shape[0]), (columns, own.shape[1])):
                span = found[-1] + 1 - found[0]
                steps = (np.arange(2 * CROP_SIZE) + 0.5) / (2 * CROP_SIZE) * (1 + 2 * BOX_MARGIN) * span
                places.append(np.floor(found[0] - BOX_MARGIN * span + steps).astype(int).clip(0, size - 1))
            np.stack(
                [ink[np.ix_(*places)].reshape(CROP_SIZE, 2, CROP_SIZE, 2).sum((1, 3)) for ink in (own, other)]
            )
    return len(scenes)


def code_all(jobs: list[Scenes]) -> CodedGroups:
    return join_coded([code_groups(scenes, "box") for scenes in jobs])


def measure_training(training_set: TrainingSet, speed: Speed) -> None:
    """Measure rendering, coding and steps, each alone, and what they leave together."""
    numbers = load_params().segmentation.recipes["colour_matcher"]["own"]["segmentation"]
    jobs = [training_set.render_job(level, 1)[:N_CODED] for level in CLUTTER_LEVELS]
    n_scenes = N_CODED * len(jobs)
    print("training scenes that are coded, all levels mixed")
    coding = in_turns(
        {
            "ours": lambda: len(code_all(jobs)),
            "obvious": lambda: sum(code_obviously(scenes) for scenes in jobs),
        }
    )
    loss = MatcherLoss(ColourMatcher().initialise(np.random.default_rng(0)))
    recipe = SegmentationRecipe("own", numbers.lr, numbers.batch_size, 0.0, weight_decay=numbers.weight_decay)
    optimizers = recipe.optimizers(loss, speed.fused)
    coded, order = code_all(jobs), torch.randperm(n_scenes, generator=torch.Generator().manual_seed(0))

    def take_steps() -> int:
        for which in order.split(numbers.batch_size):
            train_step(loss, loss.decode(coded, which, UNUSED, speed.memory_format), optimizers, speed)
        return n_scenes

    def render() -> int:
        return sum(len(training_set.render_job(level, 2)) for level in CLUTTER_LEVELS)

    print(f"training scenes, batches of {numbers.batch_size}, {1 + N_OTHERS} groups each")
    parts = in_turns({"steps": take_steps, "rendering": render}) | {"coding": coding["ours"]}
    together = 1 / sum(1 / rate for rate in parts.values())
    obvious = 1 / (1 / parts["steps"] + 1 / parts["rendering"] + 1 / coding["obvious"])
    print(f"  in all: {together:,.0f} a processor second, {obvious:,.0f} with the obvious coding")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drawings", type=Path, default=Path("data/drawings/drawings.npz"))
    parser.add_argument("--feature-maps", type=int, default=24, help="of Siamese-U-Net and MaskNet")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training_set, speed = TrainingSet(arguments.drawings), choose_speed("cpu", "auto")
    measure_answers(training_set, arguments.feature_maps, speed)
    measure_training(training_set, speed)


if __name__ == "__main__":
    run(main)
