"""Tables that tell why scenes are missed: oracles that do part of the work, and same-class distractors."""

from collections.abc import Sequence

import pandas as pd

from oneshot.published import CLUTTER_LEVELS
from oneshot.report.page import NOTHING, format_mean, lay_out, name_counts
from oneshot.report.rows import ALL, HERE, NET_TITLES, RECORDED, SPLIT_TITLES, WITH, WITHOUT
from oneshot.segment.answers import DEFINITIONS, ORACLES, OWN

SAME_CLASS_WORDS = (
    "*Same-class distractor*: another instance of the target's character in the scene; marking it counts as "
    "wrong."
)


def render_oracles(results: pd.DataFrame) -> list[str]:
    """For every MaskNet with oracles a table of them, beside both networks' own answers; what they are."""
    chosen = choose_iou(results)
    with_oracles = chosen[chosen["answer"].isin(ORACLES)]
    sections = []
    for source in dict.fromkeys(with_oracles["source"]):
        of_source = chosen[chosen["source"].eq(source) & chosen["net"].eq("masknet")]
        sections += [
            f"**How much is finding, how much is cutting out**: IoU in %, {source}",
            lay_columns(list_oracle_columns(chosen, of_source)),
        ]
    if sections:
        words = [f"*{ORACLES[name].capitalize()}*: {DEFINITIONS[name]}." for name in ORACLES]
        sections.append(" ".join(words))
    return sections


def list_oracle_columns(chosen: pd.DataFrame, of_source: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Title and rows of the columns of a MaskNet's table: one-shot characters first, then known ones.

    Siamese-U-Net's are of all that were obtained alike: recorded or here, joint or not, by the same recipe.
    """
    like = of_source.iloc[0]
    alike = chosen["net"].eq("siamese_unet") & chosen["answer"].eq(OWN)
    for name in ("kind", "recipe", "joint"):
        alike &= chosen[name].eq(like[name])
    columns = {}
    for split, split_title in SPLIT_TITLES.items():
        for source, rows in chosen[alike & chosen["split"].eq(split)].groupby("source", sort=False):
            words = f" ({str(source).partition(': ')[2]})"
            columns[f"Siamese-U-Net{words}, {split_title}, {name_counts(rows['n'])}"] = rows
        for answer, answer_title in {OWN: "MaskNet", **ORACLES}.items():
            rows = of_source[of_source["split"].eq(split) & of_source["answer"].eq(answer)]
            if not rows.empty:
                columns[f"{answer_title}, {split_title}, {name_counts(rows['n'])}"] = rows
    return columns


def render_same_class(results: pd.DataFrame) -> list[str]:
    """For each test set a table of IoU with and without a same-class distractor, and how many have one."""
    sections = []
    for split, split_title in SPLIT_TITLES.items():
        rows = results[results["split"].eq(split) & results["metric"].eq("iou")]
        chosen = choose_iou(rows, (ALL, WITH, WITHOUT))
        chosen = chosen[chosen["answer"].eq(OWN)]
        columns: dict[str, pd.DataFrame] = {}
        for (net, source), of_source in chosen.groupby(["net", "source"], sort=False):
            groups = {subset: of_source[of_source["subset"].eq(subset)] for subset in (ALL, WITH, WITHOUT)}
            if groups[WITH].empty and groups[WITHOUT].empty:
                continue
            title = f"{NET_TITLES[str(net)]}, {source}, {name_counts(groups[ALL]['n'])}"
            columns |= {f"{title}: with": groups[WITH], f"{title}: without": groups[WITHOUT]}
        if columns:
            shares = {"scenes with one": [share_of_scenes(rows, level) for level in CLUTTER_LEVELS]}
            sections += [
                f"**IoU with and without a same-class distractor, {split_title}** (`{split}`), in %",
                lay_columns(columns, shares),
            ]
    return [*sections, SAME_CLASS_WORDS] if sections else []


def share_of_scenes(rows: pd.DataFrame, level: int) -> str:
    """Of those scenes that have a same-class distractor, by whichever source has seen most of them."""
    rows = rows[rows["clutter_level"].eq(level)]
    counts = rows.pivot_table("n", ["kind", "source"], "subset", "max", dropna=True)
    counts = counts.reindex(columns=[ALL, WITH, WITHOUT]).astype(float)
    counts = counts[counts[[WITH, WITHOUT]].notna().any(axis=1)]
    if counts.empty:
        return NOTHING
    most = counts.fillna(0).sort_values(ALL, kind="stable").iloc[-1]
    return f"{100 * most[WITH] / most[ALL]:.1f} %"


def choose_iou(results: pd.DataFrame, subsets: Sequence[str] = (ALL,)) -> pd.DataFrame:
    """IoU of networks, recorded or trained here, of the usual seed."""
    return results[
        results["kind"].isin([RECORDED, HERE])
        & results["metric"].eq("iou")
        & results["subset"].isin(subsets)
        & results["further_seed"].ne(True)
    ]


def lay_columns(columns: dict[str, pd.DataFrame], before: dict[str, list[str]] | None = None) -> str:
    """Clutter levels down; columns of ready cells first, then columns of means."""
    ready = before or {}
    rows = [
        [str(level), *(cells[place] for cells in ready.values()),
         *(format_level(column, level) for column in columns.values())]
        for place, level in enumerate(CLUTTER_LEVELS)
    ]  # fmt: skip
    return lay_out(["characters", *ready, *columns], rows)


def format_level(column: pd.DataFrame, level: int) -> str:
    found = column[column["clutter_level"].eq(level)]
    if found.empty:
        return NOTHING
    cell = found.iloc[0]
    return format_mean(cell["percent"], cell["low"], cell["high"])
