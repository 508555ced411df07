"""Add scores to recorded segmentation runs, by their weights: of test sets and answers that came later."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from oneshot.omniglot.drawings import Drawings
from oneshot.params import SEGMENTATION, load_params
from oneshot.records.check import check_published, load_checked
from oneshot.records.recheck import compare_scenes
from oneshot.records.results import save_scores, summarise_segmentation
from oneshot.records.run import (
    RUN,
    SCORES,
    WEIGHTS,
    LaterScores,
    RecordError,
    Run,
    check_index,
    save_index,
    save_run,
)
from oneshot.records.segmentation_evaluator import is_choice, score_sets
from oneshot.segment.nets import NETS
from oneshot.training.speed import Speed, evaluation_speed
from oneshot.training.tensors import load_network
from stages.command import run as run_stage
from stages.places import RECORDED
from stages.record.data import find_drawings, render_levels
from stages.record.form import describe_place
from stages.record.plan import common_parser
from stages.record.revision import recorded_revision
from stages.record.run import CPU_BATCH_SIZE


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.record.rescore",
        parents=[common_parser(makes_record=False)],
        description=__doc__,
    )
    parser.add_argument("name", nargs="+", help=f"of a run under {RECORDED}/{SEGMENTATION}")
    arguments = parser.parse_args(words)
    params = load_params()
    speed = evaluation_speed(arguments.device or params.device)
    revision = recorded_revision(arguments.revision, arguments.allow_dirty)
    drawings, _ = find_drawings(arguments.drawings, params.scale, params.seed)
    for name in arguments.name:
        added = rescore(RECORDED / SEGMENTATION / name, drawings, speed, revision)
        print(f"{name}: {len(added)} sets of scores added", flush=True)


def rescore(folder: Path, drawings: Drawings, speed: Speed, revision: str) -> list[str]:
    """Score a run's weights on as many scenes as it has, and add the scores that it lacks; give their keys.

    Raises:
        RecordError: the scores that it has are others, or it is damaged, or of other scenes; nothing is
            written then.
    """
    check_index(folder.parent.parent)
    run, recorded = load_checked(folder)
    net, _ = load_network(folder / WEIGHTS, NETS)
    scores = dict(recorded)
    verdicts: dict[str, str] = {}
    for level in run.segmentation.levels:
        n_scenes = max(len(values) for key, values in recorded.items() if key.startswith(f"{level}/"))
        test_sets, of_level = render_levels(drawings, [level], n_scenes)
        found = score_sets(net, test_sets, speed=speed, batch_size=CPU_BATCH_SIZE)
        refuse_other_scores(run, recorded, found)
        scores |= {key: values for key, values in found.items() if key not in recorded}
        verdicts |= of_level
    added = sorted(scores.keys() - recorded.keys())
    if added:
        save_rescored(folder, run, scores, verdicts, describe_scoring(added, speed, revision))
    return added


def refuse_other_scores(
    run: Run, recorded: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> None:
    """Raise RecordError unless the scores that both have agree."""
    for key in found.keys() & recorded.keys():
        if key.endswith("/iou"):
            agreement = compare_scenes(found[key], recorded[key], chooses=is_choice(run.net, key))
            if not agreement.agrees:
                raise RecordError(
                    f"{key} of {run.name} lies {agreement.difference_points:+.2f} points from what was "
                    "recorded: nothing is added to the record."
                )


def describe_scoring(added: Sequence[str], speed: Speed, revision: str) -> LaterScores:
    place = {name: value for name, value in describe_place(speed).items() if name in LaterScores.model_fields}
    return LaterScores(scores=tuple(added), git_revision=revision, **place)


def save_rescored(
    folder: Path, run: Run, scores: Mapping[str, np.ndarray], verdicts: Mapping[str, str], later: LaterScores
) -> None:
    """Write the scores, then the record."""
    changed = Run.model_validate(
        run.model_dump()
        | {
            "body": run.segmentation.model_dump() | {"test_sets_as_published": verdicts},
            "figures": summarise_segmentation(scores),
            "scored_later": [*run.scored_later, later],
        }
    )
    check_published(changed, str(folder / RUN))
    save_scores(folder / SCORES, scores)
    save_run(folder, changed)
    save_index(folder.parent.parent)


if __name__ == "__main__":
    run_stage(main)
