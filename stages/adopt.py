"""Put recorded runs, made here or on another machine, in their places under results/ and weights/."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from oneshot.files import replacing
from oneshot.records.run import (
    NetName,
    Record,
    RecordError,
    RecordFiles,
    check_revision,
    flat_files,
    load_record,
    released_files,
)
from oneshot.records.scene_scores import check_scores, load_scores
from oneshot.segment.answers import OWN
from oneshot.segment.weights import load_weights
from oneshot.training.tensors import file_sha256
from stages.command import run
from stages.places import RESULTS, WEIGHTS


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.adopt", description=__doc__)
    parser.add_argument("folder", type=Path, help="what stages.record --out wrote into")
    parser.add_argument(
        "--any-scenes", action="store_true", help="even if the test sets were not the published ones"
    )
    parser.add_argument("--replace", action="store_true", help="a record that is there already")
    arguments = parser.parse_args(words)
    for record, places in adopt(arguments.folder, arguments.any_scenes, arguments.replace):
        print(f"{places.record}: {describe(record)}", file=sys.stderr)


def adopt(folder: Path, any_scenes: bool = False, replace: bool = False) -> list[tuple[Record, RecordFiles]]:
    """Check every record in a folder; only if all are in order put their files in place.

    Raises:
        RecordError, WeightsError: there is no record, a file is missing, damaged or of another run, or a
            complete record is in its place already and not to be replaced.
    """
    found = sorted(path for net in get_args(NetName) for path in folder.glob(f"{net}-*.json"))
    if not found:
        raise RecordError(f"there is no recorded run in {folder}: python -m stages.record --out makes them.")
    adopted = []
    for path in found:
        record = load_record(path)
        files = flat_files(folder, record.net, record.recipe, record.name)
        places = released_files(RESULTS, WEIGHTS, record.net, record.recipe, record.name)
        check_record(record, path, files, places, any_scenes)
        if not replace:
            refuse_to_replace(places.record)
        adopted.append((record, files, places))
    for _, files, places in adopted:
        # The record comes last: it vouches for the others.
        for name in ("weights", "scores", "curve", "record"):
            with replacing(getattr(places, name)) as file:
                file.write(getattr(files, name).read_bytes())
    return [(record, places) for record, _, places in adopted]


def refuse_to_replace(path: Path) -> None:
    """Raise RecordError if a complete record lies there."""
    if path.exists() and (there := load_record(path)).complete:
        raise RecordError(
            f"{path} is there already ({there.feature_maps} feature maps, {there.n_scenes_seen:,} scenes): "
            "say --replace, or keep this one elsewhere by --out."
        )


def check_record(
    record: Record, path: Path, files: RecordFiles, places: RecordFiles, any_scenes: bool
) -> None:
    """Raise RecordError or WeightsError unless the four files of a run are whole and belong together."""
    if files.record != path:
        raise RecordError(
            f"{path} is the record of another run than it is named after ({files.record.name})."
        )
    if not record.name.split("-")[0] == str(record.clutter_level):
        raise RecordError(
            f"{path} calls itself {record.name!r}, but is of clutter level {record.clutter_level}."
        )
    check_revision(record.git_revision)
    if record.strange_sets and not any_scenes:
        raise RecordError(
            f"{path} was evaluated on other scenes than the published ones "
            f"({', '.join(record.strange_sets)}): "
            "it is no result to keep, unless you say --any-scenes."
        )
    check_scores(record, load_scores(files.scores) if record.scores else {}, str(path))
    if not files.curve.is_file():
        raise RecordError(f"the training curve {files.curve} is missing: fetch it, or record the run again.")
    if record.weights is None or record.weights.file != places.weights.as_posix():
        raise RecordError(f"{path} does not say that its weights belong at {places.weights}.")
    if (found := file_sha256(files.weights)) != record.weights.sha256:
        raise RecordError(
            f"{files.weights} has the SHA-256 {found}, not {record.weights.sha256}, which {path.name} names: "
            "it was damaged, or is of another run."
        )
    _, info = load_weights(files.weights)
    for name in ("net", "recipe", "feature_maps", "n_scenes_seen", "n_scenes_before"):
        if getattr(info, name) != getattr(record, name):
            raise RecordError(
                f"{path} says {name} {getattr(record, name)}, its weights say {getattr(info, name)}."
            )


def describe(record: Record) -> str:
    """One line for people: the network's own answer at every level."""
    levels = "; ".join(
        f"{level} characters: "
        + ", ".join(
            f"{split} IoU {100 * score.iou:.2f} %, "
            f"localisation {100 * score.localisation:.2f} % (n={score.n:,})"
            for split, score in answers[OWN].items()
        )
        for level, answers in record.scores.items()
    )
    stopped = [
        f"{training.name} stopped after {training.n_steps:,} of {training.n_steps_planned:,} steps"
        for training in record.training
        if not training.complete
    ]
    return "; ".join([levels, f"{record.n_scenes_seen:,} scenes seen", *stopped])


if __name__ == "__main__":
    run(main)
