"""All figures of a task in one table, a figure a row: published, recorded, rechecked, computed here."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any

import pandas as pd

from oneshot.params import CLASSIFICATION, WITH_VALIDATION
from oneshot.published import RISING_WAYS
from oneshot.records.run import Run, list_strange_sets
from oneshot.report.published_rows import NET_TITLES, NETWORK_TITLES, list_classification, list_segmentation

OMNIGLOT = "omniglot"
ALL_INK = "all_ink"  # in place of a network: marking every character
ALL, WITH, WITHOUT = "all", "with_same_class", "without_same_class"
MORE_ALPHABETS = "with validation alphabets"  # to learn from
NOT_COMPUTED = "every method of this checkout"
ABOUT = (
    "net", "recipe", "base", "feature_maps", "n_parameters", "seed", "n_seen", "n_seen_before",
    "trained_on", "n_pairs", "n_copies",
)  # fmt: skip
AGREEMENT = ("agrees", "recorded", "n", "difference_points", "mean_absolute_difference_points")
# In the order of the columns of a table as CSV.
FIELDS = (
    "kind", "network", "run", "clutter_level", "benchmark", "n_way", "answer", "split", "metric", "subset",
    "value", "low", "high", "n", "title", "variant", *ABOUT, "joint", "further", "published_only",
    "second_hand", "source", "not_computed", *(f"agreement_{name}" for name in AGREEMENT),
)  # fmt: skip
WHOLE_NUMBERS = (
    "clutter_level", "n_way", "n", "feature_maps", "n_parameters", "seed", "n_seen", "n_seen_before",
    "n_pairs", "n_copies", "agreement_n",
)  # fmt: skip
DEFAULTS = {"title": "", "variant": "", "joint": False, "further": False, "published_only": False,
            "second_hand": False}  # fmt: skip
SEGMENTATION_KEY = re.compile(
    r"(?P<clutter_level>\d+)/((?P<answer>[^/]+)/)?"
    r"(?P<split>(test|covered)-[^/]+)/(?P<metric>[^/]+)(/(?P<subset>.+))?"
)


class Kind(StrEnum):
    """Way in which a figure was obtained; figures of different kinds share no line of a table."""

    PUBLISHED = "published"
    RECORDED = "recorded"
    RECHECKED = "rechecked"
    HERE = "here"
    PLAYED = "played"


Figures = Mapping[str, Mapping[str, Any]]  # figures by key, each with value, low, high and n


def collect_rows(
    task: str,
    published: Mapping[str, Any],
    metrics: Mapping[str, Any],
    rechecked: Mapping[str, Any] | None = None,
    runs: Iterable[Run] = (),
    players: Mapping[str, Figures] | None = None,
) -> pd.DataFrame:
    """Collect a row for every figure, and for every benchmark that could not be computed.

    published: the task's facts; metrics and rechecked: what the stages evaluate and recheck wrote; players:
    figures of people by their names. `kind`
    says how a figure was obtained, `title` and `variant` what by; `joint` marks one network for several
    levels, `further` runs that stand beside another: of a further seed, or part of an ablation. Of images
    other than Omniglot's nothing published or recorded on classification is listed.
    """
    rows: list[dict[str, Any]] = []
    runs = sort_runs(runs)
    if metrics.get("source", OMNIGLOT) == OMNIGLOT:
        listed = list_classification if task == CLASSIFICATION else list_segmentation
        for about, figures in listed(published):
            rows += list_rows(figures, {"kind": Kind.PUBLISHED} | about)
        for run in runs:
            figures = {key: asdict(figure) for key, figure in run.figures.items()}
            rows += list_rows(figures, {"kind": Kind.RECORDED} | about_run(run, runs))
        for run in runs:
            if again := (rechecked or {}).get("networks", {}).get(run.name):
                about = {"kind": Kind.RECHECKED} | about_run(run, runs)
                rows += list_rows(again["figures"], about, again.get("agreement", {}))
    if ALL_INK in metrics:
        ink = {"kind": Kind.HERE, "network": ALL_INK, "title": "every character marked"}
        rows += list_rows(metrics[ALL_INK]["figures"], ink)
    for name, values in {**metrics.get("networks", {}), **metrics.get("baselines", {})}.items():
        rows += list_rows(values["figures"], about_network(task, name, values))
    for name, of_player in (players or {}).items():
        rows += list_rows(of_player, {"kind": Kind.PLAYED, "title": f"{name}, a player"})
    for benchmark, reason in metrics.get("not_computed", {}).items():
        about = {"kind": Kind.HERE, "title": NOT_COMPUTED, "not_computed": reason}
        rows.append(about | split_key(benchmark))
    rows = [DEFAULTS | row for row in rows]
    return pd.DataFrame(rows, columns=list(FIELDS)).astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def choose(rows: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """Choose the rows whose fields have the wanted values; a list means any of its values."""
    for field, value in wanted.items():
        rows = rows[rows[field].isin(value if isinstance(value, list) else [value])]
    return rows


def choose_most_trained(rows: pd.DataFrame) -> pd.DataFrame:
    """Choose a network for every clutter level: recorded ones first, then by the scenes that it has seen."""
    rows = rows.assign(
        is_recorded=rows["kind"].isin([Kind.RECORDED, Kind.RECHECKED]),
        seen=rows["n_seen"].fillna(0) + rows["n_seen_before"].fillna(0),
    ).sort_values(["clutter_level", "is_recorded", "seen"], ascending=[True, False, False], kind="stable")
    return rows.drop_duplicates("clutter_level")


def list_rows(
    figures: Figures, about: Mapping[str, Any], agreement: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[dict[str, Any]]:
    """List a row for every figure, with its agreement with the record, if any."""
    for key, figure in figures.items():
        more = (agreement or {}).get(key, {})
        yield {**about, **split_key(key), **figure} | {
            f"agreement_{name}": more[name] for name in AGREEMENT if name in more
        }


def split_key(key: str) -> dict[str, Any]:
    """Split a figure's key, such as `4/answer/test-one-shot/iou` or `rising-ways/20`, into its parts."""
    if found := SEGMENTATION_KEY.fullmatch(key):
        parts: dict[str, Any] = found.groupdict()
        return parts | {"clutter_level": int(parts["clutter_level"]), "subset": parts["subset"] or ALL}
    benchmark, _, n_way = key.partition("/")
    if n_way and benchmark in RISING_WAYS:
        return {"benchmark": benchmark, "n_way": int(n_way), "metric": "accuracy"}
    return {"benchmark": key, "metric": "accuracy"}


def sort_runs(runs: Iterable[Run]) -> list[Run]:
    """Sort by network, recipe, size and clutter level, joint ones last; further seeds behind the usual."""

    def key(run: Run) -> tuple[Any, ...]:
        if run.task == CLASSIFICATION:
            size: tuple[Any, ...] = (*find_place(NETWORK_TITLES, run.network), get_base(run))
        else:
            size = (*find_place(NET_TITLES, run.net), *find_place(("published", "fast"), run.recipe))
            levels = run.segmentation.levels
            size += (run.segmentation.feature_maps, len(levels) > 1, levels[0])
        return *size, is_further(run.name), run.seed

    return sorted(runs, key=key)


def find_place(names: Iterable[str], name: str) -> tuple[int, str]:
    """Find where a name stands in a table; unknown ones last, by name."""
    known = [*names]
    return (known.index(name), "") if name in known else (len(known), name)


def is_further(name: str) -> bool:
    """Return whether a run is named after its seed, as all but those of the usual one are, or as short.

    Short runs are those of an ablation, which has a table of its own.
    """
    return "-seed-" in name or "-short" in name


def get_base(run: Run) -> str:
    """Return what a classifier is built on, "" if it has no choice of that."""
    return run.settings.get("base") or ""


def about_run(run: Run, runs: Sequence[Run]) -> dict[str, Any]:
    """Describe a recorded run in the fields of its rows; runs: all there are."""
    words = ["stopped early"] if not run.complete else []
    if starts_elsewhere(run, runs):
        words.append("initialised from another run")
    if run.git_revision.endswith("-dirty"):
        words.append("changed code")
    about = {name: getattr(run, name) for name in ABOUT if hasattr(run, name)}
    about |= {"network": run.network, "run": run.name, "further": is_further(run.name)}
    if run.task == CLASSIFICATION:
        base = get_base(run)
        words = [f"base {base}", *words] if base else words
        words += [MORE_ALPHABETS] if run.recipe == WITH_VALIDATION else []
        if run.name not in (run.network, f"{run.network}-{base}") and not is_further(run.name):
            words.append(f"`{run.name}`")
        title = NETWORK_TITLES.get(run.network, run.network)
        return about | {"base": base or None, "title": title, "variant": ", ".join(words)}
    if list_strange_sets(run.segmentation.test_sets_as_published):
        words.append("on other scenes than the published ones")
    levels, size = run.segmentation.levels, run.segmentation.feature_maps
    name = name_group(run.network, levels) + run.name.removeprefix(run.network)
    title = ", ".join([f"`{name}`", f"{size} feature maps", *words])
    return about | {"feature_maps": size, "joint": len(levels) > 1, "title": title}


def name_group(network: str, levels: Sequence[int]) -> str:
    """Name a network with those that differ from it in their clutter level alone, which share a line."""
    stem = network.removesuffix(f"-{levels[0]}")
    return f"{stem}-N" if len(levels) == 1 and stem != network else network


def starts_elsewhere(run: Run, runs: Iterable[Run]) -> bool:
    """Return whether training began from other weights than usual.

    Usual are none, or the released ones of another kind of network, by the same recipe, for the same levels.
    """
    if run.start_from is None:
        return False
    usual = {
        other.weights.sha256
        for other in runs
        if other.weights is not None and (other.task, other.recipe) == (run.task, run.recipe)
        and other.net != run.net
        and getattr(other.body, "levels", None) == getattr(run.body, "levels", None)
    }  # fmt: skip
    return run.start_from.sha256 not in usual


def about_network(task: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what was computed here, a network or a baseline, in the fields of its rows."""
    about = {key: values.get(key) for key in ABOUT} | {"kind": Kind.HERE, "network": name}
    if task == CLASSIFICATION:
        base = values.get("base")
        more = MORE_ALPHABETS if values.get("recipe") == WITH_VALIDATION else ""
        variant = ", ".join(filter(None, [f"base {base}" if base else "", more]))
        return about | {"title": NETWORK_TITLES.get(name, name), "variant": variant}
    levels = sorted({int(key.partition("/")[0]) for key in values["figures"]})
    return about | {"joint": len(levels) > 1, "title": f"`{name_group(name, levels)}`"}
