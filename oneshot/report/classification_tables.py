"""The tables of classification: which rows of figures each shows, and how it is explained."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from oneshot.published import BEST_THRESHOLD, RISING_WAYS
from oneshot.records.recheck import SHARE_MOVED, SHARE_TURNED
from oneshot.report.published_rows import KOCH_NAMES, NETWORK_TITLES, TRAINING_SETS
from oneshot.report.rows import NOT_COMPUTED, OMNIGLOT, Kind, choose, find_place
from oneshot.report.tables import KIND_TITLES, join_words, pivot, write_section

WAYS_IN_NAME = re.compile(r"(.+)-(\d+)-way-(\d+)-shot$")
TABLE_1_COLUMNS = {
    BEST_THRESHOLD: "at the threshold best on validation pairs",
    "verification": "at a probability of 1/2",
}
# Benchmarks of several N and numbers of shots, by the beginnings of their names.
MANY_WAYS = {
    "within-alphabet": "within an alphabet, by any drawers",
    "mixed": "characters mixed over alphabets",
    "vinyals": "turned characters of the split of Vinyals et al. 2016",
}
NOTES = (
    "*Published only*: nothing here computes that method. The rows {koch} are as published: which of table "
    "1's training sets they had is not known here. Rows *siamese net, ...* are this project's. Table 2's "
    "published nearest neighbour stands in the row of the cosine of raw pixels, which comes closest to it.",
    "The lists of trials within one alphabet are this project's, of the paper's test alphabets and drawers. "
    "The paper publishes none; its nearest neighbour's 21.7 % is what a cosine reaches on Lake's 20 runs, so "
    "that its one-shot figures may be of those.",
    "Networks of recipe own, and prototypical ones, learn from all 20 drawers of the background alphabets, "
    "table 1's from 12. The validation trials, which select weights and early stops, are of the ten "
    "evaluation alphabets that are not tested within an alphabet; characters mixed over alphabets, or "
    "within one by any drawers, and accuracy over N, are of all 20. The split of Vinyals et al. tests "
    "the last 423 characters; networks here learn from the first 964 of the 1,200 that train there.",
    "*With validation alphabets*: recipe contrastive_40 learns from those ten evaluation alphabets, too, "
    "which with the other 30 are the 40 that Koch et al. call background. It has no validation trials then, "
    "and its figures are only of alphabets that it has not seen.",
    "Intervals are Wilson's, in which queries that share a support set count as far as they are independent. "
    "They do not say how much figures would change with other alphabets, of which there are ten.",
)


@dataclass(frozen=True)
class Family:
    """Benchmarks that share a table, and what its columns say of each.

    reproduces: what begins the title where the images are Omniglot's; error: whether errors are shown.
    """

    title: str
    benchmarks: Mapping[str, str]
    reproduces: str = ""
    error: bool = False


def write_classification(
    rows: pd.DataFrame, metrics: Mapping[str, Any], published: Mapping[str, Any]
) -> list[str]:
    """Write all tables of classification, a paragraph an item; metrics: of the stage evaluate."""
    source = metrics.get("source", OMNIGLOT)
    on_omniglot = source == OMNIGLOT
    sections: list[str] = []
    rows = choose(rows, further=False)
    for family in list_families(rows, metrics.get("protocols", {})):
        sections += write_family(rows, family, on_omniglot)
    for name in RISING_WAYS:
        sections += [
            f"*Not computed* (`{name}`): {text}" for text in list_reasons(choose(rows, benchmark=name))
        ]
    if rows["agreement_agrees"].notna().any():
        sections.append(
            "*Agrees*: the recorded weights give the recorded answers here, trial by trial; at most one in "
            f"{1 / SHARE_TURNED:,.0f} differs, and the number of right ones by one in {1 / SHARE_MOVED:,.0f} "
            "(of fewer trials by one)."
        )
    if on_omniglot:
        koch = " and ".join(f"*{name}*" for name in KOCH_NAMES)
        sections += [f"*Koch et al.*: {published['source']}. {NOTES[0].format(koch=koch)}", *NOTES[1:]]
        for row in choose(rows, benchmark=[*RISING_WAYS], kind=Kind.PUBLISHED).to_dict("records"):
            percent = f"{row['n_way']}-way {100 * row['value']:g} %"
            sections.append(
                f"Of accuracy over N (picture above) one figure is published, {percent}: {row['source']}."
            )
        return sections
    title = "synthetic alphabets" if source == "synthetic" else source
    return [*sections, f"These are {title}, not Omniglot: the figures compare with no published one."]


def list_families(rows: pd.DataFrame, protocols: Mapping[str, Mapping[str, Any]]) -> list[Family]:
    """List the tables in order: those of which there is any figure, or a reason why not."""
    names = set(rows["benchmark"].dropna()) - set(RISING_WAYS)

    def way(name: str) -> str:
        n_way = protocols.get(name, {}).get("n_way", 10 if name == "mnist" else 20)
        return f"{n_way}-way 1-shot"

    within = {"within-alphabet": "", "within-alphabet-10000": "more trials"}
    families = [
        Family("verification, same character or not", TABLE_1_COLUMNS, "Koch et al., table 1: "),
        Family(f"{way('within-alphabet')} within an alphabet", within, "Koch et al., table 2: "),
        Family(f"{way('all_runs')}, Lake's own 20 runs", {"all_runs": ""}, error=True),
        Family(f"{way('mnist')} on MNIST", {"mnist": ""}, "Koch et al., table 3: "),
        *list_many_ways(names),
        Family(
            "verification, known characters by other drawers",
            {
                "background-verification/validation": "validation pairs",
                "background-verification/test": "test pairs",
            },
            "Drawers 12 / 4 / 4 of images_background: ",
        ),
        Family(
            "trials that may select a network", {"validation": "as many as published", "selection": "many"}
        ),
    ]
    known = {name for family in families for name in family.benchmarks}
    families += [Family(name, {name: ""}) for name in sorted(names - known)]
    return [family for family in families if names & family.benchmarks.keys()]


def list_many_ways(names: Iterable[str]) -> Iterator[Family]:
    """List a table for every kind of episodes and every N, with a column for each number of shots."""
    found = [match for name in names if (match := WAYS_IN_NAME.fullmatch(name)) and match[1] in MANY_WAYS]
    kinds = [*MANY_WAYS]
    columns: dict[tuple[int, int], dict[str, str]] = {}
    for place, n_way, n_shot in sorted(
        (kinds.index(match[1]), int(match[2]), int(match[3])) for match in found
    ):
        name = f"{kinds[place]}-{n_way}-way-{n_shot}-shot"
        columns.setdefault((place, n_way), {})[name] = f"{n_shot}-shot"
    for (place, n_way), of_family in columns.items():
        yield Family(f"{n_way}-way, {MANY_WAYS[kinds[place]]}", of_family)


def write_family(rows: pd.DataFrame, family: Family, on_omniglot: bool) -> list[str]:
    """Write a table, and below it whose figures are published and why some are not computed."""
    rows = name_cells(choose(rows, benchmark=[*family.benchmarks]), family)
    names = ", ".join(f"`{name}`" for name in family.benchmarks if rows["benchmark"].eq(name).any())
    title = (family.reproduces if on_omniglot else "") + family.title
    measure = "error" if family.error else "accuracy"
    table = pivot(rows, "method", order_lines(rows), family.error)
    notes = cite_sources(choose(rows, kind=Kind.PUBLISHED))
    notes += [f"*Not computed*: {text}" for text in list_reasons(rows)]
    return write_section(f"{title[0].upper()}{title[1:]} ({names}), {measure} in %", table, *notes)


def name_cells(rows: pd.DataFrame, family: Family) -> pd.DataFrame:
    """Name line and column of every row; columns in order of how figures were obtained.

    In table 1 networks that are built on different bases, or were cut short, have columns of their own.
    """
    by_variant = family.benchmarks is TABLE_1_COLUMNS
    lines, columns = [], []
    for row in rows.to_dict("records"):
        variant = row["variant"]
        words = family.benchmarks[row["benchmark"]]
        if by_variant and row["kind"] != Kind.PUBLISHED:
            words = join_words(variant, words)
        lines.append(row["title"] if by_variant else join_words(row["title"], variant))
        columns.append(join_words(KIND_TITLES[row["kind"]], words))
    rows = rows.assign(line=lines, column=columns)
    kinds, names = [*KIND_TITLES], [*family.benchmarks]
    places = [
        len(names) * kinds.index(kind) + names.index(name)
        for kind, name in zip(rows["kind"], rows["benchmark"], strict=True)
    ]
    return rows.assign(place=places).sort_values("place", kind="stable")


def order_lines(rows: pd.DataFrame) -> dict[str, str]:
    """Order lines as published, then networks and baselines in their order; mark what is published only."""
    published = set(choose(rows, kind=Kind.PUBLISHED)["line"])

    def key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
        if row["line"] in published:
            return 0, [*TRAINING_SETS].index(row["network"]) if row["network"] in TRAINING_SETS else 0
        return 1 + (row["title"] == NOT_COMPUTED), find_place(NETWORK_TITLES, str(row["network"]))

    lines: dict[str, str] = {}
    for row in sorted(rows.to_dict("records"), key=key):
        more = " (published only)" if row["published_only"] else ""
        more += " (second-hand)" if row["second_hand"] else ""
        lines.setdefault(row["line"], row["line"] + more)
    return lines


def cite_sources(published: pd.DataFrame) -> list[str]:
    """List where the published figures of a table stand; of several sources which methods each is of."""
    sources = published.groupby("source", sort=False)["title"].unique()
    notes = []
    for source, methods in sources.items():
        of_methods = f" ({', '.join(methods)})" if len(sources) > 1 and len(methods) < 4 else ""
        notes.append(f"*Published*{of_methods}: {source}.")
    if published["second_hand"].any():
        notes.append("*Second-hand*: not read in the publication itself.")
    return notes


def list_reasons(rows: pd.DataFrame) -> list[str]:
    """List why benchmarks were not computed, each a sentence."""
    return [f"{text.rstrip('.')}." for text in dict.fromkeys(rows["not_computed"].dropna())]
