"""Tables of results: every figure with its way of being obtained, in a column of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.scenes import CLUTTER_LEVELS

SPLIT_TITLES = {"test-one-shot": "one-shot characters", "test-train": "known characters"}
METRIC_TITLES = {"iou": "IoU", "localisation": "localisation"}
NOTHING = "–"


def collect_segmentation(published: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row for every known value: column, metric, split, clutter_level, percent, low, high, n.

    published: data/published/segmentation.json; metrics: the files of the stage evaluate, one a level.
    """
    rows = [
        row("published", "iou", split, int(level), percent)
        for split, cells in published["iou_percent"]["siamese_unet"].items()
        for level, percent in cells.items()
    ]
    for of_level in metrics:
        for net, values in of_level.items():
            if not isinstance(values, Mapping):
                continue
            column = describe_net(net, values)
            for split in SPLIT_TITLES:
                for metric, mean in values.get(split, {}).items():
                    percent, low, high = (100 * mean[key] for key in ("value", "low", "high"))
                    level = of_level["clutter_level"]
                    rows.append(row(column, metric, split, level, percent, low, high, mean["n"]))
    return pd.DataFrame(rows)


def row(column: str, metric: str, split: str, level: int, percent: float, low: float | None = None,
        high: float | None = None, n: int | None = None) -> dict[str, Any]:  # fmt: skip
    return {
        "column": column, "metric": metric, "split": split, "clutter_level": level,
        "percent": percent, "low": low, "high": high, "n": n,
    }  # fmt: skip


def describe_net(net: str, values: Mapping[str, Any]) -> str:
    """How a column's values were obtained."""
    if net == "all_ink":
        return "every character marked"
    which = f"one net, trained on {values['trained_on']}" if net == "joint" else "a net for each level"
    return (
        f"ours: {which}, recipe {values['recipe']}, {values['feature_maps']} feature maps, "
        f"{values['n_scenes_seen']:,} training scenes"
    )


def tabulate(results: pd.DataFrame, metric: str, split: str) -> str:
    """A Markdown table: clutter levels down, ways of obtaining the figure across, in % with 95 % interval."""
    chosen = results[(results["metric"] == metric) & (results["split"] == split)]
    columns = list(dict.fromkeys(chosen["column"]))
    lines = [
        "| characters | " + " | ".join(columns) + " |",
        "|---:|" + "---:|" * len(columns),
    ]
    for level in CLUTTER_LEVELS:
        cells = [format_cell(chosen, level, column) for column in columns]
        lines.append(f"| {level} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_cell(chosen: pd.DataFrame, level: int, column: str) -> str:
    found = chosen[(chosen["clutter_level"] == level) & (chosen["column"] == column)]
    if found.empty:
        return NOTHING
    cell = found.iloc[0]
    if pd.isna(cell["low"]):
        return f"{cell['percent']:.1f}"
    return f"{cell['percent']:.1f} ({cell['low']:.1f} to {cell['high']:.1f})"


def render_tables(results: pd.DataFrame, scale: str) -> str:
    """All segmentation tables as Markdown."""
    sections = []
    for metric, metric_title in METRIC_TITLES.items():
        for split, split_title in SPLIT_TITLES.items():
            chosen = results[(results["metric"] == metric) & (results["split"] == split)]
            counts = sorted({int(n) for n in chosen["n"].dropna()})
            sizes = (
                f", ours over n = {' or '.join(f'{n:,}' for n in counts)} scenes a level" if counts else ""
            )
            sections.append(f"**{metric_title}, {split_title}** (`{split}`), in %{sizes}")
            sections.append(tabulate(results, metric, split))
    sections.append(
        f"Computed by this checkout at scale `{scale}`; 95 % intervals in brackets; {NOTHING}: no figure was "
        "published, or none computed at this scale."
    )
    return "\n\n".join(sections) + "\n"


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
