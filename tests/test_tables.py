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
from oneshot.params import load_params
from oneshot.published import read_facts
from oneshot.records import Record, read_records
from oneshot.results import CLUTTER_LEVELS, Shown, choose_shown, collect_runs, collect_segmentation
from oneshot.tables import render_caption, render_tables, replace_block, tabulate
from tests.conftest import ROOT
from tests.fake_records import fake_record, fake_scores
from tests.fake_scenes import fake_scenes

PUBLISHED = {
    "iou_percent": {"siamese_unet": {"test-one-shot": {"4": 97.1, "256": 38.4}}},
    "source": "a paper",
    "note": "nothing else was found",
}


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


def released(iou: float, split_agrees: bool | None = True) -> dict[str, Any]:
    """What the stage reevaluate says of a net; None: its scenes are not those of the record."""
    agreement = {
        "n": 200, "recorded_iou": 0.75, "difference_points": 0.0, "mean_absolute_difference_points": 4.0,
        "largest_difference_points": 9.0, "share_beyond_1_point": 0.5, "agrees": split_agrees,
    }  # fmt: skip
    values = {"iou": mean(iou, 200), "localisation": mean(iou / 2, 200)}
    values |= {} if split_agrees is None else {"agreement": agreement}
    return {
        "feature_maps": 24,
        "seed": 1803,
        "n_scenes_seen": 9,
        "test-train": values,
        "test-one-shot": values,
    }


@pytest.fixture
def records() -> list[Record]:
    """Three runs at level 4, one of a further seed, and one at level 32, on several GPUs, cut short."""
    return [
        fake_record(4, "fast", fake_scores(0.75)),
        fake_record(4, "fast", fake_scores(0.25), name="4-seed-7", seed=7),
        fake_record(4, "published", fake_scores(0.5)),
        fake_record(32, "fast", fake_scores(0.625), n_processes=8, complete=False, n_steps=5,
                    n_scenes_before=1000),
    ]  # fmt: skip


@pytest.fixture
def reevaluated() -> list[dict[str, Any]]:
    """Level 4: two nets, one of which does not do what was recorded. Level 32: none."""
    nets = {
        "fast": {"4": released(0.75), "4-seed-7": released(0.25)},
        "published": {"4": released(0.5, False)},
    }
    return [{"scale": "laptop", "clutter_level": 4, "nets": nets}, {"scale": "laptop", "clutter_level": 32}]


@pytest.fixture
def results(metrics: list[dict[str, Any]]) -> pd.DataFrame:
    """Of a checkout without recorded runs."""
    return collect_segmentation(PUBLISHED, metrics)


@pytest.fixture
def all_results(
    metrics: list[dict[str, Any]], records: list[Record], reevaluated: list[dict[str, Any]]
) -> pd.DataFrame:
    return collect_segmentation(PUBLISHED, metrics, records, reevaluated)


INK = "every character marked"
OWN = "trained here: a net for each level, recipe published, 8 feature maps, 5,000 scenes"
JOINT = "trained here: one net, on 4, 8, 16 characters, recipe fast, 8 feature maps, 60,000 scenes"
RECORDED = ["recorded: recipe published, 24 feature maps", "recorded: recipe fast, 24 feature maps"]
CUT_SHORT = f"{RECORDED[1]}, stopped early, from other weights"
RELEASED = [
    "released weights, here: recipe published, 24 feature maps",
    "released weights, here: recipe fast, 24 feature maps",
]


def test_every_way_of_obtaining_a_figure_has_a_column_of_its_own(
    results: pd.DataFrame, all_results: pd.DataFrame
) -> None:
    assert list(dict.fromkeys(results["column"])) == ["published", INK, OWN, JOINT]
    assert list(dict.fromkeys(all_results["column"])) == [
        "published", *RECORDED, CUT_SHORT, *RELEASED, INK, OWN, JOINT
    ]  # fmt: skip
    assert len(results) == 4 * 7 + 2 * 2 + 4 + 2 * 4
    assert len(all_results) == len(results) + 4 * 4 + 3 * 4


def test_a_table_shows_published_and_our_figures_with_intervals_and_dashes(results: pd.DataFrame) -> None:
    n = ", n = 1,000"
    assert tabulate(results, "iou", "test-one-shot").splitlines() == [
        f"| characters | published | {INK}{n} | {OWN}{n} | {JOINT}{n} |",
        "|---:|---:|---:|---:|---:|",
        "| 4 | 97.1 | 25.0 (23.8 to 27.0) | 90.0 (88.8 to 92.0) | 50.0 (48.8 to 52.0) |",
        "| 8 | not found | – | – | – |",
        "| 16 | not found | – | – | – |",
        "| 32 | not found | 25.0 (23.8 to 27.0) | – | 12.5 (11.2 to 14.5) |",
        "| 64 | not found | – | – | – |",
        "| 128 | not found | – | – | – |",
        "| 256 | 38.4 | – | – | – |",
    ]


def cells(table: str, level: int) -> dict[str, str]:
    """One line of a Markdown table, by its columns' titles."""
    titles, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    return next(dict(zip(titles, row, strict=True)) for row in rows if row[0] == str(level))


def test_recorded_and_re_evaluated_figures_stand_in_columns_of_their_own(all_results: pd.DataFrame) -> None:
    row = cells(tabulate(all_results, "iou", "test-one-shot"), 4)
    assert list(row) == [
        "characters", "published", *(f"{column}, n = 40" for column in (*RECORDED, CUT_SHORT)),
        *(f"{column}, n = 200" for column in RELEASED), *(f"{c}, n = 1,000" for c in (INK, OWN, JOINT)),
    ]  # fmt: skip
    assert row[f"{RECORDED[0]}, n = 40"] == "50.0 (48.1 to 51.9)"
    assert row[f"{RECORDED[1]}, n = 40"] == "75.0 (73.1 to 76.9)"
    assert row[f"{RELEASED[1]}, n = 200"] == "75.0 (73.8 to 77.0), agrees"
    differs = "DIFFERS: 75.0 recorded on the same scenes, 4.0 points apart scene by scene"
    assert row[f"{RELEASED[0]}, n = 200"] == f"50.0 (48.8 to 52.0), {differs}"


def test_weights_that_were_compared_with_nothing_claim_nothing(
    records: list[Record], reevaluated: list[dict[str, Any]]
) -> None:
    reevaluated[0]["nets"]["fast"]["4"] = released(0.75, None)
    results = collect_segmentation(PUBLISHED, [], records, reevaluated)
    row = cells(tabulate(results, "iou", "test-train"), 4)
    assert row[f"{RELEASED[1]}, n = 200"] == "75.0 (73.8 to 77.0)"


def test_a_further_seed_is_a_row_of_the_runs_and_never_a_cell_of_a_column(
    all_results: pd.DataFrame, records: list[Record], reevaluated: list[dict[str, Any]]
) -> None:
    further = all_results[all_results["further_seed"].eq(True)]
    assert set(further["kind"]) == {"recorded", "released"}
    row = cells(tabulate(all_results, "iou", "test-train"), 4)
    assert not [cell for cell in row.values() if cell.startswith("25.0 (23.1")]
    runs = collect_runs(PUBLISHED, records, reevaluated)
    assert runs[["clutter_level", "recipe", "seed"]].values.tolist() == [
        [4, "published", 1803], [4, "fast", 1803], [4, "fast", 7], [32, "fast", 1803]
    ]  # fmt: skip


def test_runs_on_other_scenes_than_the_published_ones_have_another_column(records: list[Record]) -> None:
    strange = fake_record(8, "fast", fake_scores(0.5), test_sets_as_published={"test-train": "synthetic"})
    columns = set(collect_segmentation(PUBLISHED, [], [*records, strange])["column"])
    assert columns == {
        "published",
        *RECORDED,
        CUT_SHORT,
        f"{RECORDED[1]}, on other scenes than the published ones",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"complete": False}, ", stopped early"),
        ({"start_from": {"file": "a", "sha256": "0", "n_scenes_seen": 9}}, ", from other weights"),
        ({"n_scenes_before": 9}, ", from other weights"),
        ({"git_revision": "0123456789ab-dirty"}, ", changed code"),
        ({"complete": False, "n_scenes_before": 9, "git_revision": "0123456-dirty"},
         ", stopped early, from other weights, changed code"),
    ],
)  # fmt: skip
def test_runs_obtained_in_another_way_have_other_columns_recorded_and_released(
    changes: dict[str, Any], words: str, records: list[Record], reevaluated: list[dict[str, Any]]
) -> None:
    reevaluated[1]["nets"] = {"fast": {"32": released(0.5)}}
    records[3] = fake_record(32, "fast", fake_scores(0.625), **changes)
    results = collect_segmentation(PUBLISHED, [], records, reevaluated)
    row = cells(tabulate(results, "iou", "test-one-shot"), 32)
    assert {title: cell for title, cell in row.items() if cell != "–"} == {
        "characters": "32", "published": "not found",
        f"{RECORDED[1]}{words}, n = 40": "62.5 (60.6 to 64.4)",
        f"{RELEASED[1]}{words}, n = 200": "50.0 (48.8 to 52.0), agrees",
    }  # fmt: skip


def test_weights_whose_record_is_gone_are_no_results(reevaluated: list[dict[str, Any]]) -> None:
    assert set(collect_segmentation(PUBLISHED, [], [], reevaluated)["kind"]) == {"published"}


def test_the_runs_table_says_what_every_figure_cost(
    all_results: pd.DataFrame, records: list[Record], reevaluated: list[dict[str, Any]]
) -> None:
    records[3] = records[3].model_copy(update={"git_revision": "fedcba9876543210-dirty"})
    runs = collect_runs(PUBLISHED, records, reevaluated)
    text = render_tables(all_results, runs, PUBLISHED, "laptop", synthetic=False)
    _, table, words, *_ = text.split("\n\n")
    assert "*Waiting*: the share of the training time" in words
    assert "*Complete*: whether all planned steps" in words
    lines = table.splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {n}" for n in (4, 4, 4, 8, 16, 32, 64, 128, 256)]
    assert cells(table, 4) | {"recorded": ""} == {
        "characters": "4", "published": "97.1", "recorded": "", "recipe, feature maps": "published, 24",
        "batch size": "250", "learning rate": "0.0005", "seed": "1803", "scenes seen": "4,000,000",
        "minutes of training (in all)": "25.0 (27.5)", "device": "a GPU", "waiting": "1.0 %",
        "complete": "yes", "Git revision": "`0123456789`",
        "released weights, here": "DIFFERS on one-shot characters and known characters",
    }  # fmt: skip
    assert lines[1].endswith("| agrees |")
    cut_short = cells(table, 32)
    assert cut_short["published"] == "not found"
    assert cut_short["device"] == "8 x a GPU"
    assert cut_short["complete"] == "no: step 5 of 16,000"
    assert cut_short["Git revision"] == "`fedcba9876-dirty`"
    assert cut_short["scenes seen"] == "4,000,000, after 1,000 of another run"
    assert cut_short["released weights, here"] == "not evaluated"
    assert set(cells(table, 256).values()) == {"256", "38.4", "–"}
    low, high = records[3].scores["test-one-shot"].iou_interval
    value = records[3].scores["test-one-shot"].iou
    assert cut_short["recorded"] == f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def test_without_recorded_runs_one_line_says_so_and_no_column_is_empty(results: pd.DataFrame) -> None:
    runs = collect_runs(PUBLISHED, [], [])
    text = render_tables(results, runs, PUBLISHED, "laptop", synthetic=False)
    assert text.startswith("No long run is recorded in `results/` yet")
    assert not [
        word
        for word in ("recorded:", "released weights, here", "agrees", "*Agrees*", "*Waiting*")
        if word in text
    ]
    assert runs.empty
    assert "git_revision" in runs.columns


def test_a_column_without_any_figure_of_a_table_is_left_out_but_for_the_published_one(
    results: pd.DataFrame,
) -> None:
    known = tabulate(results, "localisation", "test-train")
    assert known.splitlines()[0] == f"| characters | published | {OWN}, n = 1,000 | {JOINT}, n = 1,000 |"
    assert "| 4 | not found | 45.0 (43.8 to 47.0) | 25.0 (23.8 to 27.0) |" in known
    assert cells(tabulate(results, "localisation", "test-one-shot"), 4)["published"] == "not found"


def test_nets_that_saw_different_amounts_never_share_a_column(metrics: list[dict[str, Any]]) -> None:
    metrics[1]["joint"]["n_scenes_seen"] = 60001
    columns = set(collect_segmentation(PUBLISHED, metrics)["column"])
    assert {JOINT, JOINT.replace("60,000", "60,001")} <= columns


def test_all_tables_name_their_metric_and_split_their_sources_and_the_scale(
    all_results: pd.DataFrame,
) -> None:
    runs = collect_runs(PUBLISHED, [], [])
    text = render_tables(all_results, runs, PUBLISHED, "laptop", synthetic=False)
    titles = [line for line in text.splitlines() if line.startswith("**")]
    assert titles == [
        f"**{metric}, {title}** (`{split}`), in %"
        for metric in ("IoU", "localisation")
        for title, split in (("one-shot characters", "test-one-shot"), ("known characters", "test-train"))
    ]
    assert "*Published*: a paper. *Not found*: nothing else was found." in text
    assert (
        "within 0.05 points of the recorded one, and that of a single scene, on average, within 0.2." in text
    )
    assert "at scale `laptop`" in text
    assert "invented" not in text
    assert "on invented alphabets" in render_tables(all_results, runs, PUBLISHED, "smoke", synthetic=True)
    assert text.endswith(".\n")


@pytest.mark.parametrize(
    ("nets", "own", "expected"),
    [
        ({"fast": {"4": 24}, "published": {"4": 24}}, ["level_4"], ("reevaluated", "fast/4")),
        ({"published": {"4": 24}, "fast": {"4-seed-7": 24}}, ["level_4"], ("reevaluated", "published/4")),
        ({}, ["joint", "level_4"], ("segmentation", "level_4")),
        ({}, ["joint"], ("segmentation", "joint")),
        ({}, [], None),
    ],
)
def test_pictures_show_released_nets_before_those_trained_here(
    nets: dict[str, dict[str, int]], own: list[str], expected: tuple[str, str] | None
) -> None:
    entries = {recipe: {name: {"feature_maps": f} for name, f in by.items()} for recipe, by in nets.items()}
    metrics = {"clutter_level": 4} | {name: net(9, 0.5) for name in own}
    shown = choose_shown(metrics, {"clutter_level": 4, "nets": entries})
    assert (shown and (shown.stage, shown.key)) == expected
    assert isinstance(shown, Shown | None)


def test_the_caption_says_whose_answers_are_shown_at_which_levels(
    metrics: list[dict[str, Any]], reevaluated: list[dict[str, Any]]
) -> None:
    text = render_caption([*metrics, {"clutter_level": 64}], [*reevaluated, {"clutter_level": 64}])
    assert text.endswith(
        "Answers at 4 characters of the released networks (recipe fast, 24 feature maps); at 32 characters "
        f"of the network trained here ({JOINT.partition(': ')[2]}); at 64 characters of no network.*\n"
    )


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


@pytest.mark.parametrize("block", ["tables", "answers"])
def test_the_readme_has_a_block_for_what_is_generated(block: str) -> None:
    text = (ROOT / "README.md").read_text()
    assert replace_block(text, block, "") != ""


def test_the_readme_shows_what_the_generator_makes_of_the_committed_metrics() -> None:
    paths = [
        [ROOT / f"metrics/{name}-{level}.json" for level in CLUTTER_LEVELS]
        for name in ("segmentation", "reevaluated")
    ]
    if not all(path.is_file() for of_stage in paths for path in of_stage):
        pytest.skip("the pipeline has not been run here")
    metrics, reevaluated = ([json.loads(path.read_text()) for path in of_stage] for of_stage in paths)
    assert len({entry["scale"] for entry in [*metrics, *reevaluated]}) == 1
    scale = metrics[0]["scale"]
    published, records = read_facts("segmentation"), read_records(ROOT / "results")
    results = collect_segmentation(published, metrics, records, reevaluated)
    runs = collect_runs(published, records, reevaluated)
    synthetic = load_params(ROOT / "params.yaml").scales[scale].source == "synthetic"
    markdown = render_tables(results, runs, published, scale, synthetic=synthetic)
    text = (ROOT / "README.md").read_text()
    assert replace_block(text, "tables", markdown) == text
    assert replace_block(text, "answers", render_caption(metrics, reevaluated)) == text
    assert (ROOT / "tables/segmentation.md").read_text() == markdown
    assert (ROOT / "tables/segmentation.csv").read_text() == results.to_csv(index=False, lineterminator="\n")
    assert (ROOT / "tables/recorded_runs.csv").read_text() == runs.to_csv(index=False, lineterminator="\n")


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
def test_a_picture_is_the_same_bytes_twice(name: str, all_results: pd.DataFrame, tmp_path: Path) -> None:
    scenes = fake_scenes(5, 4, seed=1)
    examples = list_examples(4, scenes, np.roll(scenes.masks, 2, axis=1), [0.1, 0.2, 0.3, 0.4, 0.5])
    for turn in ("first", "second"):
        figure = {
            "task": lambda: draw_task(examples[:3]),
            "predictions": lambda: draw_predictions(examples, 2),
            "predictions without answers": lambda: draw_predictions(list_examples(4, scenes, None, []), 3),
            "iou": lambda: draw_iou_over_clutter(all_results),
        }[name]()
        save_figure(figure, tmp_path / "new" / f"{turn}.png")
    first, second = ((tmp_path / "new" / f"{turn}.png").read_bytes() for turn in ("first", "second"))
    assert first == second
    with Image.open(tmp_path / "new" / "first.png") as picture:
        assert "Software" not in picture.info
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_the_curve_of_iou_has_a_line_for_every_column_and_split(all_results: pd.DataFrame) -> None:
    figure = draw_iou_over_clutter(all_results)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == sorted([
        f"{column}; {split}"
        for column in (*RECORDED, CUT_SHORT, *RELEASED, INK, OWN, JOINT)
        for split in ("one-shot characters", "known characters")
    ] + ["published; one-shot characters"])  # fmt: skip


def test_released_weights_are_crosses_in_the_colour_of_their_recorded_line(all_results: pd.DataFrame) -> None:
    axis = draw_iou_over_clutter(all_results).axes[0]
    lines = {container.get_label(): container.lines[0] for container in axis.containers}
    for recorded, released_here in zip(RECORDED, RELEASED, strict=True):
        line, crosses = (lines[f"{column}; one-shot characters"] for column in (recorded, released_here))
        assert line.get_color() == crosses.get_color()
        assert (line.get_linestyle(), crosses.get_linestyle()) == ("-", "None")
    assert len({line.get_color() for line in lines.values()}) == 6
    # The run of a further seed at level 4 is none of the line's points.
    assert list(lines[f"{RECORDED[1]}; one-shot characters"].get_xdata()) == [4]
