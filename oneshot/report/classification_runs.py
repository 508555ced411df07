"""The networks of classification: recorded runs and what each of them cost, and those trained here."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.report.classification_rows import (
    HERE,
    NET_TITLES,
    RELEASED,
    SCORER_TITLES,
    VALIDATION,
    is_cut_short,
    sort_records,
)
from oneshot.report.page import NOTHING, format_mean, lay_out, name_counts
from oneshot.report.runs import shorten

MANY_TRIALS = "within-alphabet-10000"
IN_EPISODES = ("own", "protonet")  # recipes whose networks learn from episodes; others from pairs
RUN_WORDS = (
    "*Validation*: the published number of trials, on alphabets of their own. *Complete*: whether all steps "
    "were done that were planned for its minutes. *Points lost*: the most that rounding its weights for "
    "release costs a run in any protocol, against float32."
)


def render_runs(records: Sequence[Mapping[str, Any]], results: pd.DataFrame) -> list[str]:
    """A row for every recorded run, further seeds too; results: where its released weights were evaluated."""
    if not records:
        return []
    titles = (
        "run", "network", "recipe", "seed", "seen", "epochs, of those asked for",
        "minutes of training (in all)", "device", "complete",
        name_trials("validation", [record["validation"] for record in records]),
        name_trials("20-way within alphabet", [record["accuracy"].get(MANY_TRIALS) for record in records]),
        "released weights", "points lost", "Git revision", "released weights, here",
    )  # fmt: skip
    return [
        "**Recorded runs, and what they cost**: accuracy in %, 20-way 1-shot within an alphabet: validation "
        f"(`{VALIDATION}`) and test (`{MANY_TRIALS}`)",
        lay_out(titles, [format_run(record, results) for record in sort_records(records)]),
        RUN_WORDS,
    ]


def name_trials(title: str, means: Sequence[Mapping[str, Any] | None]) -> str:
    counts = name_counts(pd.Series([mean["n"] for mean in means if mean], dtype="Int64"))
    return f"{title}, {counts}" if counts else title


def format_run(record: Mapping[str, Any], results: pd.DataFrame) -> list[str]:
    seconds, weights = record["seconds"], record["weights"]
    lost = weights["lost_points"] if weights else {}
    return [
        f"`{record['name']}`",
        describe_net(record["net_name"], record),
        record["recipe"],
        str(record["seed"]),
        describe_seen(record["recipe"], record["n_seen"]),
        f"{record['n_epochs']:.3g} of {record['n_epochs_asked']:,}",
        f"{seconds['training'] / 60:.1f} ({seconds['total'] / 60:.1f})",
        record["device"],
        describe_end(record),
        format_share(record["validation"]),
        format_share(record["accuracy"].get(MANY_TRIALS)),
        weights["precision"] if weights else NOTHING,
        f"{max(lost.values()):.2f}" if lost else NOTHING,
        f"`{shorten(record['git_revision'])}`",
        describe_agreement(results, record["name"]),
    ]


def describe_net(scorer: str, net: Mapping[str, Any]) -> str:
    """Title, base and size."""
    words = [SCORER_TITLES.get(scorer, scorer)]
    words += [f"base {net['base']}"] if net["base"] else []
    return ", ".join([*words, f"{net['n_parameters']:,} parameters"])


def describe_seen(recipe: str, n_seen: int) -> str:
    return f"{n_seen:,} {'episodes' if recipe in IN_EPISODES else 'pairs'}"


def describe_end(record: Mapping[str, Any]) -> str:
    steps = f"step {record['n_steps']:,} of {record['n_steps_planned']:,}"
    if is_cut_short(record):
        return f"no: {steps}"
    return f"no further progress: {steps}" if record["stopped_early"] else "yes"


def format_share(mean: Mapping[str, Any] | None) -> str:
    return NOTHING if mean is None else format_mean(*(100 * mean[key] for key in ("value", "low", "high")))


def describe_agreement(results: pd.DataFrame, run: str) -> str:
    """Whether a run's released weights do here what was recorded of them, in every protocol compared."""
    released = results[results["kind"].eq(RELEASED) & results["run"].eq(run)]
    if released.empty:
        return "not evaluated"
    compared = released[released["agreement_agrees"].notna()]
    if compared.empty:
        return "not comparable"
    apart = compared.loc[compared["agreement_agrees"].ne(True), "protocol"]
    return f"DIFFERS on {' and '.join(f'`{name}`' for name in apart)}" if len(apart) else "agrees"


def render_trained(results: pd.DataFrame) -> list[str]:
    """A row for every network that this checkout trained."""
    here = results[results["kind"].eq(HERE) & results["scorer"].isin(NET_TITLES)]
    if here.empty:
        return []
    validation = here[here["protocol"].eq(VALIDATION)]
    titles = (
        "network", "recipe", "parameters", "training pairs", "seen", "epochs", "seed",
        f"validation, {name_counts(validation['n'])}" if len(validation) else "validation",
    )  # fmt: skip
    rows = []
    for title, of_net in here.groupby("title", sort=False):
        judged = of_net[of_net["protocol"].eq(VALIDATION)]
        rows.append([str(title), *format_trained(of_net.iloc[0]), format_first(judged)])
    return [
        "**Networks trained here**: accuracy on the validation trials, in %",
        lay_out(titles, rows),
    ]


def format_trained(net: pd.Series) -> list[str]:
    """Recipe, size, what it learned from, seed."""
    pairs = NOTHING if pd.isna(net["n_pairs"]) else f"{net['n_pairs']:,}"
    if not pd.isna(net["n_copies"]) and net["n_copies"]:
        pairs += f", and {net['n_copies']} distorted copies of each"
    epochs, seed = f"{net['n_epochs']:.3g}", str(net["seed"])
    return [
        net["recipe"],
        f"{net['n_parameters']:,}",
        pairs,
        describe_seen(net["recipe"], int(net["n_seen"])),
        epochs,
        seed,
    ]


def format_first(rows: pd.DataFrame) -> str:
    if rows.empty:
        return NOTHING
    row = rows.iloc[0]
    return format_mean(row["percent"], row["low"], row["high"])
