"""Put recorded runs, made here or on another machine, in their places under recorded/.

Without a folder: list the records anew, after one was removed on purpose.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from oneshot.files import replacing
from oneshot.records.check import check_run
from oneshot.records.run import (
    CURVE,
    OWN_ANSWER,
    RUN,
    SCORES,
    WEIGHTS,
    RecordError,
    Run,
    check_index,
    load_run,
    save_index,
)
from stages.command import run as run_stage
from stages.places import RECORDED


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.record.adopt", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="*", help="what stages.record --out wrote into")
    parser.add_argument("--replace", action="store_true", help="a complete record that is there already")
    arguments = parser.parse_args(words)
    for folder in arguments.folder:
        run = adopt(folder, replace=arguments.replace)
        print(f"{place_of(run.task, run.name)}: {describe(run)}", file=sys.stderr)
    save_index(RECORDED)


def adopt(folder: Path, *, replace: bool = False) -> Run:
    """Check a recorded run; only if all of it is in order copy its files to their place.

    Raises:
        RecordError, WeightsError: a file is missing, damaged or of another run, the run is no result to keep,
            or a complete record is in its place already and not to be replaced.
    """
    check_index(RECORDED)
    run = check_run(folder)
    place = place_of(run.task, run.name)
    refuse_shared_name(place)
    if not replace:
        refuse_to_replace(place)
    for name in (WEIGHTS, SCORES, CURVE, RUN):  # the record last: it names the others
        with replacing(place / name) as file:
            file.write((folder / name).read_bytes())
    save_index(RECORDED)
    return run


def place_of(task: str, name: str) -> Path:
    return RECORDED / task / name


def refuse_to_replace(place: Path) -> None:
    """Raise RecordError if a complete record lies there."""
    if (place / RUN).exists() and (there := load_run(place)).complete:
        raise RecordError(
            f"{place} is there already ({there.n_parameters:,} parameters, {there.n_seen:,} scenes, pairs or "
            "episodes seen): say --replace, name this one otherwise by --name, or keep it elsewhere by --out."
        )


def refuse_shared_name(place: Path) -> None:
    """Raise RecordError if a record of the other task has this name, by which tables tell runs apart."""
    others = [path.parent for path in RECORDED.glob(f"*/{place.name}/{RUN}") if path.parent != place]
    if others:
        raise RecordError(f"{others[0]} has this name already: give another by --name.")


def describe(run: Run) -> str:
    """Sum a run up in one line."""
    if run.task == "segmentation":
        keys = [
            key for key in run.figures if key.split("/")[1::2] == [OWN_ANSWER, "iou"] and key.count("/") == 3
        ]
    else:
        keys = [key for key in run.figures if "rising-ways" not in key]
    figures = [f"{key} {100 * run.figures[key].value:.2f} % (n={run.figures[key].n:,})" for key in keys]
    stopped = [
        f"{training.name} stopped after {training.n_steps:,} of {training.n_steps_planned:,} steps"
        for training in run.trainings
        if not training.complete
    ]
    precision = run.weights.precision if run.weights else "nothing"
    return "; ".join([", ".join(figures), f"{run.n_seen:,} seen", f"weights in {precision}", *stopped])


if __name__ == "__main__":
    run_stage(main)
