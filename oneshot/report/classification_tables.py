"""The tables of classification: which rows of figures each shows, and how it is explained."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from oneshot.report.published_rows import KOCH_NAMES, NETWORK_TITLES, TRAINING_SETS
from oneshot.report.rows import NOT_COMPUTED, OMNIGLOT, RISING_CHARACTERS, Kind, choose, find_place
from oneshot.report.tables import KIND_TITLES, join_words, pivot, write_section

WAYS_IN_NAME = re.compile(r"(\d+)-way-(\d+)-shot$")
NOTES = (
    "*Published only*: nothing here computes that method. The rows {koch} are as published: which of table "
    "1's training sets they had is not known here. Rows *siamese net, ...* are this project's. Table 2's "
    "published nearest neighbour stands in the row of the cosine of raw pixels, which comes closest to it.",
    "Networks of recipe own, and prototypical ones, learn from all 20 drawers of the background alphabets, "
    "table 1's from 12. What trials select (weights, early stops) is selected on the ten evaluation "
    "alphabets that are not tested within an alphabet; characters mixed over alphabets, and rising N, are of "
    "all 20. "
    "Published figures on mixed characters are on another split, which trains on 1,200 characters and their "
    "rotations.",
    "Intervals take trials for independent. 10,000 trials within alphabets ask the test drawers' 1,528 "
    "drawings time and again, so that theirs is too narrow.",
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
    rows = choose(rows, further_seed=False)
    for family in list_families(rows, metrics.get("protocols", {})):
        sections += write_family(rows, family, on_omniglot)
    for name in RISING_CHARACTERS:
        sections += [
            f"*Not computed* (`{name}`): {text}" for text in list_reasons(choose(rows, benchmark=name))
        ]
    if rows["agreement_agrees"].notna().any():
        sections.append("*Agrees*: the recorded weights give the recorded answers here, trial by trial.")
    if on_omniglot:
        koch = " and ".join(f"*{name}*" for name in KOCH_NAMES)
        sections += [f"*Koch et al.*: {published['source']}. {NOTES[0].format(koch=koch)}", *NOTES[1:]]
        for row in choose(rows, benchmark=[*RISING_CHARACTERS], kind=Kind.PUBLISHED).to_dict("records"):
            percent = f"{row['n_way']}-way {100 * row['value']:g} %"
            sections.append(f"For rising N one figure is published, {percent}: {row['source']}.")
        return sections
    title = "synthetic alphabets" if source == "synthetic" else source
    return [*sections, f"These are {title}, not Omniglot: the figures compare with no published one."]


def list_families(rows: pd.DataFrame, protocols: Mapping[str, Mapping[str, Any]]) -> list[Family]:
    """List the tables in order: those of which there is any figure, or a reason why not."""
    names = set(rows["benchmark"].dropna()) - set(RISING_CHARACTERS)

    def way(name: str) -> str:
        n_way = protocols.get(name, {}).get("n_way", 10 if name == "mnist" else 20)
        return f"{n_way}-way 1-shot"

    found = [match for name in names if name.startswith("mixed-") and (match := WAYS_IN_NAME.search(name))]
    mixed: dict[int, dict[str, str]] = {}  # a table for every N, a column for each number of shots
    for n_way, n_shot, name in sorted((int(match[1]), int(match[2]), match.string) for match in found):
        mixed.setdefault(n_way, {})[name] = f"{n_shot}-shot"
    within = {"within-alphabet": "", "within-alphabet-10000": "more trials"}
    families = [
        Family("verification, same character or not", {"verification": ""}, "Koch et al., table 1: "),
        Family(f"{way('within-alphabet')} within an alphabet", within, "Koch et al., table 2: "),
        Family(f"{way('all_runs')}, Lake's own 20 runs", {"all_runs": ""}, error=True),
        Family(f"{way('mnist')} on MNIST", {"mnist": ""}, "Koch et al., table 3: "),
        *(Family(f"{n}-way, characters mixed over alphabets", columns) for n, columns in mixed.items()),
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


def write_family(rows: pd.DataFrame, family: Family, on_omniglot: bool) -> list[str]:
    """Write a table, and below it whose figures are published and why some are not computed."""
    rows = name_cells(choose(rows, benchmark=[*family.benchmarks]), family)
    names = ", ".join(f"`{name}`" for name in family.benchmarks if rows["benchmark"].eq(name).any())
    title = (family.reproduces if on_omniglot else "") + family.title
    measure = "error" if family.error else "accuracy"
    table = pivot(rows, "method", "line", order_lines(rows), family.error)
    notes = [f"*Published*: {text}." for text in dict.fromkeys(choose(rows, kind=Kind.PUBLISHED)["source"])]
    notes += [f"*Not computed*: {text}" for text in list_reasons(rows)]
    return write_section(f"{title[0].upper()}{title[1:]} ({names}), {measure} in %", table, *notes)


def name_cells(rows: pd.DataFrame, family: Family) -> pd.DataFrame:
    """Name line and column of every row; columns in order of how figures were obtained.

    In table 1 networks that are built on different bases, or were cut short, have columns of their own.
    """
    by_variant = "verification" in family.benchmarks
    lines, columns = [], []
    for row in rows.to_dict("records"):
        variant = row["variant"]
        more = "" if row["kind"] == Kind.PUBLISHED and by_variant else variant
        words = more if by_variant else family.benchmarks[row["benchmark"]]
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
        lines.setdefault(row["line"], row["line"] + more)
    return lines


def list_reasons(rows: pd.DataFrame) -> list[str]:
    """List why benchmarks were not computed, each a sentence."""
    return [f"{text.rstrip('.')}." for text in dict.fromkeys(rows["not_computed"].dropna())]
