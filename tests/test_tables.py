"""Tables and pictures: every figure in a column of its own, and the README as the generator makes it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oneshot.figures import (
    colour,
    draw_iou_over_clutter,
    draw_predictions,
    draw_task,
    judge,
    list_examples,
    save_figure,
    spotlight,
)
from oneshot.published import read_facts
from oneshot.tables import CLUTTER_LEVELS, collect_segmentation, render_tables, replace_block, tabulate
from tests.conftest import ROOT
from tests.fake_scenes import fake_scenes

PUBLISHED = {"iou_percent": {"siamese_unet": {"test-one-shot": {"4": 97.1, "256": 38.4}}}}


def mean(value: float, n: int = 1000) -> dict[str, float]:
    return {"value": value, "low": value - 0.0125, "high": value + 0.02, "n": n}


def net(n_scenes_seen: int, iou: float, recipe: str = "fast") -> dict[str, Any]:
    values = {"iou": mean(iou), "localisation": mean(iou / 2)}
    return {
        "recipe": recipe, "feature_maps": 8, "n_scenes_seen": n_scenes_seen, "seed": 1803,
        "trained_on": "4, 8, 16",
        "test-train": values, "test-one-shot": values,
    }  # fmt: skip


@pytest.fixture
def metrics() -> list[dict[str, Any]]:
    """Levels 4 and 32: a joint net at both, a net of its own at level 4 alone."""
    ink = {split: {"iou": mean(0.25)} for split in ("test-train", "test-one-shot")}
    return [
        {"scale": "laptop", "clutter_level": 4, "all_ink": ink, "level_4": net(5000, 0.9, "published"),
         "joint": net(60000, 0.5)},
        {"scale": "laptop", "clutter_level": 32, "all_ink": ink, "joint": net(60000, 0.125)},
    ]  # fmt: skip


@pytest.fixture
def results(metrics: list[dict[str, Any]]) -> pd.DataFrame:
    return collect_segmentation(PUBLISHED, metrics)


INK = "every character marked"
OWN = "ours: a net for each level, recipe published, 8 feature maps, 5,000 training scenes"
JOINT = "ours: one net, trained on 4, 8, 16, recipe fast, 8 feature maps, 60,000 training scenes"


def test_every_way_of_obtaining_a_figure_has_a_column_of_its_own(results: pd.DataFrame) -> None:
    assert list(dict.fromkeys(results["column"])) == ["published", INK, OWN, JOINT]
    assert len(results) == 2 + 2 * 2 + 4 + 2 * 4


def test_a_table_shows_published_and_our_figures_with_intervals_and_dashes(results: pd.DataFrame) -> None:
    assert tabulate(results, "iou", "test-one-shot").splitlines() == [
        f"| characters | published | {INK} | {OWN} | {JOINT} |",
        "|---:|---:|---:|---:|---:|",
        "| 4 | 97.1 | 25.0 (23.8 to 27.0) | 90.0 (88.8 to 92.0) | 50.0 (48.8 to 52.0) |",
        "| 8 | – | – | – | – |",
        "| 16 | – | – | – | – |",
        "| 32 | – | 25.0 (23.8 to 27.0) | – | 12.5 (11.2 to 14.5) |",
        "| 64 | – | – | – | – |",
        "| 128 | – | – | – | – |",
        "| 256 | 38.4 | – | – | – |",
    ]


def test_a_column_without_any_figure_of_a_table_is_left_out_of_it(results: pd.DataFrame) -> None:
    known = tabulate(results, "localisation", "test-train")
    assert known.splitlines()[0] == f"| characters | {OWN} | {JOINT} |"
    assert "| 4 | 45.0 (43.8 to 47.0) | 25.0 (23.8 to 27.0) |" in known


def test_nets_that_saw_different_amounts_never_share_a_column(metrics: list[dict[str, Any]]) -> None:
    metrics[1]["joint"]["n_scenes_seen"] = 60001
    columns = set(collect_segmentation(PUBLISHED, metrics)["column"])
    assert {JOINT, JOINT.replace("60,000", "60,001")} <= columns


def test_all_tables_name_their_metric_split_scenes_and_scale(results: pd.DataFrame) -> None:
    text = render_tables(results, "laptop")
    titles = [line for line in text.splitlines() if line.startswith("**")]
    assert titles == [
        f"**{metric}, {title}** (`{split}`), in %, ours over n = 1,000 scenes a level"
        for metric in ("IoU", "localisation")
        for title, split in (("one-shot characters", "test-one-shot"), ("known characters", "test-train"))
    ]
    assert "at scale `laptop`" in text
    assert text.endswith(".\n")


def test_only_what_lies_between_the_comments_is_replaced() -> None:
    text = "above\n<!-- tables -->\nold\n<!-- /tables -->\nbelow <!-- other -->\n"
    once = replace_block(text, "tables", "new\n")
    assert once == "above\n<!-- tables -->\nnew\n<!-- /tables -->\nbelow <!-- other -->\n"
    assert replace_block(once, "tables", "new\n") == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- tables -->",
        "<!-- /tables -->",
        "<!-- /tables --> <!-- tables -->",
        "<!-- tables --> <!-- tables --> <!-- /tables -->",
        "<!-- tables --> <!-- /tables --> <!-- /tables -->",
        "<!-- figures --> <!-- /figures -->",
    ],
)
def test_a_text_without_one_whole_block_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no block between <!-- tables --> and <!-- /tables -->"):
        replace_block(text, "tables", "new")


def test_the_readme_has_a_block_for_the_tables() -> None:
    text = (ROOT / "README.md").read_text()
    assert replace_block(text, "tables", "") != ""


def test_the_readme_shows_what_the_generator_makes_of_the_committed_metrics() -> None:
    paths = [ROOT / f"metrics/segmentation-{level}.json" for level in CLUTTER_LEVELS]
    if not all(path.is_file() for path in paths):
        pytest.skip("the pipeline has not been run here")
    metrics = [json.loads(path.read_text()) for path in paths]
    assert len({entry["scale"] for entry in metrics}) == 1
    results = collect_segmentation(read_facts("segmentation"), metrics)
    markdown = render_tables(results, metrics[0]["scale"])
    text = (ROOT / "README.md").read_text()
    assert replace_block(text, "tables", markdown) == text
    assert (ROOT / "tables/segmentation.md").read_text() == markdown
    assert (ROOT / "tables/segmentation.csv").read_text() == results.to_csv(index=False, lineterminator="\n")


# -------------------------------------------------------------------------------------------------- pictures


def test_examples_carry_their_scenes_and_the_answers_where_there_are_any() -> None:
    scenes = fake_scenes(3, 4, seed=0)
    predicted = np.roll(scenes.masks, 1, axis=1)
    examples = list_examples(4, scenes, predicted, [0.1, 0.2, 0.3])
    assert [example.iou for example in examples] == [0.1, 0.2, 0.3]
    for n, example in enumerate(examples):
        assert example.clutter_level == 4
        assert np.array_equal(example.scene, scenes.images()[n])
        assert np.array_equal(example.target, scenes.targets()[n])
        assert np.array_equal(example.mask, scenes.masks[n])
        assert example.predicted is not None
        assert np.array_equal(example.predicted, predicted[n])
    assert [(e.predicted, e.iou) for e in list_examples(4, scenes, None, [])] == [(None, None)] * 3


def test_an_answer_is_green_where_right_red_where_wrong_and_yellow_where_missed() -> None:
    scenes = fake_scenes(1, 1, seed=0, size=32)
    predicted = np.roll(scenes.masks, 1, axis=2)
    (example,) = list_examples(1, scenes, predicted, [0.5])
    picture, truth, answer = judge(example), example.mask, predicted[0]
    for where, code in (
        (truth & answer, "#3ddc97"),
        (~truth & answer, "#ff5964"),
        (truth & ~answer, "#ffd23f"),
    ):
        assert where.any()
        assert (picture[where] == colour(code)).all()
    elsewhere = ~truth & ~answer
    assert np.array_equal(picture[elsewhere], (example.scene * 0.25).astype(np.uint8)[elsewhere])
    assert (spotlight(example.scene, truth)[truth] == colour("#ffd23f")).all()
    assert colour("#ff5964").tolist() == [255, 89, 100]


@pytest.mark.parametrize("name", ["task", "predictions", "predictions without answers", "iou"])
def test_a_picture_is_the_same_bytes_twice(name: str, results: pd.DataFrame, tmp_path: Path) -> None:
    scenes = fake_scenes(5, 4, seed=1)
    examples = list_examples(4, scenes, np.roll(scenes.masks, 2, axis=1), [0.1, 0.2, 0.3, 0.4, 0.5])
    for turn in ("first", "second"):
        figure = {
            "task": lambda: draw_task(examples[:3]),
            "predictions": lambda: draw_predictions(examples, 2),
            "predictions without answers": lambda: draw_predictions(list_examples(4, scenes, None, []), 3),
            "iou": lambda: draw_iou_over_clutter(results),
        }[name]()
        save_figure(figure, tmp_path / "new" / f"{turn}.png")
    first, second = ((tmp_path / "new" / f"{turn}.png").read_bytes() for turn in ("first", "second"))
    assert first == second
    with Image.open(tmp_path / "new" / "first.png") as picture:
        assert "Software" not in picture.info
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_the_curve_of_iou_has_a_line_for_every_column_and_split(results: pd.DataFrame) -> None:
    figure = draw_iou_over_clutter(results)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(labels) == {
        f"{column}; {split}"
        for column in (INK, OWN, JOINT)
        for split in ("one-shot characters", "known characters")
    } | {"published; one-shot characters"}
