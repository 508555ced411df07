"""Tables in Markdown: rows of figures laid out by what stands down and what across."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.report.rows import Kind

NOTHING = "–"
KIND_TITLES = {
    Kind.PUBLISHED: "published",
    Kind.RECORDED: "recorded",
    Kind.RECHECKED: "recorded weights, evaluated here",
    Kind.HERE: "computed here",
    Kind.PLAYED: "played",
}
SHORT_TITLES = {Kind.PUBLISHED: "published", Kind.RECORDED: "recorded", Kind.HERE: "trained here"}


def lay_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, its first column to the left, the others, of figures, to the right."""
    rows = ["| " + " | ".join(cells) + " |" for cells in [titles, *lines]]
    return "\n".join([rows[0], "|:---|" + "---:|" * (len(titles) - 1), *rows[1:]])


def pivot(rows: pd.DataFrame, first: str, lines: Mapping[Any, str], error: bool = False) -> str:
    """Lay out figures with the values of the field `line` down and those of `column` across.

    first: title of the first column; lines: the values of `line` and what they are called; error: write what
    is left of 100 %. A column's title says how many scenes or trials its figures are means over.
    """
    columns = write_figures(rows, "column", "line", error)
    cells = [
        [label, *(column.get(key, NOTHING) for column in columns.values())] for key, label in lines.items()
    ]
    return lay_table([first, *columns], cells)


def lay_across(rows: pd.DataFrame, first: str, across: str, columns: Mapping[Any, str]) -> str:
    """Lay out figures with the values of the field `line` down, for many of them, and of another across.

    first: what the titles of the other columns are; across, columns: that field, its values and what they are
    called. A line's title says how many scenes or trials its figures are means over.
    """
    lines = write_figures(rows, "line", across)
    cells = [[title, *(line.get(key, NOTHING) for key in columns)] for title, line in lines.items()]
    return lay_table([first, *columns.values()], cells)


def write_figures(rows: pd.DataFrame, title: str, key: str, error: bool = False) -> dict[str, dict[Any, str]]:
    """Write figures by the values of two fields; to the first it adds what they are means over."""
    return {
        join_words(str(name), name_counts(found["n"])): {
            value: " / ".join(format_figure(row, error) for row in of_value.to_dict("records"))
            for value, of_value in found.groupby(key, sort=False)
        }
        for name, found in rows.groupby(title, sort=False)
    }


def format_figure(row: Mapping[Any, Any], error: bool = False) -> str:
    """Write a figure in %, with its interval if it has one, and whether it agrees with what was recorded."""
    if pd.notna(row["not_computed"]):
        return "not computed"
    if pd.isna(row["low"]):
        n_digits = 2 if str(row["benchmark"]).startswith("verification") else 1  # as published
        return f"{in_percent(row['value'], error):.{n_digits}f}"
    text = format_mean(row, error)
    if row["kind"] != Kind.RECHECKED or pd.isna(row["agreement_agrees"]):
        return text
    if row["agreement_agrees"]:
        return f"{text}, agrees"
    recorded, apart = row["agreement_recorded"], row["agreement_mean_absolute_difference_points"]
    return (
        f"{text}, DIFFERS: {in_percent(recorded, error):.1f} recorded over the same {row['agreement_n']:,}, "
        f"{apart:.1f} points apart on average"
    )


def format_mean(figure: Mapping[Any, Any], error: bool = False) -> str:
    """Write a figure in % with its 95 % interval."""
    low, high = sorted(in_percent(figure[end], error) for end in ("low", "high"))
    return f"{in_percent(figure['value'], error):.1f} ({low:.1f} to {high:.1f})"


def in_percent(share: float, error: bool = False) -> float:
    """Turn a fraction into %; rounded, as 245 right of 400 err by 38.75 % and not by 38.7499..."""
    return round(100 - 100 * share if error else 100 * share, 9)


def name_counts(counts: Iterable[Any]) -> str:
    """Write how many scenes or trials figures are means over: "n = 1,000 or 10,000"; nothing if unknown."""
    found = sorted({int(count) for count in counts if pd.notna(count)})
    return f"n = {' or '.join(f'{n:,}' for n in found)}" if found else ""


def join_words(*words: str) -> str:
    """Join what is not empty by commas."""
    return ", ".join(word for word in words if word)


def write_section(title: str, table: str, *notes: str) -> list[str]:
    """List the paragraphs of a section: its title, a table, and notes below it, if any."""
    words = " ".join(note for note in notes if note)
    return [f"### {title}", table, *([words] if words else [])]
