"""All that is known of segmentation, row by row: published, recorded, re-evaluated and computed here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from oneshot.agreement import Agreement
from oneshot.records import Record
from oneshot.scenes import CLUTTER_LEVELS

SPLIT_TITLES = {"test-one-shot": "one-shot characters", "test-train": "known characters"}
METRIC_TITLES = {"iou": "IoU", "localisation": "localisation"}
PUBLISHED, RECORDED, RELEASED, INK, OWN = "published", "recorded", "released", "ink", "own"
PUBLISHED_COLUMN, INK_COLUMN = "published", "every character marked"
RECIPE_ORDER = ("published", "fast")
# In the order of the columns of tables/segmentation.csv and tables/recorded_runs.csv.
AGREEMENT_FIELDS = tuple(f"agreement_{field.name}" for field in fields(Agreement))
FIELDS = (
    "kind", "column", "metric", "split", "clutter_level", "percent", "low", "high", "n", "recipe",
    "feature_maps", "seed", "further_seed", "n_scenes_seen", *AGREEMENT_FIELDS,
)  # fmt: skip
WHOLE_NUMBERS = ("n", "feature_maps", "seed", "n_scenes_seen", "agreement_n")
RUN_FIELDS = (
    "clutter_level", "recipe", "feature_maps", "seed", "published_percent", "iou_percent", "iou_low",
    "iou_high", "n", "here", "n_scenes_seen", "n_scenes_before", "training_minutes", "whole_minutes",
    "budget_minutes", "device", "n_processes", "speed", "scenes_per_second", "waiting_share", "n_steps",
    "n_steps_planned", "complete", "n_epochs", "n_jobs", "batch_size", "lr", "matching_weight",
    "lower_levels", "git_revision", "date", "weights_sha256",
)  # fmt: skip
ABOUT_A_NET = ("recipe", "feature_maps", "seed", "n_scenes_seen")
SHOWN_RECIPES = ("fast", "published")  # whose masks the pictures show, the first there is
SHOWN_SPLIT = "test-one-shot"


def collect_segmentation(
    published: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    records: Iterable[Record] = (),
    reevaluated: Sequence[Mapping[str, Any]] = (),
) -> pd.DataFrame:
    """One row for every value, and for every published cell that was not found (its percent is empty).

    published: data/published/segmentation.json; metrics and reevaluated: the files of the stages evaluate and
    reevaluate, one a level; records: the recorded runs. `kind` says how a value was obtained, `column` in
    words; `further_seed` marks nets beside the one of the usual seed, which tables of columns leave out.
    """
    rows = [*rows_of_published(published)]
    in_order, released = sort_records(records), list_released(reevaluated)
    for record in in_order:
        rows += rows_of_record(record)
    for record in in_order:
        if net := released.get((record.clutter_level, record.recipe, record.name)):
            rows += rows_of_released(record, net)
    for of_level in metrics:
        rows += rows_of_own(of_level)
    return pd.DataFrame(rows, columns=list(FIELDS)).astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def rows_of_published(published: Mapping[str, Any]) -> list[dict[str, Any]]:
    percents = published["iou_percent"]["siamese_unet"]
    return [
        {"kind": PUBLISHED, "column": PUBLISHED_COLUMN, "metric": metric, "split": split,
         "clutter_level": level, "percent": find_published(percents, metric, split, level)}
        for metric in METRIC_TITLES
        for split in SPLIT_TITLES
        for level in CLUTTER_LEVELS
    ]  # fmt: skip


def find_published(percents: Mapping[str, Any], metric: str, split: str, level: int) -> float | None:
    return percents.get(split, {}).get(str(level)) if metric == "iou" else None


def sort_records(records: Iterable[Record]) -> list[Record]:
    """By recipe, network size, clutter level; further seeds behind the usual one."""

    def key(record: Record) -> tuple[int, ...]:
        recipe = RECIPE_ORDER.index(record.recipe)
        return recipe, record.feature_maps, record.clutter_level, is_further(record.name), record.seed

    return sorted(records, key=key)


def is_further(name: str) -> bool:
    """Whether a run is named after its seed, too: the one of the usual seed has its clutter level's name."""
    return "-seed-" in name


def rows_of_record(record: Record) -> list[dict[str, Any]]:
    about = {
        "clutter_level": record.clutter_level, "recipe": record.recipe, "feature_maps": record.feature_maps,
        "seed": record.seed, "n_scenes_seen": record.n_scenes_seen, "further_seed": is_further(record.name),
    }  # fmt: skip
    column = f"recorded: {describe_run(record)}"
    if set(record.test_sets_as_published.values()) != {"yes"}:
        column += ", on other scenes than the published ones"
    rows = []
    for split in SPLIT_TITLES:
        score = record.scores[split]
        for metric in METRIC_TITLES:
            low, high = getattr(score, f"{metric}_interval")
            mean = {"value": getattr(score, metric), "low": low, "high": high, "n": score.n}
            rows.append(row(RECORDED, column, metric, split, mean, about))
    return rows


def rows_of_released(record: Record, net: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a record's released weights, as this checkout evaluated them."""
    column = f"released weights, here: {describe_run(record)}"
    about = {key: net[key] for key in ABOUT_A_NET if key != "recipe"}
    about |= {"clutter_level": record.clutter_level, "recipe": record.recipe}
    about |= {"further_seed": is_further(record.name)}
    rows = []
    for split in SPLIT_TITLES:
        for metric in METRIC_TITLES:
            agreement = net[split].get("agreement", {}) if metric == "iou" else {}
            more = {f"agreement_{key}": value for key, value in agreement.items()}
            rows.append(row(RELEASED, column, metric, split, net[split][metric], about | more))
    return rows


def describe_run(record: Record) -> str:
    """What a column's runs have in common: recipe, network, and whatever sets them apart from plain runs."""
    words = [f"recipe {record.recipe}", f"{record.feature_maps} feature maps"]
    if not record.complete:
        words.append("stopped early")
    if record.start_from or record.n_scenes_before:
        words.append("from other weights")
    if record.git_revision.endswith("-dirty"):
        words.append("changed code")
    return ", ".join(words)


def list_released(reevaluated: Sequence[Mapping[str, Any]]) -> dict[tuple[int, str, str], Mapping[str, Any]]:
    """What the stage reevaluate found, by clutter level, recipe and the run's name."""
    return {
        (of_level["clutter_level"], recipe, name): net
        for of_level in reevaluated
        for recipe, nets in of_level.get("nets", {}).items()
        for name, net in nets.items()
    }


def rows_of_own(of_level: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the networks that this checkout trained, and of marking every character."""
    rows = []
    for net, values in of_level.items():
        if not isinstance(values, Mapping):
            continue
        about = {"clutter_level": of_level["clutter_level"]}
        if net == "all_ink":
            kind, column = INK, INK_COLUMN
        else:
            kind, column = OWN, f"trained here: {describe_own(net, values)}"
            about |= {key: values[key] for key in ABOUT_A_NET}
        for split in SPLIT_TITLES:
            for metric, mean in values.get(split, {}).items():
                rows.append(row(kind, column, metric, split, mean, about))
    return rows


def describe_own(net: str, values: Mapping[str, Any]) -> str:
    which = f"one net, on {values['trained_on']} characters" if net == "joint" else "a net for each level"
    return (
        f"{which}, recipe {values['recipe']}, {values['feature_maps']} feature maps, "
        f"{values['n_scenes_seen']:,} scenes"
    )


def row(
    kind: str, column: str, metric: str, split: str, mean: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    place = {"kind": kind, "column": column, "metric": metric, "split": split}
    percents = {"percent": 100 * mean["value"], "low": 100 * mean["low"], "high": 100 * mean["high"]}
    return place | percents | {"n": mean["n"]} | dict(about)


def collect_runs(
    published: Mapping[str, Any], records: Iterable[Record], reevaluated: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """One row for every recorded run: the published figure, ours, what it cost, and whether it holds here."""
    percents = published["iou_percent"]["siamese_unet"]
    released = list_released(reevaluated)
    rows = []
    for record in sorted(sort_records(records), key=lambda record: record.clutter_level):
        level, score = record.clutter_level, record.scores[SHOWN_SPLIT]
        found = {field: getattr(record, field) for field in RUN_FIELDS if hasattr(record, field)}
        found |= {
            "published_percent": find_published(percents, "iou", SHOWN_SPLIT, level),
            "iou_percent": 100 * score.iou,
            "iou_low": 100 * score.iou_interval[0],
            "iou_high": 100 * score.iou_interval[1],
            "n": score.n,
            "here": describe_agreement(released.get((level, record.recipe, record.name))),
            "training_minutes": record.seconds.training / 60,
            "whole_minutes": record.seconds.total / 60,
            "speed": ", ".join(record.speed),
            "weights_sha256": record.weights.sha256 if record.weights else None,
        }
        rows.append(found)
    return pd.DataFrame(rows, columns=list(RUN_FIELDS))


def describe_agreement(net: Mapping[str, Any] | None) -> str:
    """Whether re-evaluated weights do what was recorded of them, on both test sets."""
    if net is None:
        return "not evaluated"
    agreements = {split: net[split].get("agreement") for split in SPLIT_TITLES}
    if not all(agreements.values()):
        return "not comparable"
    apart = [SPLIT_TITLES[split] for split, agreement in agreements.items() if not agreement["agrees"]]
    return f"DIFFERS on {' and '.join(apart)}" if apart else "agrees"


@dataclass(frozen=True)
class Shown:
    """Whose masks the pictures show at a clutter level: the stage that made them, their key, in words who."""

    stage: str
    key: str
    who: str


def choose_shown(metrics: Mapping[str, Any], reevaluated: Mapping[str, Any]) -> Shown | None:
    """The released network of the usual seed, else the level's own of this checkout, else the joint one."""
    level = metrics["clutter_level"]
    for recipe in SHOWN_RECIPES:
        net = reevaluated.get("nets", {}).get(recipe, {}).get(str(level))
        if net is not None:
            who = f"the released networks (recipe {recipe}, {net['feature_maps']} feature maps)"
            return Shown("reevaluated", f"{recipe}/{level}", who)
    for own in (f"level_{level}", "joint"):
        if own in metrics:
            return Shown("segmentation", own, f"the network trained here ({describe_own(own, metrics[own])})")
    return None
