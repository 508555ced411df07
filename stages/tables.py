"""Tables, plots and pictures from the metrics, and the README's block of tables."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.figures import (
    Example,
    draw_iou_over_clutter,
    draw_predictions,
    draw_task,
    list_examples,
    save_figure,
)
from oneshot.files import replacing
from oneshot.params import load_params
from oneshot.published import read_facts
from oneshot.scenes import CLUTTER_LEVELS
from oneshot.sets import read_set
from oneshot.tables import collect_segmentation, render_tables, replace_block
from stages.command import run
from stages.places import FIGURES, METRICS, PREDICTIONS, README, SCENES, TABLES

SHOWN_SPLIT = "test-one-shot"
EXAMPLES_A_LEVEL = 4


def main() -> None:
    params = load_params()
    metrics = read_metrics()
    results = collect_segmentation(read_facts("segmentation"), metrics)
    markdown = render_tables(results, params.scale_name)
    write(TABLES / "segmentation.csv", results.to_csv(index=False, lineterminator="\n"))
    write(TABLES / "segmentation.md", markdown)
    write(README, replace_block(README.read_text(encoding="utf-8"), "tables", markdown))

    examples = {level: read_examples(level) for level in CLUTTER_LEVELS}
    save_figure(draw_task([examples[level][0] for level in (4, 16, 64, 256)]), FIGURES / "task.png")
    shown = [example for level in CLUTTER_LEVELS for example in examples[level]]
    save_figure(draw_predictions(shown, EXAMPLES_A_LEVEL // 2), FIGURES / "predictions.png")
    save_figure(draw_iou_over_clutter(results), FIGURES / "iou_over_clutter.png")


def read_metrics() -> list[dict[str, Any]]:
    """What the stage evaluate wrote, in order of clutter level."""
    return [json.loads((METRICS / f"segmentation-{level}.json").read_text()) for level in CLUTTER_LEVELS]


def read_examples(clutter_level: int) -> list[Example]:
    """The first scenes of a level with the answers of its own net, or of the joint one where it has none."""
    scenes = read_set(SCENES, clutter_level, SHOWN_SPLIT, EXAMPLES_A_LEVEL)
    with np.load(PREDICTIONS / f"segmentation-{clutter_level}.npz") as arrays:
        for net in (f"level_{clutter_level}", "joint"):
            if f"{net}/{SHOWN_SPLIT}/masks" in arrays:
                masks, ious = arrays[f"{net}/{SHOWN_SPLIT}/masks"], arrays[f"{net}/{SHOWN_SPLIT}/iou"]
                return list_examples(clutter_level, scenes, masks[:EXAMPLES_A_LEVEL], ious.tolist())
    return list_examples(clutter_level, scenes, None, [])


def write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


if __name__ == "__main__":
    run(main)
