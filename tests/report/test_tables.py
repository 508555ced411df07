"""Tables: every figure in a column of its own, and the README as the generator makes it."""

import json
from typing import Any

import pandas as pd
import pytest

from oneshot.params import load_params
from oneshot.published import CLUTTER_LEVELS, read_facts
from oneshot.records.run import Record, read_records
from oneshot.report.caption import choose_shown, render_caption
from oneshot.report.page import replace_block
from oneshot.report.rows import collect_segmentation, describe_run
from oneshot.report.runs import collect_runs
from oneshot.report.tables import render_tables
from oneshot.report.tables import tabulate as tabulate_net
from tests.conftest import ROOT
from tests.fake_metrics import (
    CUT_SHORT,
    INK,
    JOINT,
    OWN,
    PUBLISHED,
    RECORDED,
    RELEASED,
    cells,
    masknet_record,
    own_net,
    released_net,
    small_metrics,
    small_records,
    small_reevaluated,
)
from tests.fake_records import fake_record, fake_scores, verdicts


@pytest.fixture
def metrics() -> list[dict[str, Any]]:
    return small_metrics()


@pytest.fixture
def records() -> list[Record]:
    return small_records()


@pytest.fixture
def reevaluated() -> list[dict[str, Any]]:
    return small_reevaluated()


@pytest.fixture
def results(metrics: list[dict[str, Any]]) -> pd.DataFrame:
    """Of a checkout without recorded runs."""
    return collect_segmentation(PUBLISHED, metrics)


@pytest.fixture
def all_results(
    metrics: list[dict[str, Any]], records: list[Record], reevaluated: list[dict[str, Any]]
) -> pd.DataFrame:
    return collect_segmentation(PUBLISHED, metrics, records, reevaluated)


def tabulate(results: pd.DataFrame, metric: str, split: str, net: str = "siamese_unet") -> str:
    table = tabulate_net(results, net, metric, split)
    assert table is not None
    return table


def test_every_way_of_obtaining_a_figure_has_a_column_of_its_own(
    results: pd.DataFrame, all_results: pd.DataFrame
) -> None:
    assert list(dict.fromkeys(results["source"])) == ["published", INK, OWN, JOINT]
    assert list(dict.fromkeys(all_results["source"])) == [
        "published", *RECORDED, CUT_SHORT, *RELEASED, INK, OWN, JOINT
    ]  # fmt: skip
    # Both nets' published cells; ink; own nets and records: 2 splits, 2 metrics, 3 groups of scenes.
    assert len(results) == 2 * 4 * 7 + 2 * 2 + 3 * 12
    assert len(all_results) == len(results) + 4 * 12 + 3 * 12


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
    reevaluated[0]["nets"]["siamese_unet"]["fast"]["4"] = released_net(0.75, None)
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
    strange = fake_record(8, "fast", fake_scores(0.5), test_sets_as_published=verdicts(8, "synthetic"))
    columns = set(collect_segmentation(PUBLISHED, [], [*records, strange])["source"])
    assert columns == {
        "published",
        *RECORDED,
        CUT_SHORT,
        f"{RECORDED[1]}, on other scenes than the published ones",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"n_steps": 5}}, ", stopped early"),
        ({"start_from": {"file": "a", "sha256": "0", "n_scenes_seen": 9}}, ", from other weights"),
        ({"n_scenes_before": 9}, ", from other weights"),
        ({"git_revision": "0123456789ab-dirty"}, ", changed code"),
        ({"training": {"n_steps": 5}, "n_scenes_before": 9, "git_revision": "0123456-dirty"},
         ", stopped early, from other weights, changed code"),
    ],
)  # fmt: skip
def test_runs_obtained_in_another_way_have_other_columns_recorded_and_released(
    changes: dict[str, Any], words: str, records: list[Record], reevaluated: list[dict[str, Any]]
) -> None:
    reevaluated[1]["nets"] = {"siamese_unet": {"fast": {"32": released_net(0.5)}}}
    records[3] = fake_record(32, "fast", fake_scores(0.625), **changes)
    results = collect_segmentation(PUBLISHED, [], records, reevaluated)
    row = cells(tabulate(results, "iou", "test-one-shot"), 32)
    assert {title: cell for title, cell in row.items() if cell != "–"} == {
        "characters": "32", "published": "not found",
        f"{RECORDED[1]}{words}, n = 40": "62.5 (60.6 to 64.4)",
        f"{RELEASED[1]}{words}, n = 200": "50.0 (48.8 to 52.0), agrees",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "recipe", "words"),
    [(32, "fast", ""), (32, "published", ", from other weights"), (4, "fast", ", from other weights")],
)
def test_a_masknet_usually_starts_from_the_siamese_unet_of_its_recipe_and_level(
    level: int, recipe: str, words: str
) -> None:
    """Known by its checksum: it may have lain anywhere."""
    weights = {"file": "weights/net.safetensors", "sha256": "1", "dtype": "float16", "iou_lost_points": {}}
    siamese = fake_record(level, recipe, fake_scores(0.6), weights=weights)
    start = {"file": "out/net.safetensors", "sha256": "1", "n_scenes_seen": 9}
    masknet = fake_record(32, "fast", fake_scores(0.6), net="masknet", start_from=start, n_scenes_before=9)
    assert describe_run(masknet, [siamese, masknet]) == f"recipe fast, 24 feature maps{words}"


def test_weights_whose_record_is_gone_are_no_results(reevaluated: list[dict[str, Any]]) -> None:
    assert set(collect_segmentation(PUBLISHED, [], [], reevaluated)["kind"]) == {"published"}


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


def test_a_column_without_any_figure_of_a_table_is_left_out(
    results: pd.DataFrame,
) -> None:
    known = tabulate(results, "localisation", "test-train")
    assert known.splitlines()[0] == f"| characters | {OWN}, n = 1,000 | {JOINT}, n = 1,000 |"
    assert "| 4 | 45.0 (43.8 to 47.0) | 25.0 (23.8 to 27.0) |" in known
    assert "published" not in tabulate(results, "iou", "test-train").splitlines()[0].split(" | ")


def test_a_table_in_which_nothing_is_known_is_left_out_but_not_the_published_one() -> None:
    nothing = collect_segmentation({"iou_percent": {}}, [])
    for net in ("siamese_unet", "masknet"):
        for metric, split in (("iou", "test-train"), ("localisation", "test-one-shot")):
            assert tabulate_net(nothing, net, metric, split) is None
        table = tabulate(nothing, "iou", "test-one-shot", net)
        assert table.splitlines()[0] == "| characters | published |"
        assert cells(table, 32) == {"characters": "32", "published": "not found"}


def test_nets_that_saw_different_amounts_never_share_a_column(metrics: list[dict[str, Any]]) -> None:
    metrics[1]["joint"]["n_scenes_seen"] = 60001
    columns = set(collect_segmentation(PUBLISHED, metrics)["source"])
    assert {JOINT, JOINT.replace("60,000", "60,001")} <= columns


def test_all_tables_name_their_metric_and_split_their_sources_and_the_scale(
    all_results: pd.DataFrame,
) -> None:
    runs = collect_runs(PUBLISHED, [], [])
    text = render_tables(all_results, runs, PUBLISHED, "laptop", synthetic=False)
    titles = [line for line in text.splitlines() if line.startswith("**")]
    splits = (("one-shot characters", "test-one-shot"), ("known characters", "test-train"))
    assert titles == [
        *(f"**Siamese-U-Net: {metric}, {title}** (`{split}`), in %"
          for metric in ("IoU", "localisation") for title, split in splits),
        "**MaskNet: IoU, one-shot characters** (`test-one-shot`), in %",
        *(f"**IoU with and without a same-class distractor, {title}** (`{split}`), in %"
          for title, split in splits),
    ]  # fmt: skip
    assert "*Published*: a paper. *Not found*: nothing else was found." in text
    assert (
        "within 0.05 points of the recorded one, and that of a single scene, on average, within 0.2." in text
    )
    assert "at scale `laptop`" in text
    assert "invented" not in text
    assert "on invented alphabets" in render_tables(all_results, runs, PUBLISHED, "smoke", synthetic=True)
    assert text.endswith(".\n")


def test_every_answer_from_fewer_proposals_has_a_column_of_its_own_and_oracles_have_none() -> None:
    metrics = small_metrics()
    metrics[0]["masknet_level_4"] = own_net(7000, {"answer": 0.5, "top_4": 0.75, "choice_given": 1.0})
    results = collect_segmentation(PUBLISHED, metrics, [masknet_record(4)])
    here = "trained here: a net for each level, recipe fast, 8 feature maps, 7,000 scenes"
    assert list(cells(tabulate(results, "iou", "test-one-shot", "masknet"), 4)) == [
        "characters", "published", f"{RECORDED[1]}, n = 40", f"{RECORDED[1]}; best 4 proposals, n = 40",
        f"{here}, n = 1,000", f"{here}; best 4 proposals, n = 1,000",
    ]  # fmt: skip
    assert cells(tabulate(results, "iou", "test-one-shot"), 4)["published"] == "97.1"
    row = cells(tabulate(results, "iou", "test-one-shot", "masknet"), 4)
    assert row["published"] == "95.8"
    assert row[f"{here}; best 4 proposals, n = 1,000"] == "75.0 (73.8 to 77.0)"


def test_one_net_for_all_levels_has_a_column_of_its_own(metrics: list[dict[str, Any]]) -> None:
    joint = fake_record("joint", "fast", fake_scores(0.5))
    metrics[0]["joint"] = own_net(60000, 0.5, trained_on="4, 8, 16, 32, 64, 128, 256")
    reevaluated = [{"clutter_level": 64, "nets": {"siamese_unet": {"fast": {"joint": released_net(0.5)}}}}]
    results = collect_segmentation(PUBLISHED, metrics, [*small_records(), joint], reevaluated)
    words = "one net for all levels, recipe fast"
    for level in CLUTTER_LEVELS:
        row = cells(tabulate(results, "iou", "test-train"), level)
        assert row[f"recorded: {words}, 24 feature maps, n = 40"] == "50.0 (48.1 to 51.9)"
        again = row[f"released weights, here: {words}, 24 feature maps, n = 200"]
        assert again == ("50.0 (48.8 to 52.0), agrees" if level == 64 else "–")
    row = cells(tabulate(results, "iou", "test-train"), 4)
    assert f"trained here: {words}, 8 feature maps, 60,000 scenes, n = 1,000" in row


def test_metrics_of_an_older_form_are_no_results_and_stop_nothing(metrics: list[dict[str, Any]]) -> None:
    for of_level in metrics:
        for key in ("joint", "level_4"):
            if key in of_level:
                of_level[key] |= of_level[key].pop("answers")["answer"]
    reevaluated = [{"clutter_level": 4, "nets": {"fast": {"4": released_net(0.5)}}}]
    results = collect_segmentation(PUBLISHED, metrics, small_records(), reevaluated)
    assert set(results["kind"]) == {"published", "recorded", "ink"}
    assert choose_shown(metrics[0], reevaluated[0]) is None


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
