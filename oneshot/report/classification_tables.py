"""Tables of classification in Markdown: every way of obtaining a figure in a column of its own."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from oneshot.report.classification_rows import (
    BACKGROUND,
    HERE,
    KOCH_NAMES,
    NOT_COMPUTED,
    OMNIGLOT,
    PUBLISHED,
    RECORDED,
    RELEASED,
    RISING,
    SCORER_TITLES,
    TRAINING_SETS,
    VALIDATION,
    VERIFICATION,
    WAYS_IN_NAME,
    rank_scorer,
)
from oneshot.report.classification_runs import render_runs, render_trained
from oneshot.report.page import NOTHING, format_mean, format_published, lay_out, name_counts

KIND_TITLES = {
    PUBLISHED: "published",
    RECORDED: "recorded",
    RELEASED: "released weights, here",
    HERE: "computed here",
}
SOURCE_WORDS = {"synthetic": "invented alphabets"}
WITHOUT_TABLE = (VALIDATION, RISING, "selection")  # the last is what recorded runs select by


@dataclass(frozen=True)
class Family:
    """Protocols that share a table, with what their columns say of them.

    The title names the task; on Omniglot it begins with what the table reproduces.
    """

    reproduces: str
    title: str
    protocols: Mapping[str, str]


def list_families(results: pd.DataFrame) -> list[Family]:
    """In the order of the tables: those of which there is any figure, or a reason why not."""
    names = set(results["protocol"]) - set(WITHOUT_TABLE)
    within = ("within-alphabet", "within-alphabet-10000")
    families = [
        Family("Koch et al., table 1: ", "verification, same character or not", {"verification": ""}),
        Family(
            "Koch et al., table 2: ", f"{name_ways(results, within)} 1-shot within an alphabet",
            dict(zip(within, ("", "more trials"), strict=True)),
        ),
        Family("", f"{name_ways(results, ['all_runs'])} 1-shot, Lake's own 20 runs", {"all_runs": ""}),
        Family("Koch et al., table 3: ", f"{name_ways(results, ['mnist'])} 1-shot on MNIST", {"mnist": ""}),
        *list_mixed(names),
        Family(
            "Drawers 12 / 4 / 4 of images_background: ", "verification, known characters by other drawers",
            {f"{BACKGROUND}validation": "validation pairs", f"{BACKGROUND}test": "test pairs"},
        ),
    ]  # fmt: skip
    known = {name for family in families for name in family.protocols}
    families += [Family("", name, {name: ""}) for name in sorted(names - known)]
    return [family for family in families if names & family.protocols.keys()]


def list_mixed(names: Iterable[str]) -> list[Family]:
    """A family for every N: one column for each number of shots."""
    found = [match for name in names if name.startswith("mixed-") and (match := WAYS_IN_NAME.search(name))]
    shots: dict[int, dict[str, str]] = {}
    for n_way, n_shot, name in sorted((int(match[1]), int(match[2]), match.string) for match in found):
        shots.setdefault(n_way, {})[name] = f"{n_shot}-shot"
    return [
        Family("", f"{n_way}-way, characters mixed over alphabets", protocols)
        for n_way, protocols in shots.items()
    ]


def name_ways(results: pd.DataFrame, protocols: Iterable[str]) -> str:
    found = results.loc[results["protocol"].isin(list(protocols)), "n_way"].dropna()
    return " or ".join(f"{n}-way" for n in sorted(set(found)))


def render_classification(
    results: pd.DataFrame,
    records: Sequence[Mapping[str, Any]],
    published: Mapping[str, Any],
    scale: str,
    source: str,
) -> str:
    """All classification tables as Markdown.

    results: of `collect_classification`; records: of the recorded runs; published: published/koch.json;
    source: whose images these are, as metrics name it. Of images other than Omniglot's no recorded run and no
    published figure is shown.
    """
    on_omniglot = source == OMNIGLOT
    sections = render_runs(records, results) if on_omniglot else []
    sections += render_trained(results)
    for family in list_families(results):
        sections += render_family(results, family, on_omniglot)
    sections += explain_published(results, published) if on_omniglot else []
    sections += explain_ours(results)
    columns = "all columns"
    if on_omniglot:
        columns += f" but the published {'and the recorded ones' if records else 'ones'}"
    else:
        whose = SOURCE_WORDS.get(source, source)
        sections.append(f"These are {whose}, not Omniglot: the figures compare with no published one.")
    sections.append(
        f"This checkout computed, at scale `{scale}`, {columns}. 95 % intervals in brackets; {NOTHING}: none "
        "computed."
    )
    return "\n\n".join(sections) + "\n"


def render_family(results: pd.DataFrame, family: Family, on_omniglot: bool) -> list[str]:
    """A table, and below it whose figures are published and why some are not computed."""
    rows = results[results["protocol"].isin(list(family.protocols)) & results["further_seed"].ne(True)]
    if rows.empty:
        return []
    metric = rows["metric"].iloc[0]
    names = ", ".join(f"`{name}`" for name in family.protocols if rows["protocol"].eq(name).any())
    title = (family.reproduces if on_omniglot else "") + family.title
    title = title[0].upper() + title[1:]
    measure = "accuracy" if metric == VERIFICATION else metric
    is_table_1 = "verification" in family.protocols and on_omniglot
    table = tabulate_training_sets(rows) if is_table_1 else tabulate_methods(rows, family)
    words = [
        f"*Published*: {text}." for text in dict.fromkeys(rows.loc[rows["kind"].eq(PUBLISHED), "source"])
    ]
    words += [f"*Not computed*: {text}" for text in list_reasons(rows)]
    return [f"**{title}** ({names}), {measure} in %", table, *([" ".join(words)] if words else [])]


def list_reasons(rows: pd.DataFrame) -> list[str]:
    """Why protocols were not computed, each a sentence."""
    return [f"{text.rstrip('.')}." for text in dict.fromkeys(rows["not_computed"].dropna())]


def tabulate_methods(rows: pd.DataFrame, family: Family) -> str:
    """Methods down, those with a published figure first; ways of obtaining a figure across."""
    columns = {}
    for kind, kind_title in KIND_TITLES.items():
        for protocol, words in family.protocols.items():
            column = rows[rows["kind"].eq(kind) & rows["protocol"].eq(protocol)]
            if not column.empty:
                columns[name_column(column, kind_title, words)] = column
    return lay_cells("method", order_titles(rows), columns, "title")


def tabulate_training_sets(rows: pd.DataFrame) -> str:
    """As table 1: sets of training pairs down, then networks that learned otherwise; networks that are built
    on different bases, or were cut short, have columns of their own.
    """
    titles = [TRAINING_SETS.get(scorer, SCORER_TITLES.get(scorer, scorer)) for scorer in rows["scorer"]]
    rows = rows.assign(training=pd.Series(titles, rows.index, dtype=object)).fillna({"variant": ""})
    columns = {}
    for kind, kind_title in KIND_TITLES.items():
        of_kind = rows[rows["kind"].eq(kind)]
        for variant, column in of_kind.groupby("variant", sort=False):
            words = "" if kind == PUBLISHED else str(variant)
            columns[name_column(column, kind_title, words)] = column
    first = [title for title in TRAINING_SETS.values() if title in titles]
    return lay_cells("training", [*dict.fromkeys([*first, *titles])], columns, "training")


def name_column(column: pd.DataFrame, *words: str) -> str:
    """Its words, and how many trials or pairs its figures are means over."""
    return ", ".join(word for word in (*words, name_counts(column["n"])) if word)


def order_titles(rows: pd.DataFrame) -> list[str]:
    """Of methods: as published, then networks and baselines."""

    def key(title: str) -> tuple[bool, int, str]:
        of_title = rows[rows["title"].eq(title)]
        if of_title["kind"].eq(PUBLISHED).any():
            return False, 0, ""
        if title == NOT_COMPUTED:
            return True, len(SCORER_TITLES) + 1, ""
        return True, rank_scorer(of_title["scorer"].iloc[0]), title

    return sorted(dict.fromkeys(rows["title"]), key=key)


def lay_cells(first: str, titles: Sequence[str], columns: Mapping[str, pd.DataFrame], key: str) -> str:
    """A Markdown table; key: the field that says which row of it a result belongs to."""
    marked = {
        title
        for column in columns.values()
        for title in column.loc[column["published_only"].eq(True), key]
    }  # fmt: skip
    rows = [
        [f"{title} (published only)" if title in marked else title,
         *(format_cell(column[column[key].eq(title)]) for column in columns.values())]
        for title in titles
    ]  # fmt: skip
    return lay_out([first, *columns], rows)


def format_cell(found: pd.DataFrame) -> str:
    """What there is of a row in a column: as a rule one result."""
    return " / ".join(map(format_result, found.to_dict("records"))) or NOTHING


def format_result(result: Mapping[Any, Any]) -> str:
    if pd.notna(result["not_computed"]):
        return "not computed"
    if result["kind"] == PUBLISHED:
        in_table_1 = result["protocol"] == "verification"  # which has two decimals
        return f"{result['percent']:.2f}" if in_table_1 else format_published(result["percent"])
    text = format_mean(result["percent"], result["low"], result["high"])
    if result["kind"] != RELEASED or pd.isna(result["agreement_agrees"]):
        return text
    if result["agreement_agrees"]:
        return f"{text}, agrees"
    return (
        f"{text}, DIFFERS: {result['agreement_recorded_percent']:.1f} recorded over the same "
        f"{result['agreement_n']:,}, of which {100 * result['agreement_share_of_equal_answers']:.1f} % are "
        "answered alike"
    )


def explain_published(results: pd.DataFrame, published: Mapping[str, Any]) -> list[str]:
    """What the published figures are, and where no row of ours is known to be their like."""
    names = " and ".join(f"*{name}*" for name in KOCH_NAMES)
    tutorial = results[results["protocol"].eq(RISING) & results["kind"].eq(PUBLISHED)]
    return [
        f"*Koch et al.*: {published['source']}. *Published only*: nothing here computes that method.",
        f"The rows {names} are as published: which of table 1's training sets they had is not known here. "
        "Rows *siamese net, ...* are this project's. Table 2's published nearest neighbour stands "
        "in the row of the cosine of raw pixels, which comes closest to it.",
        "Networks of recipe own, and prototypical ones, learn from all 20 drawers of the background "
        "alphabets, table 1's from 12. What trials select (weights, early stops) is selected on the ten "
        "evaluation alphabets that are not tested within an alphabet; characters mixed over alphabets, and "
        "rising N, are of all 20. Published figures on mixed characters are on another "
        "split, which trains on 1,200 characters and their rotations.",
        "Intervals take trials for independent. 10,000 trials within alphabets ask the test drawers' 1,528 "
        "drawings time and again, so that theirs is too narrow.",
        *(f"For rising N one figure is published, {row['n_way']}-way {row['percent']:g} %: {row['source']}."
          for row in tutorial.to_dict("records")),
    ]  # fmt: skip


def explain_ours(results: pd.DataFrame) -> list[str]:
    """What agrees, and why protocols that have no table were not computed."""
    reasons = {name: list_reasons(results[results["protocol"].eq(name)]) for name in WITHOUT_TABLE}
    words = [f"*Not computed* (`{name}`): {text}" for name, texts in reasons.items() for text in texts]
    if results["agreement_agrees"].notna().any():
        words.append(
            "*Agrees*: over the same trials or pairs the released weights do here what was recorded of them."
        )
    return words
