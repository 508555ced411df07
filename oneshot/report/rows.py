"""All that is known of segmentation, row by row: published, recorded, re-evaluated and computed here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from oneshot.published import CLUTTER_LEVELS
from oneshot.records.recheck import Agreement
from oneshot.records.run import JOINT, Record, Score, SplitScore
from oneshot.segment.answers import OWN

NET_TITLES = {"siamese_unet": "Siamese-U-Net", "masknet": "MaskNet"}
SPLIT_TITLES = {"test-one-shot": "one-shot characters", "test-train": "known characters"}
METRIC_TITLES = {"iou": "IoU", "localisation": "localisation"}
ALL, WITH, WITHOUT = "all", "with same-class distractor", "without"
SUBSETS = {ALL: None, WITH: "with_same_class", WITHOUT: "without_same_class"}  # and what metrics call them
PUBLISHED, RECORDED, RELEASED, INK, HERE = "published", "recorded", "released", "ink", "own"
PUBLISHED_SOURCE, INK_SOURCE = "published", "every character marked"
JOINT_WORDS = "one net for all levels"
RECIPE_ORDER = ("published", "fast")
AGREEMENT_FIELDS = tuple(f"agreement_{field.name}" for field in fields(Agreement))
# In the order of the columns of tables/segmentation.csv.
FIELDS = (
    "kind", "net", "source", "answer", "subset", "metric", "split", "clutter_level", "percent", "low", "high",
    "n", "recipe", "feature_maps", "seed", "joint", "further_seed", "n_scenes_seen", *AGREEMENT_FIELDS,
)  # fmt: skip
WHOLE_NUMBERS = ("n", "feature_maps", "seed", "n_scenes_seen", "agreement_n")
ABOUT_A_NET = ("recipe", "feature_maps", "seed", "n_scenes_seen")
SHOWN_SPLIT = "test-one-shot"
ENDS = {"percent": "value", "low": "low", "high": "high"}

# Means by answer, test set, then metric or, one level deeper, group of scenes: as metrics/ has them.
Answers = Mapping[str | None, Mapping[str, Mapping[str, Any]]]


def collect_segmentation(
    published: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    records: Iterable[Record] = (),
    reevaluated: Sequence[Mapping[str, Any]] = (),
) -> pd.DataFrame:
    """One row for every value, and for every published cell that was not found (its percent is empty).

    published: published/segmentation.json; metrics and reevaluated: the files of the stages evaluate and
    reevaluate, one a level; records: the recorded runs. `kind` says how a value was obtained, `source` in
    words; `answer` is one of `segment.answers`, `subset` a group of scenes; `joint` marks one net for several
    levels, `further_seed` nets beside the one of the usual seed, which tables of columns leave out.
    """
    rows = [*rows_of_published(published)]
    in_order, released = sort_records(records), list_released(reevaluated)
    for record in in_order:
        rows += rows_of_record(record, describe_run(record, in_order))
    for record in in_order:
        for level in record.levels:
            if net := released.get((level, record.net, record.recipe, record.name)):
                rows += rows_of_released(record, describe_run(record, in_order), level, net)
    for of_level in metrics:
        rows += rows_of_own(of_level)
    return pd.DataFrame(rows, columns=list(FIELDS)).astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def rows_of_published(published: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"kind": PUBLISHED, "net": net, "source": PUBLISHED_SOURCE, "answer": OWN, "subset": ALL,
         "metric": metric, "split": split, "clutter_level": level,
         "percent": find_published(published, net, metric, split, level)}
        for net in NET_TITLES
        for metric in METRIC_TITLES
        for split in SPLIT_TITLES
        for level in CLUTTER_LEVELS
    ]  # fmt: skip


def find_published(
    published: Mapping[str, Any], net: str, metric: str, split: str, level: int
) -> float | None:
    percents = published["iou_percent"].get(net, {})
    return percents.get(split, {}).get(str(level)) if metric == "iou" else None


def sort_records(records: Iterable[Record]) -> list[Record]:
    """By network, recipe, size, clutter level (joint ones last); further seeds behind the usual one."""

    def key(record: Record) -> tuple[int, ...]:
        net, recipe = [*NET_TITLES].index(record.net), RECIPE_ORDER.index(record.recipe)
        further = is_further(record.name)
        return net, recipe, record.feature_maps, record.joint, record.levels[0], further, record.seed

    return sorted(records, key=key)


def is_further(name: str) -> bool:
    """Whether a run is named after its seed, too: the one of the usual seed has its clutter level's name."""
    return "-seed-" in name


def rows_of_record(record: Record, run: str) -> Iterator[dict[str, Any]]:
    for level, answers in record.scores.items():
        source = f"recorded: {run}"
        if set(record.test_sets_as_published[level].values()) != {"yes"}:
            source += ", on other scenes than the published ones"
        about = about_record(record, int(level)) | {"kind": RECORDED, "source": source}
        about |= {"seed": record.seed, "n_scenes_seen": record.n_scenes_seen}
        means: Answers = {
            answer: {split: list_means(score) for split, score in by_split.items()}
            for answer, by_split in answers.items()
        }
        yield from rows_of_answers(means, about)


def about_record(record: Record, level: int) -> dict[str, Any]:
    return {
        "net": record.net, "clutter_level": level, "recipe": record.recipe, "joint": record.joint,
        "feature_maps": record.feature_maps, "further_seed": is_further(record.name),
    }  # fmt: skip


def list_means(score: Score) -> dict[str, Any]:
    """A record's score in the form that metrics have."""
    means: dict[str, Any] = {}
    for metric in METRIC_TITLES:
        low, high = getattr(score, f"{metric}_interval")
        means[metric] = {"value": getattr(score, metric), "low": low, "high": high, "n": score.n}
    if isinstance(score, SplitScore):
        groups = {name: getattr(score, name) for name in SUBSETS.values() if name is not None}
        means |= {name: list_means(group) for name, group in groups.items() if group is not None}
    return means


def rows_of_released(
    record: Record, run: str, level: int, net: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Of a record's released weights, as this checkout evaluated them."""
    about = about_record(record, level) | {key: net[key] for key in ABOUT_A_NET if key != "recipe"}
    about |= {"kind": RELEASED, "source": f"released weights, here: {run}"}
    return rows_of_answers(net["answers"], about)


def rows_of_answers(answers: Answers, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for every mean; beside the IoU over all scenes its agreement with the record, if there is one."""
    for answer, by_split in answers.items():
        for split in SPLIT_TITLES:
            for subset, name in SUBSETS.items():
                means = by_split[split] if name is None else by_split[split].get(name, {})
                for metric in METRIC_TITLES:
                    if metric not in means:
                        continue
                    mean, more = means[metric], means.get("agreement", {}) if metric == "iou" else {}
                    yield {
                        **about, "answer": answer, "subset": subset, "metric": metric, "split": split,
                        **{end: 100 * mean[key] for end, key in ENDS.items()}, "n": mean["n"],
                        **{f"agreement_{key}": value for key, value in more.items()},
                    }  # fmt: skip


def describe_run(record: Record, records: Iterable[Record]) -> str:
    """What a column's runs have in common: recipe, network, and whatever sets them apart from plain runs.

    records: all there are.
    """
    words = [JOINT_WORDS] if record.joint else []
    words += [f"recipe {record.recipe}", f"{record.feature_maps} feature maps"]
    if not record.complete:
        words.append("stopped early")
    if starts_elsewhere(record, records):
        words.append("from other weights")
    if record.git_revision.endswith("-dirty"):
        words.append("changed code")
    return ", ".join(words)


def starts_elsewhere(record: Record, records: Iterable[Record]) -> bool:
    """Whether training began from other weights than usual: Siamese-U-Net from none, MaskNet from the
    released Siamese-U-Net of its own recipe and level, wherever that file lay.
    """
    if record.net == "masknet" and record.start_from is not None:
        usual = {
            other.weights.sha256
            for other in records
            if other.net == "siamese_unet" and other.weights is not None
            and (other.recipe, other.clutter_level) == (record.recipe, record.clutter_level)
        }  # fmt: skip
        return record.start_from.sha256 not in usual
    return record.start_from is not None or record.n_scenes_before > 0


Released = dict[tuple[int, str, str, str], Mapping[str, Any]]


def list_released(reevaluated: Sequence[Mapping[str, Any]]) -> Released:
    """What the stage reevaluate found, by clutter level, network, recipe and the run's name."""
    return {
        (of_level["clutter_level"], net, recipe, name): found
        for of_level in reevaluated
        for net, by_recipe in of_level.get("nets", {}).items()
        if net in NET_TITLES
        for recipe, by_name in by_recipe.items()
        for name, found in by_name.items()
    }


def rows_of_own(of_level: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Of marking every character, and of the networks that this checkout trained."""
    about: dict[str, Any] = {"clutter_level": of_level["clutter_level"]}
    if "all_ink" in of_level:
        yield from rows_of_answers({None: of_level["all_ink"]}, about | {"kind": INK, "source": INK_SOURCE})
    for key, values in of_level.items():
        if isinstance(values, Mapping) and "answers" in values:
            about_net = {name: values[name] for name in ABOUT_A_NET}
            about_net |= {"kind": HERE, "source": f"trained here: {describe_own(key, values)}"}
            about_net |= {"net": find_net(key), "joint": key.endswith(JOINT)}
            yield from rows_of_answers(values["answers"], about | about_net)


def find_net(key: str) -> str:
    """Whose key in metrics this is: masknet_level_4 is MaskNet's, level_4 Siamese-U-Net's."""
    return "masknet" if key.startswith("masknet_") else "siamese_unet"


def describe_own(key: str, values: Mapping[str, Any]) -> str:
    which = "a net for each level"
    if key.endswith(JOINT):
        trained_on = values["trained_on"]
        all_levels = trained_on == ", ".join(map(str, CLUTTER_LEVELS))
        which = JOINT_WORDS if all_levels else f"one net, on {trained_on} characters"
    before = values.get("n_scenes_before", 0)
    return (
        f"{which}, recipe {values['recipe']}, {values['feature_maps']} feature maps, "
        f"{values['n_scenes_seen']:,} scenes{f' after {before:,} of Siamese-U-Net' if before else ''}"
    )
