"""Tables of results in Markdown: every way of obtaining a figure in a column of its own."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from oneshot.published import CLUTTER_LEVELS
from oneshot.records.recheck import MEAN_TOLERANCE, SCENE_TOLERANCE, SHARE_APART
from oneshot.report.answer_tables import render_oracles, render_same_class
from oneshot.report.page import NOT_FOUND, NOTHING, format_mean, format_published, lay_out, name_counts
from oneshot.report.rows import (
    ALL,
    INK,
    METRIC_TITLES,
    NET_TITLES,
    PUBLISHED,
    PUBLISHED_SOURCE,
    RELEASED,
    SHOWN_SPLIT,
    SPLIT_TITLES,
)
from oneshot.report.runs import render_runs
from oneshot.segment.answers import ORACLES, OWN, title_answer


def tabulate(results: pd.DataFrame, net: str, metric: str, split: str) -> str | None:
    """A Markdown table: clutter levels down, ways of obtaining the figure across, in % with 95 % interval.

    The network's own answers, those from fewer proposals too, over all scenes. Without any figure there is no
    table, but that of IoU on one-shot characters is always there.
    """
    chosen = choose_columns(results, net, metric, split)
    always = (metric, split) == ("iou", SHOWN_SPLIT)
    known = set(chosen.loc[chosen["percent"].notna(), "title"])
    if not known and not always:
        return None
    known |= {PUBLISHED_SOURCE} if always else set()
    titles = [title for title in dict.fromkeys(chosen["title"]) if title in known]
    rows = [
        [str(level), *(format_cell(chosen, level, title) for title in titles)] for level in CLUTTER_LEVELS
    ]
    counts = [name_counts(chosen.loc[chosen["title"] == title, "n"]) for title in titles]
    shown = [f"{title}, {n}" if n else title for title, n in zip(titles, counts, strict=True)]
    return lay_out(["characters", *shown], rows)


def choose_columns(results: pd.DataFrame, net: str, metric: str, split: str) -> pd.DataFrame:
    """The rows of a table, with their column's title; marking every character stands beside Siamese-U-Net."""
    of_net = results["net"].eq(net)
    if net == next(iter(NET_TITLES)):
        of_net |= results["kind"].eq(INK)
    chosen = results[
        of_net
        & results["metric"].eq(metric)
        & results["split"].eq(split)
        & results["subset"].eq(ALL)
        & results["further_seed"].ne(True)
        & ~results["answer"].isin(ORACLES)
    ]
    titles = map(title_column, chosen["source"], chosen["answer"].fillna(OWN))
    return chosen.assign(title=pd.Series(list(titles), chosen.index, dtype=object))


def title_column(source: str, answer: str) -> str:
    more = title_answer(answer)
    return f"{source}; {more}" if more else source


def format_cell(chosen: pd.DataFrame, level: int, title: str) -> str:
    found = chosen[(chosen["clutter_level"] == level) & (chosen["title"] == title)]
    if found.empty:
        return NOTHING
    cell = found.iloc[0]
    if cell["kind"] == PUBLISHED:
        return format_published(cell["percent"])
    text = format_mean(cell["percent"], cell["low"], cell["high"])
    if cell["kind"] != RELEASED or pd.isna(cell["agreement_agrees"]):
        return text
    if cell["agreement_agrees"]:
        return f"{text}, agrees"
    return (
        f"{text}, DIFFERS: {100 * cell['agreement_recorded_iou']:.1f} recorded on the same scenes, "
        f"{cell['agreement_mean_absolute_difference_points']:.1f} points apart scene by scene"
    )


def render_tables(
    results: pd.DataFrame, runs: pd.DataFrame, published: Mapping[str, Any], scale: str, *, synthetic: bool
) -> str:
    """All segmentation tables as Markdown; `synthetic`: this scale's scenes are of invented alphabets."""
    sections = render_runs(runs)
    for net, net_title in NET_TITLES.items():
        for metric, metric_title in METRIC_TITLES.items():
            for split, split_title in SPLIT_TITLES.items():
                table = tabulate(results, net, metric, split)
                if table is not None:
                    title = f"{net_title}: {metric_title}, {split_title}"
                    sections += [f"**{title}** (`{split}`), in %", table]
    sections += render_oracles(results) + render_same_class(results)
    sections.append(f"*Published*: {published['source']}. *{NOT_FOUND.capitalize()}*: {published['note']}.")
    if results["agreement_agrees"].notna().any():
        sections.append(
            "*Agrees*: over the same scenes, the mean IoU of the released weights lies within "
            f"{MEAN_TOLERANCE} points of the recorded one, and that of a single scene, on average, within "
            f"{SCENE_TOLERANCE}."
        )
        if results.loc[results["agreement_agrees"].notna(), "net"].eq("masknet").any():
            sections[-1] += (
                " Of a MaskNet, whose choice between two proposals rounding can turn, "
                f"{100 * SHARE_APART:.0f} % of the scenes, and at least one, are left out of this."
            )
    others = "one" if runs.empty else "and the recorded ones"
    where = f"This checkout computed, at scale `{scale}`, all columns but the published {others}"
    if synthetic:
        where += ", on invented alphabets: they compare with no others"
    sections.append(f"{where}. 95 % intervals in brackets; {NOTHING}: none computed.")
    return "\n\n".join(sections) + "\n"
