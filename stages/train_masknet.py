"""Train one MaskNet from the Siamese-U-Net of the same name: encoders and decoder, then the discriminator."""

import argparse
import shutil
from pathlib import Path
from typing import Any, cast

from oneshot.errors import TrainingError
from oneshot.params import MaskNetPhases, Params, load_params
from stages.command import run, stopping_on_signals
from stages.fingerprint import fingerprint
from stages.places import DRAWINGS, RUNS, net_folder
from stages.provenance import write_provenance
from stages.trained import describe_training, write_trained

KIND = "masknet"


def main(net: str) -> None:
    params = load_params()
    phases = params.scale.masknet.nets.get(net)
    if phases is None:
        print(f"MaskNet {net} is not trained at scale {params.scale_name}")
        about, curves = {"trained": False}, {}
    else:
        folder = net_folder(KIND, net)
        folder.mkdir(parents=True, exist_ok=True)
        start = net_folder("siamese_unet", net) / "weights.safetensors"
        about, curves = train_net(params, net, phases, start, folder / "weights.safetensors")
    write_trained(KIND, net, about, curves)


def train_net(
    params: Params, net: str, phases: MaskNetPhases, start: Path, weights: Path
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Train, or go on from where a killed run of the same parameters, data and code was.

    Raises:
        TrainingError: there is no Siamese-U-Net to start from, or the run was interrupted.
    """
    # Imported here, since torch takes seconds to load, which nets that are not trained need not wait for.
    import torch
    from tqdm import tqdm

    from oneshot.segment.nets.masknet import MaskNet
    from oneshot.segment.nets.siamese_unet import SiameseUNet
    from oneshot.segment.training_set import TrainingSet
    from oneshot.segment.training_steps import list_levels_of, make_masknet_steps, train_steps
    from oneshot.segment.weights import WeightsInfo, load_weights, save_weights
    from oneshot.training.speed import choose_speed
    from oneshot.training.tensors import file_sha256

    if not start.is_file():
        raise TrainingError(
            f"MaskNet {net} starts from the Siamese-U-Net {net}, which is not trained at scale "
            f"{params.scale_name}: give that one scenes in params.yaml, or this one none."
        )
    siamese, before = load_weights(start)
    training, speed = params.scale.masknet, choose_speed(params.device, params.speed)
    steps = make_masknet_steps(training.recipe, params.masknet.recipes[training.recipe], phases)
    levels = list_levels_of(steps)
    training_set = TrainingSet(DRAWINGS)
    statistics = training_set.statistics(levels)
    generator = torch.Generator().manual_seed(params.seed)
    network = MaskNet(before.feature_maps).start_from(cast(SiameseUNet, siamese), generator)
    resolved = {
        "net": f"masknet {net}",
        "phases": phases.model_dump(),
        "recipe": params.masknet.recipes[training.recipe].model_dump(),
        "training": training.model_dump(exclude={"nets"}),
        "n_jobs": params.scale.siamese_unet.n_jobs,
        "seed": params.seed,
        "speed": repr(speed),
        "start": file_sha256(start),
    }
    run_folder = RUNS / f"train-masknet-{net}" / fingerprint(resolved)
    n_scenes = sum(phase.n_scenes for step in steps for phase in step.phases)
    with stopping_on_signals() as stop, tqdm(
        total=n_scenes, desc=f"MaskNet {net}, {training.recipe}", unit="scene", smoothing=0.05
    ) as bar:  # fmt: skip

        def show(step: str, point: Any) -> None:
            bar.set_postfix(step=step, loss=f"{point.loss:.4f}", refresh=False)
            n_before = sum(phase.n_scenes for phase in steps[0].phases) if step == steps[1].name else 0
            bar.update(n_before + point.n_scenes - bar.n)

        outcomes = train_steps(
            network, training_set, steps, statistics=statistics, folder=run_folder, seed=params.seed,
            n_jobs=params.scale.siamese_unet.n_jobs, n_epochs=training.n_epochs,
            log_every=params.siamese_unet.log_every, on_log=show, stop=stop, speed=speed,
            checkpoint_seconds=params.siamese_unet.checkpoint_seconds,
        )  # fmt: skip
    last, progress = steps[len(outcomes) - 1].name, outcomes[-1].progress
    if len(outcomes) < len(steps) or not progress.complete:
        raise TrainingError(
            f"training MaskNet {net} was interrupted at step {progress.step:,} of {progress.n_steps:,} "
            f"({last}), which is saved: run the same command again to go on."
        )
    n_seen = sum(outcome.progress.n_scenes for outcome in outcomes)
    n_before = before.n_scenes_before + before.n_scenes_seen
    info = WeightsInfo(KIND, before.feature_maps, training.recipe, statistics[levels[-1]], n_seen, n_before)
    save_weights(weights, network, info)
    shutil.rmtree(run_folder)
    seconds = sum(outcome.progress.seconds for outcome in outcomes)
    write_provenance(f"train-masknet-{net}", seconds=round(seconds, 1), device=speed.device)
    trained = list(zip(steps, outcomes, strict=True))
    about = {
        "trained": True,
        "recipe": training.recipe,
        "feature_maps": before.feature_maps,
        "n_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "n_scenes_seen": n_seen,
        "n_scenes_before": n_before,
        "seed": params.seed,
        "training": {step.name: describe_training(step.recipe, outcome) for step, outcome in trained},
    }
    return about, {step.name: outcome.progress.curve for step, outcome in trained}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", help="level_4 to level_256, or joint")
    arguments = parser.parse_args()
    run(lambda: main(arguments.net))
