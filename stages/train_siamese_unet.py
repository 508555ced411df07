"""Train one Siamese-U-Net on the published training set, whose scenes are rendered as it goes."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from oneshot.errors import TrainingError
from oneshot.params import Params, load_params
from stages.command import run, stopping_on_signals
from stages.fingerprint import fingerprint
from stages.places import DRAWINGS, RUNS, net_folder
from stages.provenance import write_provenance
from stages.trained import describe_training, write_trained

KIND = "siamese_unet"


def main(net: str) -> None:
    params = load_params()
    if params.scale.siamese_unet.nets.get(net):
        folder = net_folder(KIND, net)
        folder.mkdir(parents=True, exist_ok=True)
        about, curves = train_net(params, net, folder / "weights.safetensors")
    else:
        print(f"{net} is not trained at scale {params.scale_name}")
        about, curves = {"trained": False}, {}
    write_trained(KIND, net, about, curves)


def train_net(params: Params, net: str, weights: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Train, or go on from where a killed run of the same parameters, data and code was."""
    # Imported here, since torch takes seconds to load, which nets that are not trained need not wait for.
    import torch
    from tqdm import tqdm

    from oneshot.segment.feed import Phase
    from oneshot.segment.losses import SegmentationLoss
    from oneshot.segment.nets.siamese_unet import SiameseUNet
    from oneshot.segment.recipes import make_recipe
    from oneshot.segment.training import train
    from oneshot.segment.training_set import TrainingSet
    from oneshot.segment.weights import WeightsInfo, save_weights
    from oneshot.training.speed import choose_speed

    training = params.scale.siamese_unet
    numbers = params.siamese_unet.recipes[training.recipe]
    recipe = make_recipe(
        training.recipe, params.lr or numbers.lr, numbers.batch_size, numbers.matching_weight
    )
    speed = choose_speed(params.device, params.speed)
    phases = [Phase(phase.clutter_levels, phase.n_scenes) for phase in training.nets[net]]
    training_set = TrainingSet(DRAWINGS)
    levels = [level for phase in phases for level in phase.clutter_levels]
    statistics = training_set.statistics(levels)
    network = SiameseUNet(training.feature_maps).initialise(torch.Generator().manual_seed(params.seed))
    resolved = {
        "net": net,
        "phases": [phase.model_dump() for phase in training.nets[net]],
        "training": training.model_dump(exclude={"nets"}),
        "recipe": numbers.model_dump(),
        "lr": params.lr,
        "seed": params.seed,
        "speed": repr(speed),
    }
    run_folder = RUNS / f"train-{net}" / fingerprint(resolved)
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
    info = WeightsInfo(KIND, training.feature_maps, recipe.name, statistics[levels[-1]], progress.n_scenes)
    save_weights(weights, network, info)
    shutil.rmtree(run_folder)
    write_provenance(f"train-{net}", seconds=round(progress.seconds, 1), device=speed.device)
    about = {
        "trained": True,
        "recipe": recipe.name,
        "feature_maps": training.feature_maps,
        "n_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "n_scenes_seen": progress.n_scenes,
        "seed": params.seed,
        "training": {"segmentation": describe_training(recipe, outcome)},
    }
    return about, {"segmentation": progress.curve}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", help="level_4 to level_256, or joint")
    arguments = parser.parse_args()
    run(lambda: main(arguments.net))
