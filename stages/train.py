"""Train one network: TASK is segmentation or classification, NAME its section of params.yaml.

Its weights, about.json and curve.csv are written; or that it is not trained.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oneshot.errors import TrainingError
from oneshot.files import write_text
from oneshot.manifests import write_sealed
from oneshot.params import BACKGROUND, CLASSIFICATION, SEGMENTATION, Params, load_params
from stages.command import alone_in, run, stopping_on_signals
from stages.fingerprint import fingerprint
from stages.places import RUNS, about_of, net_folder, weights_of
from stages.provenance import write_provenance
from stages.source import check_drawings, check_trained, is_own

POINT_FIELDS = ("step", "n_seen", "loss", "lr", "error")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=(SEGMENTATION, CLASSIFICATION))
    parser.add_argument("name")
    arguments = parser.parse_args(words)
    task, name, params = arguments.task, arguments.name, load_params()
    about: dict[str, Any] = {"task": task, "name": name, "scale": params.scale_name, "trained": False}
    if params.amount_of(task, name) is None:
        print(f"{name} is not trained at scale {params.scale_name}")
    elif task == CLASSIFICATION and is_own(params) and params.find_network(task, name).recipe == BACKGROUND:
        print(f"{name} splits images by their drawers: it is not trained on own images")
    else:
        train_to_the_end(params, task, name, about)
        return
    write_about(task, name, about, ())


def write_about(task: str, name: str, about: dict[str, Any], trainings: Sequence[Any]) -> None:
    """Write about.json and curve.csv: the points of every training, deterministic fields only."""
    write_sealed(about_of(task, name), about)
    lines = [",".join(("training", *POINT_FIELDS))]
    for training in trainings:
        for point in training.curve:
            values = (getattr(point, field) for field in POINT_FIELDS)
            lines.append(",".join([training.name, *("" if v is None else repr(v) for v in values)]))
    write_text(net_folder(task, name) / "curve.csv", "\n".join(lines) + "\n")


def train_to_the_end(params: Params, task: str, name: str, about: dict[str, Any]) -> None:
    """Train, or go on from where a killed run of the same parameters, images and code was; write the result.

    Raises:
        TrainingError: there are no weights to start from, or the run was interrupted.
    """
    # Imported here, since torch takes seconds to load, which networks that are not trained need not wait for.
    from tqdm import tqdm

    from oneshot.training.plan import describe_trained
    from oneshot.training.tensors import file_sha256, save_network

    plan, data, speed, start = prepare(params, task, name)
    weights_before = {name: file_sha256(path) for name, path in start.items() if path.is_file()}
    resolved = plan.identity | {"speed": repr(speed)} | weights_before
    run_folder = RUNS / f"train-{name}" / fingerprint(task, resolved)
    with alone_in(run_folder):
        with (
            stopping_on_signals() as stop,
            tqdm(total=plan.n_planned, desc=f"{name}, {plan.recipe}", unit="seen", smoothing=0.05) as bar,
        ):
            seen: dict[str, int] = {}

            def show(training: str, point: Any) -> None:
                seen[training] = point.n_seen
                bar.set_postfix(training=training, loss=f"{point.loss:.4f}", refresh=False)
                bar.update(sum(seen.values()) - bar.n)

            trained = find_task(task).train(
                plan, data, folder=run_folder, on_log=show, stop=stop, speed=speed, **start
            )
        if not trained.complete:
            last = trained.trainings[-1]
            raise TrainingError(
                f"training {name} was interrupted at step {last.n_steps:,} of {last.n_steps_planned:,} "
                f"({last.name}), which is saved: run the same command again to go on."
            )
        weights = weights_of(task, name)
        save_network(weights, trained.net, trained.info)
        about |= (
            {"trained": True} | describe_trained(plan, trained) | {"weights_sha256": file_sha256(weights)}
        )
        write_about(task, name, about, trained.trainings)
        seconds = sum(training.seconds for training in trained.trainings)
        write_provenance(f"train-{name}", seconds=round(seconds, 1), device=speed.device, speed=speed.name)
        shutil.rmtree(run_folder)  # last: until all is written, the same command goes on from it


def find_task(task: str) -> Any:
    """Give the module that plans and trains a task's networks."""
    if task == SEGMENTATION:
        from oneshot.segment import training as segmentation

        return segmentation
    from oneshot.classify import training as classification

    return classification


def prepare(params: Params, task: str, name: str) -> tuple[Any, Any, Any, dict[str, Path]]:
    """Give the plan, what it trains on, how it runs, and the weights that it starts from, if any."""
    from oneshot.training.speed import choose_speed

    module = find_task(task)
    plan = module.plan_training(params, name)
    if task == CLASSIFICATION:
        from stages.images import read_protocols

        return plan, read_protocols(params), module.choose_plan_speed(params.device, params.speed, plan), {}
    from oneshot.segment.training_set import TrainingSet

    start = {}
    if plan.starts_from is not None:
        start["start"] = weights_of(task, plan.starts_from)
        if start["start"].exists():
            check_trained(task, plan.starts_from, params.scale_name)
    return plan, TrainingSet(check_drawings()), choose_speed(params.device, params.speed), start


if __name__ == "__main__":
    run(main)
