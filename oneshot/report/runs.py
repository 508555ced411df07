"""The recorded runs, what each of them cost, and whether its weights do here what was recorded of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.records.run import Record
from oneshot.report.page import NOTHING, format_mean, format_published, lay_out
from oneshot.report.rows import (
    NET_TITLES,
    SHOWN_SPLIT,
    SPLIT_TITLES,
    find_published,
    list_released,
    sort_records,
)
from oneshot.segment.answers import OWN

# In the order of the columns of tables/recorded_runs.csv.
RUN_FIELDS = (
    "net", "name", "clutter_level", "joint", "recipe", "feature_maps", "seed", "published_percent",
    "iou_percent", "iou_low", "iou_high", "n", "here", "n_scenes_seen", "n_scenes_before", "training_minutes",
    "whole_minutes", "budget_minutes", "device", "n_processes", "speed", "scenes_per_second", "waiting_share",
    "n_steps", "n_steps_planned", "complete", "n_epochs", "n_jobs", "batch_size", "lr", "matching_weight",
    "lower_levels", "git_revision", "date", "weights_sha256",
)  # fmt: skip
A_TRAINING = ("n_epochs", "batch_size", "lr", "matching_weight")  # may differ between a run's trainings
NO_RUNS = (
    "No long run is recorded in `results/` yet, so no weights are released: beside the published figures "
    "stand only those that this checkout computed."
)
RUN_TITLES = (
    "network", "characters", "published", "recorded", "recipe, feature maps", "batch size", "learning rate",
    "seed", "scenes seen", "minutes of training (in all)", "device", "waiting", "complete", "Git revision",
    "released weights, here",
)  # fmt: skip
RUN_WORDS = (
    "*Waiting*: the share of the training time in which there was no batch to work on. *Complete*: whether "
    "all planned steps were done."
)
JOINT_CHARACTERS = "4 to 256"
JOINT_RUN_WORDS = (
    f" *{JOINT_CHARACTERS}*: one net for all levels, with its figures at 4, 8, 16, 32, 64, 128 and 256 "
    "characters."
)
TRAININGS_WORDS = " Two values: of the proposals' training; of the discriminator's."
REVISION_DIGITS = 10


def collect_runs(
    published: Mapping[str, Any], records: Iterable[Record], reevaluated: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """A row for every level of every recorded run: the published figure, ours, what the run cost, and whether
    it holds here.
    """
    released = list_released(reevaluated)
    rows = []
    for record in sorted(sort_records(records), key=order):
        for level in record.levels:
            score = record.scores[str(level)][OWN][SHOWN_SPLIT]
            found = released.get((level, record.net, record.recipe, record.name))
            rows.append(about_run(record) | {
                "clutter_level": level,
                "published_percent": find_published(published, record.net, "iou", SHOWN_SPLIT, level),
                "iou_percent": 100 * score.iou,
                "iou_low": 100 * score.iou_interval[0],
                "iou_high": 100 * score.iou_interval[1],
                "n": score.n,
                "here": describe_agreement(found),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(RUN_FIELDS))


def order(record: Record) -> tuple[int, int, int]:
    return [*NET_TITLES].index(record.net), record.joint, record.levels[0]


def about_run(record: Record) -> dict[str, Any]:
    """What is the same at every level."""
    seconds, trainings = record.seconds, record.training
    found = {field: getattr(record, field) for field in RUN_FIELDS if hasattr(record, field)}
    for field in A_TRAINING:
        values = [getattr(training, field) for training in trainings]
        found[field] = values[0] if len(set(values)) == 1 else "; ".join(map(str, values))
    return found | {
        "training_minutes": seconds.training / 60,
        "whole_minutes": seconds.total / 60,
        "scenes_per_second": record.n_scenes_seen / seconds.training if seconds.training else 0.0,
        "waiting_share": seconds.waiting / seconds.training if seconds.training else 0.0,
        "n_steps": sum(training.n_steps for training in trainings),
        "n_steps_planned": sum(training.n_steps_planned for training in trainings),
        "speed": ", ".join(record.speed),
        "weights_sha256": record.weights.sha256 if record.weights else None,
    }


def describe_agreement(net: Mapping[str, Any] | None) -> str:
    """Whether re-evaluated weights do what was recorded of them, in every answer on both test sets."""
    if net is None:
        return "not evaluated"
    agreements = {
        split: [by_split[split].get("agreement") for by_split in net["answers"].values()]
        for split in SPLIT_TITLES
    }
    if not all(agreement for of_split in agreements.values() for agreement in of_split):
        return "not comparable"
    apart = [
        SPLIT_TITLES[split]
        for split, of_split in agreements.items()
        if not all(agreement["agrees"] for agreement in of_split)
    ]
    return f"DIFFERS on {' and '.join(apart)}" if apart else "agrees"


def render_runs(runs: pd.DataFrame) -> list[str]:
    """The recorded runs and their cost, or that there are none."""
    if runs.empty:
        return [NO_RUNS]
    counts = sorted(set(runs["n"]))
    n = " or ".join(f"{count:,}" for count in counts)
    words = RUN_WORDS
    words += JOINT_RUN_WORDS if runs["joint"].any() else ""
    words += TRAININGS_WORDS if runs["batch_size"].map(str).str.contains(";").any() else ""
    return [
        f"**Recorded runs, and what they cost**: IoU, {SPLIT_TITLES[SHOWN_SPLIT]} (`{SHOWN_SPLIT}`), in %, "
        f"recorded over n = {n} scenes",
        lay_out(RUN_TITLES, [format_run(levels) for levels in split_runs(runs)]),
        words,
    ]


def split_runs(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of every run, one for each of its levels."""
    for _, levels in runs.groupby(["net", "recipe", "name"], sort=False):
        yield levels


def format_run(levels: pd.DataFrame) -> list[str]:
    run = levels.iloc[0]
    scenes = f"{run['n_scenes_seen']:,}"
    if run["n_scenes_before"]:
        scenes += f", after {run['n_scenes_before']:,} of another run"
    device = run["device"] if run["n_processes"] == 1 else f"{run['n_processes']} x {run['device']}"
    stopped = f"no: step {run['n_steps']:,} of {run['n_steps_planned']:,}"
    return [
        NET_TITLES[run["net"]],
        *format_figures(levels),
        f"{run['recipe']}, {run['feature_maps']}",
        str(run["batch_size"]),
        str(run["lr"]),
        str(run["seed"]),
        scenes,
        f"{run['training_minutes']:.1f} ({run['whole_minutes']:.1f})",
        device,
        f"{100 * run['waiting_share']:.1f} %",
        "yes" if run["complete"] else stopped,
        f"`{shorten(run['git_revision'])}`",
        " / ".join(dict.fromkeys(levels["here"])),
    ]


def format_figures(levels: pd.DataFrame) -> list[str]:
    """Characters, the published figure, ours: of a joint run those of all levels, without intervals."""
    run = levels.iloc[0]
    if run["joint"]:
        published, ours = (
            " / ".join(NOTHING if pd.isna(percent) else f"{percent:.1f}" for percent in levels[name])
            for name in ("published_percent", "iou_percent")
        )
        return [JOINT_CHARACTERS, published, ours]
    ours = format_mean(run["iou_percent"], run["iou_low"], run["iou_high"])
    return [str(run["clutter_level"]), format_published(run["published_percent"]), ours]


def shorten(revision: str) -> str:
    """A Git revision's first digits, and that its files had been changed."""
    digits, dash, dirty = revision.partition("-")
    return digits[:REVISION_DIGITS] + dash + dirty
