"""All that is known of classification, row by row: published, recorded, re-evaluated and computed here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.report.rows import is_further

OMNIGLOT = "omniglot"
PUBLISHED, RECORDED, RELEASED, HERE = "published", "recorded", "released", "here"
ACCURACY, ERROR, VERIFICATION = "accuracy", "error", "verification"
VALIDATION, BACKGROUND, RISING = "within-alphabet-validation", "background-", "rising-ways"
DISTORTIONS = {"no distortions": "", "affine x 8": "_affine"}  # table 1's columns, and ends of nets' names
TRAINING_SETS = {
    f"pairs_{n}{end}": f"{n:,} pairs, {title}"
    for n in (30_000, 90_000, 150_000)
    for title, end in DISTORTIONS.items()
}
NET_TITLES = {
    **{name: f"siamese net, {words}" for name, words in TRAINING_SETS.items()},
    "own": "siamese net, own recipe",
    "background": "siamese net, background drawers 12 / 4 / 4",
    "protonet": "prototypical network",
}
BASELINE_TITLES = {
    "cosine": "1-nearest neighbour, cosine",
    "cosine_centred": "1-nearest neighbour, cosine, ink centred",
    "euclidean": "1-nearest neighbour, Euclidean",
    "euclidean_centred": "1-nearest neighbour, Euclidean, ink centred",
    "hausdorff": "modified Hausdorff distance",
    "guess": "guessing",
}
SCORER_TITLES = NET_TITLES | BASELINE_TITLES
NOT_COMPUTED = "every method of this checkout"
# Published methods that are also computed, by protocol: their figure stands in the scorer's row.
SAME_METHODS = {
    ("within-alphabet", "1-nearest neighbour"): "cosine",
    ("all_runs", "modified Hausdorff distance"): "hausdorff",
}
# Published figures of methods that are computed too, but whose training (or distance) is not known to be that
# of one of our rows: they have rows of their own without being "published only".
KOCH_NAMES = ("convolutional siamese net", "Koch's network")
REIMPLEMENTED, TUTORIAL = "a PyTorch re-implementation", "a tutorial's network"
SIMILAR_METHODS = (
    *KOCH_NAMES,
    "1-nearest neighbour",
    "Koch re-implemented",
    "prototypical networks",
    REIMPLEMENTED,
    TUTORIAL,
)
PUBLISHED_TABLES = {
    "one_shot_percent": "within-alphabet",
    "all_runs_error_percent": "all_runs",
    "mnist_percent": "mnist",
    "mixed_20_way_1_shot_percent": "mixed-20-way-1-shot",
}
OMNIGLOT_WAYS = {
    "within-alphabet": 20,
    "within-alphabet-10000": 20,
    VALIDATION: 20,
    "all_runs": 20,
    "mnist": 10,
}
WAYS_IN_NAME = re.compile(r"(\d+)-way-(\d+)-shot$")
# In the order of the columns of the table as CSV.
ABOUT_A_NET = ("base", "recipe", "n_parameters", "n_pairs", "n_copies", "n_seen", "n_epochs", "seed")
FIELDS = (
    "kind", "scorer", "variant", "title", "protocol", "metric", "n_way", "n_shot", "percent", "low", "high",
    "n", "published_only", "run", *ABOUT_A_NET, "further_seed", "source", "not_computed", "agreement_agrees",
    "agreement_recorded_percent", "agreement_share_of_equal_answers", "agreement_n",
)  # fmt: skip
WHOLE_NUMBERS = (
    "n_way", "n_shot", "n", "n_parameters", "n_pairs", "n_copies", "n_seen", "seed",
    "agreement_n",
)  # fmt: skip

Ways = Mapping[str, Mapping[str, Any]]  # what metrics say of their protocols, by name


def collect_classification(
    published: Mapping[str, Any],
    baselines: Mapping[str, Any],
    trained: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]] = (),
    reevaluated: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """One row for every value, for every published cell, and for every protocol that could not be computed.

    published: published/koch.json; baselines, trained, reevaluated: metrics of the stages; records: of
    the recorded runs, which are on Omniglot. Of other images nothing published or recorded is listed. `kind`
    says how a value was obtained; `title` is the row of a table, `variant` what its network is built on and
    what sets its run apart; `published_only` marks figures of methods that nothing here computes; `run` names
    a record, `further_seed` those beside the one of the usual seed.
    """
    ways = {**baselines.get("protocols", {}), **trained.get("protocols", {})}
    on_omniglot = baselines.get("source", trained.get("source", OMNIGLOT)) == OMNIGLOT
    rows = [*rows_of_published(published)] if on_omniglot else []
    in_order = sort_records(records)
    for record in in_order if on_omniglot else ():
        about = about_record(record) | {"kind": RECORDED, "source": "recorded"}
        rows += rows_of_means(record, about, ways)
    for record in in_order:
        if found := (reevaluated or {}).get("nets", {}).get(record["name"]):
            about = about_record(record) | {"kind": RELEASED, "source": "released weights, here"}
            rows += rows_of_means(found, about, ways)
    for metrics, source in ((trained, "trained here"), (baselines, "computed here")):
        for scorer, found in metrics.get("scorers", {}).items():
            about = about_net(scorer, found) | {"kind": HERE, "source": source}
            rows += rows_of_means(found, about, ways)
    rows += rows_of_not_computed([baselines, trained], ways)
    return pd.DataFrame(rows, columns=list(FIELDS)).astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))


def rows_of_published(published: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    table_1 = published["verification_percent"]
    for distortions, end in DISTORTIONS.items():
        for n_pairs, percent in table_1[distortions].items():
            yield {
                **about_net(f"pairs_{n_pairs}{end}", {"base": "koch"}), **about_protocol("verification", {}),
                "kind": PUBLISHED, "percent": percent, "n": published["n_verification_pairs"],
                "source": table_1["source"],
            }  # fmt: skip
    for key, protocol in PUBLISHED_TABLES.items():
        for name, percent in published[key].items():
            if name != "source":
                yield about_published(name, protocol) | {
                    "percent": percent, "n": published["n_trials"].get(protocol),
                    "source": published[key]["source"],
                }  # fmt: skip
    other = published["background_splits"]
    for split, percent in other["verification_percent"].items():
        about = about_published(REIMPLEMENTED, f"{BACKGROUND}{split}")
        yield about | {"percent": percent, "source": other["source"]}
    tutorial = published["rising_ways_percent"]
    for n_way in tutorial.keys() - {"source"}:
        about = about_published(TUTORIAL, RISING)
        yield about | {
            "n_way": int(n_way),
            "n_shot": 1,
            "percent": tutorial[n_way],
            "source": tutorial["source"],
        }


def about_published(name: str, protocol: str) -> dict[str, Any]:
    scorer = SAME_METHODS.get((protocol, name))
    return {
        "kind": PUBLISHED, "scorer": scorer, "title": SCORER_TITLES[scorer] if scorer else name,
        "published_only": scorer is None and name not in SIMILAR_METHODS, **about_protocol(protocol, {}),
    }  # fmt: skip


def about_net(scorer: str, found: Mapping[str, Any], *words: str) -> dict[str, Any]:
    """Of a network or a baseline; words: what sets its run apart from plain ones."""
    base = found.get("base")
    variant = ", ".join([f"base {base}", *words] if base else words)
    title = SCORER_TITLES.get(scorer, scorer)
    about = {field: found.get(field) for field in ABOUT_A_NET}
    return about | {
        "scorer": scorer,
        "variant": variant,
        "title": f"{title}, {variant}" if variant else title,
    }


def about_record(record: Mapping[str, Any]) -> dict[str, Any]:
    words = ["cut short"] if is_cut_short(record) else []
    words += ["changed code"] if record["git_revision"].endswith("-dirty") else []
    about = about_net(record["net_name"], record, *words)
    return about | {"run": record["name"], "further_seed": is_further(record["name"])}


def is_cut_short(record: Mapping[str, Any]) -> bool:
    """Whether steps are missing for another reason than that the recipe had seen no progress."""
    return record["n_steps"] < record["n_steps_planned"] and not record["stopped_early"]


def about_protocol(protocol: str, ways: Ways) -> dict[str, Any]:
    metric = ERROR if protocol == "all_runs" else ACCURACY
    if protocol == "verification" or protocol.startswith(BACKGROUND):
        metric = VERIFICATION
    about = {"protocol": protocol, "metric": metric}
    of_protocol, in_name = ways.get(protocol, {}), WAYS_IN_NAME.search(protocol)
    if "n_way" in of_protocol:
        return about | {"n_way": of_protocol["n_way"], "n_shot": of_protocol["n_shot"]}
    if in_name:
        return about | {"n_way": int(in_name[1]), "n_shot": int(in_name[2])}
    if protocol in OMNIGLOT_WAYS:
        return about | {"n_way": OMNIGLOT_WAYS[protocol], "n_shot": 1}
    return about


def rows_of_means(found: Mapping[str, Any], about: Mapping[str, Any], ways: Ways) -> Iterator[dict[str, Any]]:
    """A row for every mean of a network or a baseline; with its agreement with a record, if any."""
    for protocol, mean in list_means(found).items():
        of_protocol = about_protocol(protocol, ways)
        yield {**about, **of_protocol, **as_percents(mean, of_protocol["metric"]), "n": mean["n"]}


def list_means(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """All means by protocol, verification and validation among them."""
    pairs = {"verification": found.get("verification"), VALIDATION: found.get("validation")}
    for split, mean in (found.get("background_verification") or {}).items():
        pairs[f"{BACKGROUND}{split}"] = mean
    return {**found["accuracy"], **{protocol: mean for protocol, mean in pairs.items() if mean}}


def as_percents(mean: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """In %; an accuracy becomes an error where that is what was published."""

    def turn(share: float) -> float:
        # Rounded, as 245 right of 400 err by 38.75 %, which is shown otherwise than 38.7499...
        return round(100 - 100 * share if metric == ERROR else 100 * share, 9)

    low, high = sorted((turn(mean["low"]), turn(mean["high"])))
    percents: dict[str, Any] = {"percent": turn(mean["value"]), "low": low, "high": high}
    if agreement := mean.get("agreement"):
        percents |= {
            "agreement_agrees": agreement["agrees"],
            "agreement_recorded_percent": turn(agreement["recorded"]),
            "agreement_share_of_equal_answers": agreement["share_of_equal_answers"],
            "agreement_n": agreement["n"],
        }
    return percents


def rows_of_not_computed(metrics: Sequence[Mapping[str, Any]], ways: Ways) -> Iterator[dict[str, Any]]:
    """One for each protocol and reason, for all methods at once."""
    reasons = [reason for one in metrics for reason in one.get("not_computed", {}).items()]
    for protocol, reason in dict.fromkeys(reasons):
        yield {"kind": HERE, "title": NOT_COMPUTED, "not_computed": reason, **about_protocol(protocol, ways)}


def sort_records(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By network and base; further seeds behind the usual one."""

    def key(record: Mapping[str, Any]) -> tuple[int, str, bool, int]:
        name = record["name"]
        return rank_scorer(record["net_name"]), record["base"] or "", is_further(name), record["seed"]

    return sorted(records, key=key)


def rank_scorer(scorer: str) -> int:
    """Its place in tables: networks first; unknown ones last."""
    names = [*SCORER_TITLES]
    return names.index(scorer) if scorer in names else len(names)
