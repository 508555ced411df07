"""The table of recorded runs: a line for each, with its cost and whether its weights do the same here."""

from typing import Any

import pandas as pd
import pytest

from oneshot.records.run import Record
from oneshot.report.rows import collect_segmentation
from oneshot.report.runs import collect_runs
from oneshot.report.tables import render_tables
from tests.fake_metrics import (
    PUBLISHED,
    cells,
    masknet_record,
    released_net,
    small_metrics,
    small_records,
    small_reevaluated,
)
from tests.fake_records import fake_record, fake_scores


@pytest.fixture
def records() -> list[Record]:
    return small_records()


@pytest.fixture
def reevaluated() -> list[dict[str, Any]]:
    return small_reevaluated()


@pytest.fixture
def all_results(records: list[Record], reevaluated: list[dict[str, Any]]) -> pd.DataFrame:
    return collect_segmentation(PUBLISHED, small_metrics(), records, reevaluated)


def render(runs: pd.DataFrame) -> tuple[str, str]:
    """The table and the words beneath it."""
    results = collect_segmentation(PUBLISHED, [])
    text = render_tables(results, runs, PUBLISHED, "laptop", synthetic=False)
    _, table, words, *_ = text.split("\n\n")
    return table, words


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
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| Siamese-U-Net", level] for level in ("4", "4", "4", "32")
    ]
    assert cells(table, 4) | {"recorded": ""} == {
        "network": "Siamese-U-Net", "characters": "4", "published": "97.1", "recorded": "",
        "recipe, feature maps": "published, 24",
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
    score = records[3].scores["32"]["answer"]["test-one-shot"]
    (low, high), value = score.iou_interval, score.iou
    assert cut_short["recorded"] == f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def test_the_runs_table_lists_masknets_and_joint_runs_with_the_published_cells_of_their_network() -> None:
    records = [fake_record("joint", "fast", fake_scores(0.5)), masknet_record(4), *small_records()]
    runs = collect_runs(PUBLISHED, records, [])
    assert len(runs) == 7 + 1 + 4
    assert list(dict.fromkeys(zip(runs["net"], runs["name"], strict=True))) == [
        ("siamese_unet", "4"), ("siamese_unet", "4-seed-7"), ("siamese_unet", "32"),
        ("siamese_unet", "joint"), ("masknet", "4"),
    ]  # fmt: skip
    table, words = render(runs)
    joint = cells(table, "4 to 256")
    assert joint["published"] == "97.1 / – / – / – / – / – / 38.4"
    assert joint["recorded"] == " / ".join(["50.0"] * 7)
    assert joint["released weights, here"] == "not evaluated"
    assert "*4 to 256*: one net for all levels" in words
    masknet = table.splitlines()[-1]
    assert masknet.startswith("| MaskNet | 4 | 95.8 | 50.0 (48.1 to 51.9) | fast, 24 | 250 | 0.0005 |")
    assert "| 8,000,000 | 50.0 (27.5) |" in masknet


def test_a_run_whose_trainings_differ_shows_both_values() -> None:
    record = masknet_record(4)
    proposals, discriminator = record.training
    trainings = (proposals, discriminator.model_copy(update={"batch_size": 100, "n_steps": 8000}))
    table, words = render(collect_runs(PUBLISHED, [record.model_copy(update={"training": trainings})], []))
    row = cells(table, 4)
    assert (row["batch size"], row["learning rate"]) == ("250; 100", "0.0005")
    assert row["complete"] == "no: step 24,000 of 32,000"
    assert "Two values: of the proposals' training; of the discriminator's." in words


def test_weights_that_differ_in_any_answer_differ(reevaluated: list[dict[str, Any]]) -> None:
    net = released_net(0.5)
    net["answers"]["top_4"] = released_net(0.5, False)["answers"]["answer"]
    reevaluated[0]["nets"] = {"masknet": {"fast": {"4": net}}}
    (here,) = collect_runs(PUBLISHED, [masknet_record(4)], reevaluated)["here"]
    assert here == "DIFFERS on one-shot characters and known characters"
