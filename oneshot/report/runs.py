"""Networks, recorded and trained here: what each learned from, what it cost, whether that holds here."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from oneshot.params import SEGMENTATION
from oneshot.published import SELECTION
from oneshot.records.run import Run
from oneshot.report.rows import Kind, choose, get_base, sort_runs
from oneshot.report.tables import (
    NOTHING,
    format_mean,
    in_percent,
    join_words,
    lay_table,
    name_counts,
    write_section,
)

# In the order of the columns of tables/recorded_runs.csv.
RUN_FIELDS = (
    "task", "name", "network", "net", "recipe", "size", "n_parameters", "seed", "levels", "n_seen",
    "n_seen_before", "training_minutes", "whole_minutes", "budget_minutes", "waiting_share", "device",
    "n_processes", "speed", "complete", "figure", "value", "low", "high", "n", "precision",
    "most_lost_points", "rechecked", "git_revision", "date", "weights_sha256",
)  # fmt: skip
# Of classification: the table shows the first that there is.
SHOWN = ("within-alphabet-10000", "within-alphabet", "validation")
NO_RUNS = "No long run is recorded yet: beside the published figures stand only those computed here."
TITLES = (
    "run", "recipe, size", "seed", "seen", "minutes of training (in all)", "device", "waiting", "complete",
    "figure", "recorded", "precision, points lost", "rechecked here", "Git revision",
)  # fmt: skip
WORDS = (
    "*Figure*: the one shown, in %; all others are in the tables below. *Waiting*: the share of the training "
    "time in which there was no batch to work on. *Complete*: whether training ended by itself. *Points "
    "lost*: the most that rounding the weights for release costs, on the scenes or trials that decide on it."
)

ABLATED = "contrastive"  # recipe
ABLATION_WORDS = (
    "Settings are shown where runs differ. Compare runs that were trained for as long. The trials are of the "
    "evaluation alphabets that are not tested: they are for choosing, not results."
)


def collect_runs(runs: Iterable[Run], rechecked: Mapping[str, Any]) -> pd.DataFrame:
    """Collect a row for every recorded run; rechecked: what the stage recheck wrote of their task."""
    rows = [describe_run(run, rechecked.get("networks", {}).get(run.name)) for run in sort_runs(runs)]
    return pd.DataFrame(rows, columns=list(RUN_FIELDS))


def describe_run(run: Run, rechecked: Mapping[str, Any] | None) -> dict[str, Any]:
    """Describe a run in the fields of its row."""
    levels: tuple[int, ...] = ()
    if run.task == SEGMENTATION:
        levels, size = run.segmentation.levels, f"{run.segmentation.feature_maps} feature maps"
        shown = f"{levels[0]}/answer/test-one-shot/iou"
    else:
        size = f"base {get_base(run)}" if get_base(run) else ""
        shown = next(name for name in (*SHOWN, *run.figures) if name in run.figures)
    figure, seconds, weights = run.figures[shown], run.seconds, run.weights
    about = {name: getattr(run, name) for name in RUN_FIELDS if hasattr(run, name)}
    lost = [*weights.lost_points.values()] if weights else []
    return about | {
        "size": size,
        "levels": " ".join(map(str, levels)),
        "training_minutes": seconds.training / 60,
        "whole_minutes": seconds.total / 60,
        "waiting_share": seconds.waiting / seconds.training if seconds.training else 0.0,
        "speed": ", ".join(run.speed),
        "figure": shown,
        **{end: in_percent(getattr(figure, end)) for end in ("value", "low", "high")},
        "n": figure.n,
        "precision": weights.precision if weights else None,
        "most_lost_points": max(lost) if lost else None,
        "rechecked": describe_agreement(rechecked),
        "weights_sha256": weights.sha256 if weights else None,
    }


def describe_agreement(rechecked: Mapping[str, Any] | None) -> str:
    """Say whether rechecked weights do what was recorded of them, wherever that was compared."""
    if rechecked is None:
        return "not evaluated"
    found = rechecked.get("agreement", {})
    apart = [key for key, agreement in found.items() if not agreement["agrees"]]
    if apart:
        return f"DIFFERS on {' and '.join(f'`{key}`' for key in apart)}"
    return "agrees" if found else "not comparable"


def write_runs(table: pd.DataFrame) -> list[str]:
    """Write the recorded runs and their cost, or that there are none; table: of `collect_runs`."""
    if table.empty:
        return [NO_RUNS]
    lines = [format_run(row) for row in table.to_dict("records")]
    return write_section("Recorded runs, and what they cost", lay_table(TITLES, lines), WORDS)


def format_run(row: Mapping[Any, Any]) -> list[str]:
    """Write the cells of a run."""
    seen = f"{row['n_seen']:,}"
    if row["n_seen_before"]:
        seen += f", after {row['n_seen_before']:,} of another run"
    lost = NOTHING if pd.isna(row["most_lost_points"]) else f"{row['most_lost_points']:.2f}"
    shares = {end: row[end] / 100 for end in ("value", "low", "high")}
    digits, dash, dirty = row["git_revision"].partition("-")
    return [
        f"`{row['name']}`",
        join_words(row["recipe"], row["size"], f"{row['n_parameters']:,} parameters"),
        str(row["seed"]),
        seen,
        f"{row['training_minutes']:.1f} ({row['whole_minutes']:.1f})",
        row["device"] if row["n_processes"] == 1 else f"{row['n_processes']} x {row['device']}",
        f"{100 * row['waiting_share']:.1f} %",
        "yes" if row["complete"] else "no",
        f"`{row['figure']}`, n = {row['n']:,}",
        format_mean(shares),
        f"{row['precision']}, {lost}",
        row["rechecked"],
        f"`{digits[:10]}{dash}{dirty}`",
    ]


def write_ablation(runs: Iterable[Run]) -> list[str]:
    """Write what runs of one recipe reach on the validation trials, and how their settings differ."""
    found = [run for run in runs if run.recipe == ABLATED and SELECTION in run.figures and not run.members]
    if len(found) < 2:
        return []
    found.sort(key=lambda run: -run.figures[SELECTION].value)
    settings = [{"net": run.net, **run.settings} for run in found]
    names = dict.fromkeys(name for of_run in settings for name in of_run)
    varied = [name for name in names if len({str(of_run.get(name)) for of_run in settings}) > 1]
    lines = [
        [
            f"`{run.name}`",
            *(NOTHING if of_run.get(name) is None else str(of_run[name]) for name in varied),
            str(run.seed),
            f"{run.n_seen:,}",
            f"{run.seconds.training / 60:.1f}",
            format_mean(asdict(run.figures[SELECTION])),
        ]
        for run, of_run in zip(found, settings, strict=True)
    ]
    titles = ("run", *varied, "seed", "episodes seen", "minutes of training", "accuracy in %")
    n_trials = name_counts(run.figures[SELECTION].n for run in found)
    title = f"Ablation of recipe {ABLATED}, on the validation trials (`{SELECTION}`, {n_trials})"
    return write_section(title, lay_table(titles, lines), ABLATION_WORDS)


def write_trained(rows: pd.DataFrame) -> list[str]:
    """Write what was trained here, a line a network; rows: of one task."""
    trained = choose(rows, kind=Kind.HERE).drop_duplicates("network")
    trained = trained[trained["recipe"].notna()]
    if trained.empty:
        return []
    lines = [
        [f"`{row['network']}`", describe_size(row), row["recipe"], describe_seen(row), str(row["seed"])]
        for row in trained.to_dict("records")
    ]
    table = lay_table(("network", "size", "recipe", "learned from", "seed"), lines)
    return write_section("Networks trained here", table)


def describe_size(row: Mapping[Any, Any]) -> str:
    """Say how large a network is: its feature maps, or its base, and its parameters."""
    words = [] if pd.isna(row["feature_maps"]) else [f"{row['feature_maps']} feature maps"]
    words += [f"base {row['base']}"] if isinstance(row["base"], str) else []
    words += [] if pd.isna(row["n_parameters"]) else [f"{row['n_parameters']:,} parameters"]
    return ", ".join(words)


def describe_seen(row: Mapping[Any, Any]) -> str:
    """Say what a network learned from: so many scenes of some levels, so many of its pairs, or episodes."""
    if isinstance(row["trained_on"], str):
        before = row["n_seen_before"]
        more = "" if pd.isna(before) or not before else f", after {before:,} of another network"
        return f"{row['n_seen']:,} scenes with {row['trained_on']} characters{more}"
    if pd.isna(row["n_pairs"]):
        return f"{row['n_seen']:,} episodes"
    copies = f" and {row['n_copies']} distorted copies of each" if row["n_copies"] else ""
    return f"{row['n_seen']:,} pairs, of {row['n_pairs']:,}{copies}"
