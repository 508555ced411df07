"""Search the numbers that the paper does not tell: recipe published, tried for a share of the time each.

Tried ones are kept in a table, which the same command goes on with; the last line says which did best on the
validation trials.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from oneshot.classify.classifiers import (
    ClassifierPlan,
    build_net,
    choose_classifier_speed,
    make_scorer,
    make_training,
    validation_error,
)
from oneshot.classify.koch_search import PARTS, Trial, draw_trial
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.training import fit_pairs
from oneshot.errors import ParameterError, TrainingError
from oneshot.files import replacing
from oneshot.params import Classifiers, load_params
from oneshot.training.speed import Speed
from stages.command import run
from stages.places import RESULTS
from stages.record_data import find_drawings
from stages.record_plan import find_scale

PAIR_NETS = tuple(name for name in Classifiers.model_fields if name.startswith("pairs_"))
TABLE = RESULTS / "classification" / "search-published.csv"


def main(words: Sequence[str] | None = None) -> None:
    arguments = build_parser().parse_args(words)
    started = time.monotonic()
    params = load_params()
    scale = find_scale(params, arguments.scale)
    training = getattr(scale.classification.nets, arguments.net)
    if training is None:
        raise ParameterError(f"scale {arguments.scale!r} does not train {arguments.net}.")
    drawings, _ = find_drawings(arguments.drawings, scale, params.seed)
    protocols = find_protocols(drawings, params.other_images)
    base = arguments.base or scale.classification.base
    plan = ClassifierPlan(arguments.net, base, params.seed, training, params.classification.recipes)
    speed = choose_classifier_speed(
        arguments.device or params.device, arguments.speed or params.speed, plan.recipe
    )
    conditions = {
        "net": plan.name, "base": base, "scale": arguments.scale, "seed": params.seed,
        "minutes": arguments.minutes, "trials": arguments.trials,
    }  # fmt: skip
    rows = read_rows(arguments.out, conditions)
    n_layers = len(plan.recipes.published.lrs)
    left = [n for n in range(arguments.trials) if all(row["trial"] != n for row in rows)]
    for place, number in enumerate(left):
        seconds = (60 * arguments.minutes - (time.monotonic() - started)) / (len(left) - place)
        tried = try_out(plan, draw_trial(params.seed, number, n_layers), protocols, speed, seconds)
        rows.append({**conditions, **tried.row()})
        write(arguments.out, rows)
        say(f"trial {number}: {describe_error(tried.error)} after {tried.n_seen:,} pairs")
    say(describe_best(rows))


def try_out(plan: ClassifierPlan, trial: Trial, protocols: Protocols, speed: Speed, seconds: float) -> Trial:
    """Train for so long, and keep the best validation error. A diverged training has none."""
    numbers = {part: getattr(trial, part) for part in PARTS} | {"patience": None}
    recipes = plan.recipes.model_copy(update={"published": plan.recipes.published.model_copy(update=numbers)})
    plan = replace(plan, recipes=recipes)
    net = build_net(plan, protocols)
    loss, feed, recipe = make_training(plan, net, protocols)
    scorer = make_scorer(net, speed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            progress = fit_pairs(
                loss, feed, recipe, checkpoint=Path(folder) / "run", n_epochs=plan.training.n_epochs,
                seconds=seconds, validate=lambda: validation_error(scorer, protocols, plan.recipe),
                checkpoint_seconds=float("inf"), speed=speed,
            )  # fmt: skip
        except TrainingError as error:
            if "diverged" not in str(error):
                raise
            return trial
    return replace(trial, n_seen=progress.step * feed.batch_size, error=progress.best_error)


def read_rows(path: Path, conditions: Mapping[str, Any]) -> list[dict[Any, Any]]:
    """What the same search has tried already.

    Raises:
        ParameterError: the table is of another search.
    """
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    for name, value in conditions.items():
        if found := [row[name] for row in rows if row[name] != value]:
            raise ParameterError(
                f"{path} is of another search ({name} {found[0]}, not {value}): name another table by --out."
            )
    return rows


def write(path: Path, rows: list[dict[Any, Any]]) -> None:
    with replacing(path) as file:
        file.write(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())


def describe_error(error: float | None) -> str:
    return "diverged" if pd.isna(error) else f"validation error {100 * float(error or 0):.1f} %"


def describe_best(rows: list[dict[Any, Any]]) -> str:
    """The best trial's numbers, as options of stages.record_classifier."""
    whole = [row for row in rows if not pd.isna(row["validation_error"])]
    if not whole:
        return f"all {len(rows)} trials diverged"
    best = min(whole, key=lambda row: row["validation_error"])
    options = [
        " ".join([f"--{part}", *(f"{best[key]:g}" for key in best if str(key).startswith(f"{part}_"))])
        for part in PARTS
    ]
    return f"best of {len(rows)}, {describe_error(best['validation_error'])}: {' '.join(options)}"


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.search_published", description=__doc__)
    parser.add_argument("net", choices=PAIR_NETS, help="which of table 1's trainings")
    parser.add_argument("--minutes", type=float, required=True, help="for all trials together")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--base", help="of the siamese network (default: the scale's)")
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--drawings", type=Path, metavar="FILE")
    parser.add_argument("--device")
    parser.add_argument("--speed")
    parser.add_argument("--out", type=Path, default=TABLE, metavar="FILE", help="the table of tried numbers")
    return parser


if __name__ == "__main__":
    run(main)
