"""Tables: what stands down, what across, and how a figure is written."""

import pandas as pd

from oneshot.report.rows import FIELDS
from oneshot.report.tables import NOTHING, lay_across, name_counts, pivot
from tests.report.fakes import cells, column_of, titles_of


def lay(*rows: dict[str, object], error: bool = False) -> str:
    table = pd.DataFrame(rows, columns=[*FIELDS, "column", "line"])
    return pivot(table, "method", {4: "four", 8: "eight"}, error)


def row(column: str, value: float, **changes: object) -> dict[str, object]:
    found = {"column": column, "value": value, "line": 4, "kind": "here", "n": 400}
    return found | {"low": value - 0.1, "high": value + 0.05} | changes


def test_columns_say_over_how_many_and_lines_without_a_figure_are_empty() -> None:
    table = lay(row("here", 0.5), row("here", 0.25, line=8, n=10), row("other", 0.1))
    assert titles_of(table) == ["method", "here, n = 10 or 400", "other, n = 400"]
    assert cells(table, "eight") == {
        "method": "eight", "here, n = 10 or 400": "25.0 (15.0 to 30.0)", "other, n = 400": NOTHING,
    }  # fmt: skip


def test_what_lies_across_may_lie_down() -> None:
    rows = [row("", 0.5, line="here", n_way=5), row("", 0.25, line="there", n_way=20, n=10)]
    table = lay_across(
        pd.DataFrame(rows, columns=[*FIELDS, "line"]), "way", "n_way", {5: "five", 20: "twenty"}
    )
    assert cells(table, "here, n = 400") == {
        "way": "here, n = 400", "five": "50.0 (40.0 to 55.0)", "twenty": NOTHING,
    }  # fmt: skip
    assert column_of(table, "twenty") == {"here, n = 400": NOTHING, "there, n = 10": "25.0 (15.0 to 30.0)"}


def test_errors_are_what_is_left_of_the_whole() -> None:
    assert cells(lay(row("x", 0.6125), error=True), "four")["x, n = 400"] == "38.8 (33.8 to 48.8)"


def test_published_figures_have_no_interval_and_those_of_pairs_two_decimals() -> None:
    bare = {"low": None, "high": None, "kind": "published", "n": None}
    assert cells(lay(row("x", 0.971, **bare)), "four")["x"] == "97.1"
    assert cells(lay(row("x", 0.9342, benchmark="verification", **bare)), "four")["x"] == "93.42"


def test_rechecked_figures_agree_or_say_how_they_differ() -> None:
    compared = {"agreement_recorded": 0.75, "agreement_n": 200,
                "agreement_mean_absolute_difference_points": 4.0, "kind": "rechecked"}  # fmt: skip
    agrees, differs = (
        cells(lay(row("x", 0.5, agreement_agrees=verdict, **compared)), "four")["x, n = 400"]
        for verdict in (True, False)
    )
    assert agrees == "50.0 (40.0 to 55.0), agrees"
    assert differs == (
        "50.0 (40.0 to 55.0), DIFFERS: 75.0 recorded over the same 200, 4.0 points apart on average"
    )


def test_what_was_not_computed_says_so() -> None:
    assert cells(lay(row("x", 0.5, not_computed="no network")), "four")["x, n = 400"] == "not computed"
    assert name_counts([]) == ""
