"""Put recorded classifiers, made here or on another machine, in their places under results/ and weights/."""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from oneshot.classify.weights import load_scorer
from oneshot.files import replacing
from oneshot.records.classification_answers import check_answers, load_answers
from oneshot.records.classification_run import (
    PREFIX,
    ClassifierFiles,
    ClassifierRecord,
    check_published,
    flat_files,
    load_record,
    released_files,
)
from oneshot.records.run import RecordError, check_revision
from stages.command import run
from stages.places import RESULTS, WEIGHTS
from stages.slices import read_whole

TOLD_BY_WEIGHTS = ("recipe", "n_parameters", "n_seen", "n_steps", "best_step", "seed")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.adopt_classifier", description=__doc__)
    parser.add_argument("folder", type=Path, help="what stages.record_classifier --out wrote into")
    parser.add_argument("--replace", action="store_true", help="a record that is there already")
    arguments = parser.parse_args(words)
    for record, places in adopt(arguments.folder, arguments.replace):
        print(f"{places.record}: {describe(record)}", file=sys.stderr)


def adopt(folder: Path, replace: bool = False) -> list[tuple[ClassifierRecord, ClassifierFiles]]:
    """Check every recorded classifier in a folder; only if all are in order put their files in place.

    Raises:
        RecordError, WeightsError: there is no record, a file is missing, damaged or of another run, it is not
            of the published drawings and lists, or a complete record is in its place already and not to be
            replaced.
    """
    found = sorted(folder.glob(f"{PREFIX}*.json"))
    if not found:
        raise RecordError(
            f"there is no recorded classifier in {folder}: python -m stages.record_classifier --out makes "
            "them."
        )
    adopted = []
    for path in found:
        record = load_record(path)
        files = flat_files(folder, record.name)
        places = released_files(RESULTS, WEIGHTS, record.name)
        check_record(record, path, files, places)
        check_weights(record, path, read_whole(files.weights))
        if not replace:
            refuse_to_replace(places.record)
        adopted.append((record, files, places))
    for _, files, places in adopted:
        # The record comes last: it vouches for the others.
        for name in ("weights", "scores", "curve", "record"):
            with replacing(getattr(places, name)) as file:
                file.write(read_whole(getattr(files, name)))
    return [(record, places) for record, _, places in adopted]


def refuse_to_replace(path: Path) -> None:
    """Raise RecordError if a complete record lies there."""
    if path.exists() and (there := load_record(path)).complete:
        raise RecordError(
            f"{path} is there already ({there.base or there.net}, {there.n_seen:,} pairs or episodes seen): "
            "say --replace, or keep this one elsewhere by --out."
        )


def check_record(
    record: ClassifierRecord, path: Path, files: ClassifierFiles, places: ClassifierFiles
) -> None:
    """Raise RecordError unless record, answers and curve are whole, belong together and may be kept."""
    if files.record != path:
        raise RecordError(
            f"{path} is the record of another run than it is named after ({files.record.name})."
        )
    check_revision(record.git_revision)
    check_published(record, str(path))
    check_answers(record, load_answers(files.scores), str(path))
    if not files.curve.is_file():
        raise RecordError(f"the training curve {files.curve} is missing: fetch it, or record the run again.")
    if record.weights.file != places.weights.as_posix():
        raise RecordError(f"{path} does not say that its weights belong at {places.weights}.")


def check_weights(record: ClassifierRecord, path: Path, content: bytes) -> None:
    """Raise RecordError or WeightsError unless these are the bytes of a record's weights, and of its run."""
    if (found := hashlib.sha256(content).hexdigest()) != record.weights.sha256:
        raise RecordError(
            f"the weights of {path} have the SHA-256 {found}, not {record.weights.sha256}, which it names: "
            "they were damaged, or are of another run."
        )
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "weights"
        whole.write_bytes(content)
        _, info = load_scorer(whole)
    said = {"net": info.net, "base": info.base} | {name: info.training.get(name) for name in TOLD_BY_WEIGHTS}
    for name, value in said.items():
        if value != getattr(record, name):
            raise RecordError(f"{path} says {name} {getattr(record, name)}, its weights say {value}.")


def describe(record: ClassifierRecord) -> str:
    """One line for people."""
    shares = {"validation": record.validation, "verification": record.verification, **record.accuracy}
    told = [f"{name} {100 * share.value:.2f} % (n={share.n:,})" for name, share in shares.items() if share]
    stopped = (
        "" if record.complete else f"; stopped after {record.n_steps:,} of {record.n_steps_planned:,} steps"
    )
    seen = "episodes" if record.n_episodes else "pairs"
    return f"{', '.join(told)}; {record.n_seen:,} {seen} seen; weights in {record.weights.precision}{stopped}"


if __name__ == "__main__":
    run(main)
