"""Train one network for classification: Koch's siamese network by one of its recipes, or a ProtoNet."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from oneshot.errors import TrainingError
from oneshot.files import replacing
from oneshot.params import Classifiers, Params, load_params
from stages.command import run, stopping_on_signals
from stages.fingerprint import fingerprint
from stages.places import RUNS, net_folder
from stages.provenance import write_provenance
from stages.source import CLASSES_MANIFEST, is_own

KIND = "classification"
CURVE_FIELDS = ("step", "n_seen", "loss", "error")
NEEDS_DRAWERS = ("background",)


def main(net: str) -> None:
    params = load_params()
    folder = net_folder(KIND, net)
    folder.mkdir(parents=True, exist_ok=True)
    points: list[Any] = []
    if getattr(params.scale.classification.nets, net) is None:
        print(f"{net} is not trained at scale {params.scale_name}")
        about: dict[str, Any] = {"trained": False}
    elif net in NEEDS_DRAWERS and is_own(params):
        print(f"{net} splits images by their drawers: it is not trained on own images")
        about = {"trained": False}
    else:
        about, points = train_net(params, net, folder / "weights.safetensors")
    with replacing(folder / "about.json") as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())
    lines = [",".join(CURVE_FIELDS), *(write_point(point) for point in points)]
    with replacing(folder / "curve.csv") as file:
        file.write(("\n".join(lines) + "\n").encode())


def write_point(point: Any) -> str:
    values = (getattr(point, field) for field in CURVE_FIELDS)
    return ",".join("" if value is None else repr(value) for value in values)


def train_net(params: Params, net: str, weights: Path) -> tuple[dict[str, Any], list[Any]]:
    """Train, or go on from where a killed run of the same parameters, images and code was."""
    # Imported here, since torch takes seconds to load, which nets that are not trained need not wait for.
    from tqdm import tqdm

    from oneshot.classify.classifiers import (
        BACKGROUND,
        ClassifierPlan,
        build_net,
        choose_classifier_speed,
        describe_training,
        make_scorer,
        make_training,
        validation_error,
    )
    from oneshot.classify.training import fit_pairs
    from oneshot.classify.weights import save_scorer
    from stages.images import read_protocols

    scale = params.scale.classification
    training = getattr(scale.nets, net)
    plan = ClassifierPlan(net, scale.base, params.seed, training, params.classification.recipes)
    speed = choose_classifier_speed(params.device, params.speed, plan.recipe)
    protocols = read_protocols(params)
    network = build_net(plan, protocols)
    loss, feed, recipe = make_training(plan, network, protocols)
    scorer = make_scorer(network, speed)
    resolved = {
        "net": net,
        "base": plan.base,
        "training": training.model_dump(),
        "recipes": plan.recipes.model_dump(),
        "seed": plan.seed,
        "speed": repr(speed),
    }
    run_folder = RUNS / f"train-{net}" / fingerprint(resolved, CLASSES_MANIFEST)
    with stopping_on_signals() as stop, tqdm(total=training.n_epochs, desc=net, unit="epoch") as bar:

        def show(point: Any) -> None:
            bar.set_postfix(loss=f"{point.loss:.4f}", refresh=False)
            bar.update(point.n_seen // feed.n_epoch - bar.n)

        progress = fit_pairs(
            loss, feed, recipe, checkpoint=run_folder / "checkpoint.safetensors", n_epochs=training.n_epochs,
            validate=None if net == BACKGROUND else lambda: validation_error(scorer, protocols, plan.recipe),
            log_every=params.classification.log_every,
            checkpoint_seconds=params.classification.checkpoint_seconds, on_log=show, stop=stop, speed=speed,
        )  # fmt: skip
    if not progress.complete:
        raise TrainingError(
            f"training {net} was interrupted at step {progress.step:,} of {progress.n_steps:,}, which is "
            "saved: run the same command again to go on."
        )
    about = describe_training(plan, network, feed, progress)
    save_scorer(weights, network, about)
    shutil.rmtree(run_folder)
    write_provenance(f"train-{net}", seconds=round(progress.seconds, 1), device=speed.device)
    return {"trained": True} | about, progress.curve


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=list(Classifiers.model_fields))
    arguments = parser.parse_args()
    run(lambda: main(arguments.net))
