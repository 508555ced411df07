"""Write report.html: tables, charts, scenes, trials and the origin of every figure in one page."""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oneshot.errors import ParameterError, shorten
from oneshot.files import write_text
from oneshot.params import CLASSIFICATION, SEGMENTATION, Params, load_params
from oneshot.published import CLUTTER_LEVELS, COVERED_SPLITS, find_split
from oneshot.records.run import OWN_ANSWER, Run
from oneshot.report.caption import FILES
from oneshot.report.headlines import head_classification, head_segmentation
from oneshot.report.interactive import (
    ALL_SPLITS,
    Change,
    chart_iou,
    chart_training,
    chart_ways,
    describe_answers,
    describe_trials,
    encode_answers,
    encode_colours,
    list_origins,
    render_report,
)
from oneshot.report.published_rows import NETWORK_TITLES
from oneshot.report.rows import Kind, is_further
from stages.command import run
from stages.places import METRICS, RECORDED
from stages.tables import FACT_FILES, SUMMARY, read_predictions, read_task

REPORT = Path("report.html")
COMPARED = Path("report-compared.html")
N_SCENES_SHOWN = 8  # scenes of a set: those whose masks are kept
N_COVERED_READ = 12  # scenes: of some, nothing of the target is visible
EPISODE_STEP = 5  # every fifth episode within alphabets, each of one alphabet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.report", description=__doc__)
    parser.add_argument(
        "--compare",
        metavar="REV",
        help=f"write {COMPARED}, which also says what changed since a revision",
    )
    revision = parser.parse_args().compare
    changes = None if revision is None else list_changes(revision)
    params = load_params()
    data: dict[str, Any] = {"origins": {}}
    rows: dict[str, pd.DataFrame] = {}
    runs: dict[str, list[Run]] = {}
    for task in FACT_FILES:
        rows[task], _, _, runs[task] = read_task(task, params.scale_name)
        commands = list_commands(runs[task])
        names = [str(name) for name in rows[task]["network"].dropna().unique()]
        data["origins"] |= list_origins(task, rows[task], runs[task], commands, read_provenance(names))
    charts = {
        "iou": chart_iou(rows[SEGMENTATION]),
        "ways": chart_ways(rows[CLASSIFICATION]),
        "training": chart_training([*runs[SEGMENTATION], *runs[CLASSIFICATION]], RECORDED),
    }
    data |= {name: chart for name, chart in charts.items() if chart["views"]}
    data["scenes"] = show_scenes(params.scale_name)
    data["trials"] = show_trials(params, runs[CLASSIFICATION])
    data["runs"] = [f"{Kind.RECORDED}/{run.name}" for of_task in runs.values() for run in of_task]
    data["runs"] = [name for name in data["runs"] if name in data["origins"]]
    headlines = {
        "Segmentation": head_segmentation(rows[SEGMENTATION]),
        "Classification": head_classification(rows[CLASSIFICATION]),
    }
    page = render_report(data, headlines, params.scale_name, revision or "", changes)
    write_text(REPORT if revision is None else COMPARED, page)


def list_changes(revision: str) -> list[Change]:
    """List the figures of the summary that differ from a revision's: network, what, there and here.

    Raises:
        ParameterError: DVC knows no such revision, or this is no checkout.
    """
    command = [sys.executable, "-m", "dvc", "metrics", "diff", "--json", "--precision", "6", "--", revision]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = shorten(" ".join(done.stderr.split()).removeprefix("ERROR: "))
        raise ParameterError(f"the figures of {revision!r} cannot be had: {said}")
    changes = []
    for path, values in sorted(json.loads(done.stdout).items()):
        if Path(path).is_relative_to(SUMMARY):
            of = Path(path).relative_to(SUMMARY)
            for metric, change in values.items():
                what = f"{of.stem.lstrip('0')}, {metric}"
                changes.append((of.parent.as_posix(), what, change.get("old"), change.get("new")))
    return changes


def read_provenance(names: list[str]) -> dict[str, dict[str, Any]]:
    """Read where networks were trained, as far as that is known; the figures do not depend on it."""
    paths = {name: METRICS / "provenance" / f"train-{name}.json" for name in names}
    found = {}
    for name, path in paths.items():
        with suppress(OSError, ValueError):
            found[name] = json.loads(path.read_text("utf-8"))
    return found


def list_commands(runs: list[Run]) -> dict[str, str]:
    """List the commands of recorded/wanted.yaml that record runs, with these runs' minutes and speed."""
    from stages.record.plan import WANTED, name_wanted

    minutes = {run.name: run.budget_minutes for run in runs}
    speeds = {run.name: ",".join(run.speed) or "plain" for run in runs}
    commands: dict[str, str] = {}
    if not WANTED.is_file():
        return commands
    for words, _, name in [*name_wanted("gpu"), *name_wanted("cpu")]:
        if minutes.get(name) is None:  # not recorded, or not under a limit as is listed
            continue
        place = words.index("--minutes") if "--minutes" in words else len(words)
        words[place : place + 2] = ["--minutes", f"{minutes[name]:g}"]
        if not any(word.startswith("speed=") for word in words):
            words += ["--speed", speeds[name]]
        commands[name] = f"python -m stages.record {shlex.join(words)}"
    return commands


def show_scenes(scale: str) -> dict[str, Any]:
    """Collect the first scenes of every test set, and the answers whose masks were kept."""
    from oneshot.clutter.scenes import keep_visible, split_recipe
    from stages.rendered import read_rendered, read_sets_manifest

    predictions = {kind: read_predictions(file) for kind, file in FILES.items()}
    sets: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for level in CLUTTER_LEVELS:
        rendered = read_sets_manifest(level, scale)
        for split in ALL_SPLITS:
            n = min(N_COVERED_READ, rendered[split].n_scenes)
            scenes = read_rendered(rendered, level, split, n)
            if split in COVERED_SPLITS:
                scenes = keep_visible(scenes, split_recipe(find_split(split), level))
            scenes = scenes[:N_SCENES_SHOWN]
            found = dict(find_answers(predictions, f"{level}", split, scenes.masks))
            if not found:
                continue
            answers |= {f"{name}/{level}/{split}": one for name, one in found.items()}
            sets[f"{level}/{split}"] = {
                "scenes": [encode_colours(image) for image in scenes.images()],
                "targets": [encode_colours(image) for image in scenes.targets()],
                "truth": encode_answers(np.zeros_like(scenes.masks), scenes.masks),
            }
    if not sets:
        return {}
    return {"levels": CLUTTER_LEVELS, "splits": ALL_SPLITS, "sets": sets, "answers": answers}


def find_answers(
    predictions: dict[Kind, dict[str, np.ndarray]], level: str, split: str, masks: np.ndarray
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Describe the answers of the networks whose masks of a test set were kept, recorded ones first."""
    end = f"/{level}/{OWN_ANSWER}/{split}"
    for kind, arrays in predictions.items():
        for key in arrays:
            if key.endswith(f"{end}/masks") and not is_further(name := key.removesuffix(f"{end}/masks")):
                words = "trained here" if kind == Kind.HERE else "recorded"
                described = describe_answers(masks, arrays, f"{name}{end}", f"{name}/{level}/groups/{split}")
                yield f"{name}, {words}", described


def show_trials(params: Params, runs: list[Run]) -> dict[str, Any]:
    """Let the classifiers answer some trials within alphabets: recorded ones, trained ones, a baseline."""
    from oneshot.classify.baselines import make_baselines
    from oneshot.classify.scoring import NetworkScorer, score_queries
    from oneshot.training.speed import evaluation_speed
    from stages.evaluate import load_trained, read_trained
    from stages.images import read_protocols
    from stages.recheck import load_recorded

    speed = evaluation_speed(params.device)
    protocols = read_protocols(params)
    episodes = next(iter(protocols.lists.values()))()[0]
    numbers = episodes.needed()
    episodes = episodes.renumbered(numbers)
    support, queries, answers = (
        array[::EPISODE_STEP] for array in (episodes.support, episodes.queries, episodes.answers)
    )
    used = np.unique(np.concatenate([support.ravel(), queries.ravel()]))
    support, queries = np.searchsorted(used, support), np.searchsorted(used, queries)
    images = protocols.unpack(numbers[used])
    scorers: dict[str, Any] = {}
    if protocols.source == "omniglot":
        shown = [one for one in runs if not is_further(one.name)]
        scorers = {f"{one.name}, recorded": NetworkScorer(load_recorded(one)[0], speed) for one in shown}
    for name in read_trained(params, CLASSIFICATION):
        scorers[f"{name}, trained here"] = NetworkScorer(load_trained(CLASSIFICATION, name), speed)
    baseline = "euclidean_centred"
    scorers[NETWORK_TITLES[baseline]] = make_baselines(params.seed)[baseline]
    choices = {}
    for name, scorer in scorers.items():
        codes = scorer.encode(images)
        choices[name] = np.stack([
            score_queries(scorer, codes[asked], codes[shown], episodes.n_way, episodes.n_shot).argmax(1).cpu()
            for shown, asked in zip(support, queries, strict=True)
        ])  # fmt: skip
    return describe_trials(images, support[:, :: episodes.n_shot], queries, answers, choices)


if __name__ == "__main__":
    run(main)
