"""Tables of results in Markdown: every way of obtaining a figure in a column of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.agreement import MEAN_TOLERANCE, SCENE_TOLERANCE
from oneshot.results import METRIC_TITLES, PUBLISHED, RELEASED, SHOWN_SPLIT, SPLIT_TITLES, choose_shown
from oneshot.scenes import CLUTTER_LEVELS

NOTHING, NOT_FOUND = "–", "not found"
NO_RUNS = (
    "No long run is recorded in `results/` yet, so no weights are released: beside the published figures "
    "stand only those that this checkout computed."
)
RUN_TITLES = (
    "characters", "published", "recorded", "recipe, feature maps", "batch size", "learning rate", "seed",
    "scenes seen", "minutes of training (in all)", "device", "waiting", "complete", "Git revision",
    "released weights, here",
)  # fmt: skip
RUN_WORDS = (
    "*Waiting*: the share of the training time in which there was no batch to work on. *Complete*: whether "
    "all planned steps were done."
)
REVISION_DIGITS = 10


def tabulate(results: pd.DataFrame, metric: str, split: str) -> str:
    """A Markdown table: clutter levels down, ways of obtaining the figure across, in % with 95 % interval."""
    chosen = results[
        (results["metric"] == metric) & (results["split"] == split) & results["further_seed"].ne(True)
    ]
    columns = list(dict.fromkeys(chosen["column"]))
    rows = [
        [str(level), *(format_cell(chosen, level, column) for column in columns)] for level in CLUTTER_LEVELS
    ]
    return lay_out(["characters", *(title_column(chosen, column) for column in columns)], rows)


def lay_out(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [titles, *rows]]
    return "\n".join([lines[0], "|" + "---:|" * len(titles), *lines[1:]])


def title_column(chosen: pd.DataFrame, column: str) -> str:
    """With the number of scenes that every figure of the column is a mean over."""
    counts = sorted(set(chosen.loc[chosen["column"] == column, "n"].dropna()))
    return f"{column}, n = {' or '.join(f'{n:,}' for n in counts)}" if counts else column


def format_cell(chosen: pd.DataFrame, level: int, column: str) -> str:
    found = chosen[(chosen["clutter_level"] == level) & (chosen["column"] == column)]
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


def format_published(percent: float | None) -> str:
    return NOT_FOUND if pd.isna(percent) else f"{percent:.1f}"


def format_mean(percent: float, low: float, high: float) -> str:
    return f"{percent:.1f} ({low:.1f} to {high:.1f})"


def tabulate_runs(runs: pd.DataFrame, published: Mapping[int, float | None]) -> str:
    """A Markdown table of what every recorded run cost; a line for each clutter level that has none, too.

    published: the figure of every clutter level, in %, or None where none was found.
    """
    rows = []
    for level in CLUTTER_LEVELS:
        begin = [str(level), format_published(published[level])]
        of_level = runs[runs["clutter_level"] == level]
        rows += [begin + format_run(run) for _, run in of_level.iterrows()]
        if of_level.empty:
            rows.append(begin + [NOTHING] * (len(RUN_TITLES) - len(begin)))
    return lay_out(RUN_TITLES, rows)


def format_run(run: pd.Series) -> list[str]:
    scenes = f"{run['n_scenes_seen']:,}"
    if run["n_scenes_before"]:
        scenes += f", after {run['n_scenes_before']:,} of another run"
    device = run["device"] if run["n_processes"] == 1 else f"{run['n_processes']} x {run['device']}"
    stopped = f"no: step {run['n_steps']:,} of {run['n_steps_planned']:,}"
    return [
        format_mean(run["iou_percent"], run["iou_low"], run["iou_high"]),
        f"{run['recipe']}, {run['feature_maps']}",
        f"{run['batch_size']:,}",
        f"{run['lr']:g}",
        str(run["seed"]),
        scenes,
        f"{run['training_minutes']:.1f} ({run['whole_minutes']:.1f})",
        device,
        f"{100 * run['waiting_share']:.1f} %",
        "yes" if run["complete"] else stopped,
        f"`{shorten(run['git_revision'])}`",
        run["here"],
    ]


def shorten(revision: str) -> str:
    """A Git revision's first digits, and that its files had been changed."""
    digits, dash, dirty = revision.partition("-")
    return digits[:REVISION_DIGITS] + dash + dirty


def render_tables(
    results: pd.DataFrame, runs: pd.DataFrame, published: Mapping[str, Any], scale: str, *, synthetic: bool
) -> str:
    """All segmentation tables as Markdown; `synthetic`: this scale's scenes are of invented alphabets."""
    sections = render_runs(results, runs)
    for metric, metric_title in METRIC_TITLES.items():
        for split, split_title in SPLIT_TITLES.items():
            sections.append(f"**{metric_title}, {split_title}** (`{split}`), in %")
            sections.append(tabulate(results, metric, split))
    sections.append(f"*Published*: {published['source']}. *{NOT_FOUND.capitalize()}*: {published['note']}.")
    if results["agreement_agrees"].notna().any():
        sections.append(
            "*Agrees*: over the same scenes, the mean IoU of the released weights lies within "
            f"{MEAN_TOLERANCE} points of the recorded one, and that of a single scene, on average, within "
            f"{SCENE_TOLERANCE}."
        )
    others = "one" if runs.empty else "and the recorded ones"
    where = f"This checkout computed, at scale `{scale}`, all columns but the published {others}"
    if synthetic:
        where += ", on invented alphabets: they compare with no others"
    sections.append(f"{where}. 95 % intervals in brackets; {NOTHING}: none computed.")
    return "\n\n".join(sections) + "\n"


def render_runs(results: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """The recorded runs and their cost, or that there are none."""
    if runs.empty:
        return [NO_RUNS]
    cells = results[
        (results["kind"] == PUBLISHED) & (results["metric"] == "iou") & (results["split"] == SHOWN_SPLIT)
    ]
    published = dict(zip(cells["clutter_level"], cells["percent"], strict=True))
    counts = sorted(set(runs["n"]))
    n = " or ".join(f"{count:,}" for count in counts)
    return [
        f"**Recorded runs, and what they cost**: IoU, {SPLIT_TITLES[SHOWN_SPLIT]} (`{SHOWN_SPLIT}`), in %, "
        f"recorded over n = {n} scenes",
        tabulate_runs(runs, published),
        RUN_WORDS,
    ]


def render_caption(metrics: Sequence[Mapping[str, Any]], reevaluated: Sequence[Mapping[str, Any]]) -> str:
    """Whose answers the picture of predictions shows, level by level, as `choose_shown` has chosen them."""
    levels: dict[str, list[str]] = {}
    for own, released in zip(metrics, reevaluated, strict=True):
        shown = choose_shown(own, released)
        levels.setdefault(shown.who if shown else "no network", []).append(str(own["clutter_level"]))
    answers = "; ".join(f"at {', '.join(of_who)} characters of {who}" for who, of_who in levels.items())
    return (
        "*Target, scene, truth, answer: green pixels are right, red ones wrong, yellow ones missed. One-shot "
        f"characters, the first scenes of each test set. Answers {answers}.*\n"
    )


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
