"""Train one Siamese-U-Net on the published training set, whose scenes are rendered as it goes."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from oneshot.errors import TrainingError
from oneshot.files import replacing
from oneshot.params import Params, load_params
from stages.command import run, stopping_on_signals
from stages.fingerprint import fingerprint
from stages.places import DRAWINGS, RUNS, net_folder
from stages.provenance import write_provenance

CURVE_FIELDS = ("step", "n_scenes", "loss", "lr")


def main(net: str) -> None:
    params = load_params()
    folder = net_folder(net)
    folder.mkdir(parents=True, exist_ok=True)
    if params.scale.siamese_unet.nets.get(net):
        about, points = train_net(params, net, folder / "weights.safetensors")
    else:
        print(f"{net} is not trained at scale {params.scale_name}")
        about, points = {"trained": False}, []
    with replacing(folder / "about.json") as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())
    write_curve(folder / "curve.csv", points)


def train_net(params: Params, net: str, weights: Path) -> tuple[dict[str, Any], list[Any]]:
    """Train, or go on from where a killed run of the same parameters, data and code was."""
    # Imported here, since torch takes seconds to load, which nets that are not trained need not wait for.
    import torch
    from tqdm import tqdm

    from oneshot.feed import Phase
    from oneshot.losses import SegmentationLoss
    from oneshot.nets.siamese_unet import SiameseUNet
    from oneshot.recipes import make_recipe
    from oneshot.speed import choose_speed
    from oneshot.training import train
    from oneshot.training_set import TrainingSet
    from oneshot.weights import WeightsInfo, save_weights

    training = params.scale.siamese_unet
    numbers = params.siamese_unet.recipes[training.recipe]
    recipe = make_recipe(
        training.recipe, params.lr or numbers.lr, numbers.batch_size, numbers.matching_weight
    )
    speed = choose_speed(params.device, params.speed)
    phases = [Phase(phase.clutter_levels, phase.n_scenes) for phase in training.nets[net]]
    training_set = TrainingSet(DRAWINGS)
    statistics = training_set.statistics(phases[0].clutter_levels[0])
    network = SiameseUNet(training.feature_maps).initialise(torch.Generator().manual_seed(params.seed))
    run_folder = RUNS / f"train-{net}" / fingerprint(params, net, repr(speed))
    n_scenes = sum(phase.n_scenes for phase in phases)
    with stopping_on_signals() as stop, tqdm(
        total=n_scenes, desc=f"{net}, {recipe.name}", unit="scene", smoothing=0.05
    ) as bar:  # fmt: skip

        def show(point: Any) -> None:
            bar.set_postfix(loss=f"{point.loss:.4f}", refresh=False)
            bar.update(point.n_scenes - bar.n)

        outcome = train(
            SegmentationLoss(network, recipe.matching_weight), training_set, recipe, phases,
            statistics=statistics, checkpoint=run_folder / "checkpoint.safetensors", seed=params.seed,
            n_jobs=training.n_jobs, n_epochs=training.n_epochs,
            log_every=params.siamese_unet.log_every,
            checkpoint_seconds=params.siamese_unet.checkpoint_seconds, on_log=show, stop=stop, speed=speed,
        )  # fmt: skip
    progress = outcome.progress
    if not progress.complete:
        raise TrainingError(
            f"training {net} was interrupted at step {progress.step:,} of {progress.n_steps:,}, which is "
            "saved: run the same command again to go on."
        )
    info = WeightsInfo("siamese_unet", training.feature_maps, recipe.name, statistics, progress.n_scenes)
    save_weights(weights, network, info)
    shutil.rmtree(run_folder)
    write_provenance(f"train-{net}", seconds=round(progress.seconds, 1), device=speed.device)
    about = {
        "trained": True,
        "recipe": recipe.name,
        "matching_weight": recipe.matching_weight,
        "lr": recipe.lr,
        "batch_size": recipe.batch_size,
        "feature_maps": training.feature_maps,
        "n_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "phases": [phase.model_dump() for phase in training.nets[net]],
        "n_scenes_seen": progress.n_scenes,
        "n_steps": progress.n_steps,
        "seed": params.seed,
        "pixel_mean": statistics.mean,
        "pixel_std": statistics.std,
    }
    return about, progress.curve


def write_curve(path: Path, points: list[Any]) -> None:
    """The training curve, deterministic fields only."""
    with replacing(path) as file:
        lines = [",".join(CURVE_FIELDS)]
        lines += [",".join(repr(getattr(point, field)) for field in CURVE_FIELDS) for point in points]
        file.write(("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", help="level_4 to level_256, or joint")
    arguments = parser.parse_args()
    run(lambda: main(arguments.net))
