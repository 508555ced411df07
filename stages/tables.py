"""Tables, plots and pictures from the metrics, and the README's block of tables."""

import json
from typing import Any

import numpy as np

from oneshot.clutter.parts import read_set
from oneshot.params import load_params
from oneshot.published import CLUTTER_LEVELS, read_facts
from oneshot.records.run import read_records
from oneshot.report.caption import Shown, choose_shown, render_caption
from oneshot.report.curves import draw_iou_over_clutter, draw_oracles
from oneshot.report.figures import Example, draw_predictions, draw_task, list_examples, save_figure
from oneshot.report.page import replace_block
from oneshot.report.rows import SHOWN_SPLIT, collect_segmentation
from oneshot.report.runs import collect_runs
from oneshot.report.tables import render_tables
from stages.classification_tables import write_classification
from stages.command import run
from stages.places import FIGURES, METRICS, PREDICTIONS, README, RESULTS, SCENES, TABLES
from stages.written import write

EXAMPLES_A_LEVEL = 4


def main() -> None:
    params = load_params()
    published, records = read_facts("segmentation"), read_records(RESULTS)
    metrics, reevaluated = read_metrics("segmentation"), read_metrics("reevaluated")
    results = collect_segmentation(published, metrics, records, reevaluated)
    runs = collect_runs(published, records, reevaluated)
    synthetic = params.scale.source == "synthetic"
    markdown = render_tables(results, runs, published, params.scale_name, synthetic=synthetic)
    write(TABLES / "segmentation.csv", results.to_csv(index=False, lineterminator="\n"))
    write(TABLES / "recorded_runs.csv", runs.to_csv(index=False, lineterminator="\n"))
    write(TABLES / "segmentation.md", markdown)
    readme = replace_block(README.read_text(encoding="utf-8"), "tables", markdown)
    readme = replace_block(readme, "answers", render_caption(metrics, reevaluated))
    write(README, replace_block(readme, "classification", write_classification(params.scale_name)))

    shown = [choose_shown(*of_level) for of_level in zip(metrics, reevaluated, strict=True)]
    examples = dict(zip(CLUTTER_LEVELS, map(read_examples, CLUTTER_LEVELS, shown), strict=True))
    save_figure(draw_task([examples[level][0] for level in (4, 16, 64, 256)]), FIGURES / "task.png")
    pictures = [example for level in CLUTTER_LEVELS for example in examples[level]]
    save_figure(draw_predictions(pictures, EXAMPLES_A_LEVEL // 2), FIGURES / "predictions.png")
    save_figure(draw_iou_over_clutter(results), FIGURES / "iou_over_clutter.png")
    save_figure(draw_oracles(results), FIGURES / "oracles.png")


def read_metrics(name: str) -> list[dict[str, Any]]:
    """What the stages evaluate (segmentation) and reevaluate wrote, in order of clutter level."""
    return [json.loads((METRICS / f"{name}-{level}.json").read_text()) for level in CLUTTER_LEVELS]


def read_examples(clutter_level: int, shown: Shown | None) -> list[Example]:
    """The first scenes of a level with the answers of the chosen network, if there is one."""
    scenes = read_set(SCENES, clutter_level, SHOWN_SPLIT, EXAMPLES_A_LEVEL)
    if shown is None:
        return list_examples(clutter_level, scenes, None, [])
    with np.load(PREDICTIONS / f"{shown.stage}-{clutter_level}.npz") as arrays:
        masks, ious = (arrays[f"{shown.key}/{SHOWN_SPLIT}/{name}"] for name in ("masks", "iou"))
        return list_examples(clutter_level, scenes, masks[:EXAMPLES_A_LEVEL], ious.tolist())


if __name__ == "__main__":
    run(main)
