"""Tables in Markdown, and the words for what is not in them."""

from collections.abc import Sequence

import pandas as pd

NOTHING, NOT_FOUND = "–", "not found"


def lay_out(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [titles, *rows]]
    return "\n".join([lines[0], "|" + "---:|" * len(titles), *lines[1:]])


def format_published(percent: float | None) -> str:
    return NOT_FOUND if pd.isna(percent) else f"{percent:.1f}"


def format_mean(percent: float, low: float, high: float) -> str:
    return f"{percent:.1f} ({low:.1f} to {high:.1f})"


def name_counts(counts: pd.Series) -> str:
    """How many scenes the figures of a column are means over: "n = 1,000 or 10,000"; nothing if unknown."""
    found = sorted(set(counts.dropna()))
    return f"n = {' or '.join(f'{n:,}' for n in found)}" if found else ""


def replace_block(text: str, name: str, block: str) -> str:
    """The text with what lies between the two comments `<!-- NAME -->` and `<!-- /NAME -->` replaced.

    Raises:
        ValueError: the comments are not there, once each, in this order.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"the text has no block between {start} and {end}.")
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{block}{end}{after}"
