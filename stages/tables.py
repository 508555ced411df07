"""Write tables, plots and pictures from the metrics, docs/results.md, and the README's blocks of results."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.benchmarks import draw_benchmark
from oneshot.errors import ManifestError, shorten
from oneshot.files import load_arrays, write_json, write_text
from oneshot.intervals import mean_of_hits
from oneshot.manifests import SEAL, read_sealed
from oneshot.omniglot.drawings import load_drawings
from oneshot.params import CLASSIFICATION, SEGMENTATION, load_params
from oneshot.published import CLUTTER_LEVELS, RISING_WAYS, read_facts
from oneshot.records.played import PlayedError, PlayedTrials, read_form, read_played
from oneshot.records.run import CURVE, OWN_ANSWER, Run, Task, read_runs
from oneshot.report.caption import Shown, choose_shown, render_caption
from oneshot.report.classification_tables import write_classification
from oneshot.report.costs import draw_costs
from oneshot.report.curves import draw_iou_over_clutter, draw_oracles, draw_rising_ways
from oneshot.report.figures import (
    Answer,
    Example,
    RankedGroups,
    draw_groups,
    draw_mistakes,
    draw_predictions,
    draw_task,
    save_figure,
)
from oneshot.report.headlines import (
    head_classification,
    head_segmentation,
    rank_networks,
    write_lead,
)
from oneshot.report.metrics import ClassificationMetrics, OfScale, RecheckedMetrics, SegmentationMetrics
from oneshot.report.page import replace_block, write_results
from oneshot.report.published_rows import COLOUR_MATCHER, NET_TITLES
from oneshot.report.rows import OMNIGLOT, Kind, choose, collect_rows
from oneshot.report.runs import collect_runs, write_ablation, write_runs, write_trained
from oneshot.report.segmentation_tables import SHOWN_SPLIT, write_segmentation
from oneshot.report.summary import summarise_networks
from stages.command import run
from stages.places import (
    DRAWINGS,
    FIGURES,
    METRICS,
    PLAYED,
    PREDICTIONS,
    RAW,
    README,
    RECORDED,
    TABLES,
)

FACT_FILES: dict[Task, str] = {"segmentation": "segmentation", "classification": "koch"}
PAGE = Path("docs/results.md")
SUMMARY = METRICS / "summary"
EXAMPLES_A_LEVEL = 2
GROUP_ARRAYS = ("scene", "target", "crops", "scores", "is_target")
METRICS_FORMS: dict[Task, type[OfScale]] = {
    "segmentation": SegmentationMetrics, "classification": ClassificationMetrics,
}  # fmt: skip
EVALUATE_AGAIN = "run the stages evaluate and recheck again"
MISTAKE_FILES = {Kind.RECORDED: "rechecked-classification", Kind.HERE: CLASSIFICATION}


def main() -> None:
    params = load_params()
    rows: dict[str, pd.DataFrame] = {}
    metrics: dict[str, Any] = {}
    recorded: dict[str, list[Run]] = {}
    runs = []
    for task in FACT_FILES:
        rows[task], metrics[task], rechecked, recorded[task] = read_task(task, params.scale_name)
        runs.append(collect_runs(recorded[task], rechecked))
        percents = rows[task].rename(columns={"value": "percent"})  # for DVC's plots
        for name in ("percent", "low", "high"):
            percents[name] = 100 * percents[name].astype(float)
        write_text(TABLES / f"{task}.csv", to_csv(percents.dropna(axis=1, how="all")))
    table = pd.concat([found for found in runs if not found.empty] or runs)
    shown = {level: choose_shown(rows[SEGMENTATION], level) for level in CLUTTER_LEVELS}
    write_text(TABLES / "recorded_runs.csv", to_csv(table))
    write_text(TABLES / "rising_ways.csv", spread_rising_ways(rows[CLASSIFICATION]))
    segmentation = write_trained(rows[SEGMENTATION])
    segmentation += write_segmentation(rows[SEGMENTATION], read_facts("segmentation"))
    classification = write_trained(rows[CLASSIFICATION])
    classification += write_classification(rows[CLASSIFICATION], metrics[CLASSIFICATION], read_facts("koch"))
    classification += write_ablation(recorded[CLASSIFICATION])
    about = {"scale": params.scale_name, "synthetic": params.scale.source == "synthetic"}
    write_text(
        PAGE, write_results(segmentation, classification, write_runs(table), render_caption(shown), about)
    )
    readme = README.read_text(encoding="utf-8")
    blocks = {
        "results": write_lead(rows[SEGMENTATION], rows[CLASSIFICATION], params.scale_name),
        SEGMENTATION: head_segmentation(rows[SEGMENTATION]).write(),
        CLASSIFICATION: head_classification(rows[CLASSIFICATION]).write(),
    }
    for name, block in blocks.items():
        readme = replace_block(readme, name, block)
    write_text(README, readme)
    write_summary(rows)
    draw(rows, shown, params.scale_name, [run for of_task in recorded.values() for run in of_task])


def read_task(task: Task, scale: str) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any], list[Run]]:
    """Read all figures of a task, as rows; the metrics of evaluate and of recheck; and the recorded runs."""
    metrics = read_metrics(task, METRICS_FORMS[task], scale)
    rechecked = read_metrics(f"rechecked-{task}", RecheckedMetrics, scale)
    runs = read_runs(RECORDED, task)
    is_omniglot = task == CLASSIFICATION and metrics["source"] == OMNIGLOT
    players = read_players(PLAYED) if is_omniglot else {}
    rows = collect_rows(task, read_facts(FACT_FILES[task]), metrics, rechecked, runs, players)
    return rows, metrics, rechecked, runs


def read_players(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Read answers that people saved on the page of `oneshot play`: figures by who and benchmark.

    Raises:
        PlayedError: a file is damaged, of other trials, not counted right, or has no name for a table.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", path.stem):
            raise PlayedError(f"the name of {path} may hold letters, digits, _ . and -.")
        played = read_saved(path)
        right = np.arange(len(played.answers)) < played.n_right
        found[path.stem] = {played.protocol: asdict(mean_of_hits(right))}
    return found


def read_saved(path: Path) -> PlayedTrials:
    """Read a file of answers, and count them anew by the list of trials that it names."""
    protocol = read_form(path).protocol
    if protocol == "all_runs":
        return read_played(path, read_all_runs(RAW / "all_runs.zip")[1])
    if protocol == "within-alphabet":
        return read_played(path, draw_benchmark(protocol, load_drawings(DRAWINGS))[0])
    raise PlayedError(f"{path} has answers to {shorten(protocol)}: the page shows no such trials.")


def read_metrics(name: str, form: type[OfScale], scale: str) -> dict[str, Any]:
    """Read what the stages evaluate and recheck wrote at a scale.

    Raises:
        ManifestError: it is missing, damaged, was changed, or is of another scale.
    """
    path = METRICS / f"{name}.json"
    metrics = read_sealed(path, form, EVALUATE_AGAIN)
    if metrics.scale != scale:
        raise ManifestError(f"{path} is of scale {metrics.scale}, not of {scale}: {EVALUATE_AGAIN}.")
    return metrics.model_dump(exclude={SEAL})


def read_predictions(name: str, keys: list[str] | None = None) -> dict[str, np.ndarray]:
    """Read all or some of what the stages evaluate and recheck kept for the pictures."""
    return load_arrays(PREDICTIONS / f"{name}.npz", EVALUATE_AGAIN, keys=keys)


def write_summary(rows: dict[str, pd.DataFrame]) -> None:
    """Write metrics/summary: a file for each line of `dvc metrics show`, and none of an earlier time."""
    shutil.rmtree(SUMMARY, ignore_errors=True)
    SUMMARY.mkdir(parents=True)
    for of_task in rows.values():
        for place, values in summarise_networks(of_task).items():
            write_json(SUMMARY / f"{place}.json", values)


def spread_rising_ways(rows: pd.DataFrame) -> str:
    """Write a column for every line of accuracy over N, such as own_evaluation, as DVC's plots want them."""
    points = choose(rows, benchmark=[*RISING_WAYS], kind=Kind.HERE)
    names = [
        f"{network}_{RISING_WAYS[benchmark]}"
        for network, benchmark in zip(points["network"], points["benchmark"], strict=True)
    ]
    points = points.assign(line=names, percent=100 * points["value"].astype(float))
    table = points.pivot(index="n_way", columns="line", values="percent")
    return str(table.to_csv(lineterminator="\n", float_format="%.6g"))


def to_csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def draw(
    rows: dict[str, pd.DataFrame], shown: dict[int, dict[str, Shown]], scale: str, runs: Sequence[Run]
) -> None:
    """Draw all pictures into figures/."""
    examples = {level: read_examples(level, shown[level], scale) for level in CLUTTER_LEVELS}
    save_figure(draw_task([examples[level][0] for level in (4, 16, 64, 256)]), FIGURES / "task.png")
    pictures = [example for of_level in examples.values() for example in of_level]
    save_figure(draw_predictions(pictures, EXAMPLES_A_LEVEL), FIGURES / "predictions.png")
    save_figure(draw_groups(read_groups(shown)), FIGURES / "groups.png")
    save_figure(draw_iou_over_clutter(rows[SEGMENTATION]), FIGURES / "iou_over_clutter.png")
    save_figure(draw_oracles(rows[SEGMENTATION]), FIGURES / "oracles.png")
    save_figure(draw_rising_ways(rows[CLASSIFICATION]), FIGURES / "rising_ways.png")
    curves = {run.name: RECORDED / run.task / run.name / CURVE for run in runs}
    found = {name: pd.read_csv(path) for name, path in curves.items() if path.is_file()}
    save_figure(draw_costs(rows[SEGMENTATION], rows[CLASSIFICATION], runs, found), FIGURES / "costs.png")
    save_figure(draw_mistakes(read_mistakes(rows[CLASSIFICATION])), FIGURES / "mistakes.png")


def read_examples(clutter_level: int, shown: Mapping[str, Shown], scale: str) -> list[Example]:
    """Read the first scenes of a level with the answers of the chosen networks."""
    from stages.rendered import read_rendered, read_sets_manifest  # loads numba, which takes a second

    rendered = read_sets_manifest(clutter_level, scale)
    scenes = read_rendered(rendered, clutter_level, SHOWN_SPLIT, EXAMPLES_A_LEVEL)
    answers: list[dict[str, Answer]] = [{} for _ in range(len(scenes))]
    for title, one in shown.items():
        keys = [f"{one.key}/{SHOWN_SPLIT}/{name}" for name in ("masks", "iou")]
        masks, ious = read_predictions(one.file, keys).values()
        for place, of_scene in enumerate(answers):
            of_scene[title] = Answer(masks[place], float(ious[place]))
    found = zip(scenes.images(), scenes.targets(), scenes.masks, answers, strict=True)
    return [Example(clutter_level, *of_scene) for of_scene in found]


def read_groups(shown: Mapping[int, Mapping[str, Shown]]) -> list[RankedGroups]:
    """Read the groups that the colour matcher ranked in one scene of every level, if there is one."""
    ranked = []
    for level in CLUTTER_LEVELS:
        one = shown[level].get(NET_TITLES[COLOUR_MATCHER])
        if one is None:
            continue
        place = f"{one.key.removesuffix(OWN_ANSWER)}groups/{SHOWN_SPLIT}"
        arrays = read_predictions(one.file, [f"{place}/{name}" for name in GROUP_ARRAYS])
        ranked.append(RankedGroups(level, *arrays.values()))
    return ranked


def read_mistakes(rows: pd.DataFrame) -> np.ndarray:
    """Read wrong answers of the classifier that is best on the validation trials, recorded ones first."""
    for kind, file in MISTAKE_FILES.items():
        arrays = read_predictions(file)
        for name in rank_networks(choose(rows, kind=kind, further=False)):
            if f"{name}/mistakes" in arrays:
                return arrays[f"{name}/mistakes"]
    return np.zeros((0, 3, 1, 1), np.uint8)


if __name__ == "__main__":
    run(main, __doc__)
