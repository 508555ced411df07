"""Results in README.md, in sentences and two tables: published figures, and ours, which no test chose."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from oneshot.params import WITH_VALIDATION
from oneshot.published import BEST_THRESHOLD, CLUTTER_LEVELS, SELECTION
from oneshot.records.run import OWN_ANSWER
from oneshot.report.published_rows import BASELINE_TITLES, COLOUR_MATCHER, KOCH_NAMES, NET_TITLES
from oneshot.report.rows import ALL, Kind, choose, choose_most_trained
from oneshot.report.segmentation_tables import COVERED_SPLIT, SHOWN_SPLIT, title_net
from oneshot.report.tables import NOTHING, SHORT_TITLES, format_figure, lay_table, name_counts

MOST_COLUMNS = 120  # of a line of the README
OURS = (Kind.HERE, Kind.RECORDED)
SELECTING_TRIALS = (SELECTION, "validation")  # which may choose a network; those with most trials first
KOCH_BASE = "koch"
LEAD_BENCHMARKS = ("within-alphabet-10000", "all_runs")


@dataclass(frozen=True)
class Benchmark:
    """Line of the table of classification: its name, Koch's network as published, other published methods."""

    title: str
    koch: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)


BENCHMARKS = {
    "within-alphabet": Benchmark(
        "one alphabet", KOCH_NAMES, {"humans": "people", "hierarchical Bayesian program learning": "BPL"}
    ),
    "within-alphabet-10000": Benchmark("one alphabet, 10,000 trials"),
    "all_runs": Benchmark(
        "Lake's 20 runs", KOCH_NAMES, {"people": "people", "Bayesian program learning": "BPL"}
    ),
    "mixed-20-way-1-shot": Benchmark("mixed alphabets", (), {"siamese net with cosine": "siamese"}),
    "vinyals-20-way-1-shot": Benchmark(
        "Vinyals' split", (), {"prototypical networks": "prototypical", "SNAIL": "SNAIL"}
    ),
    BEST_THRESHOLD: Benchmark("verification", ("siamese net, 150,000 pairs, affine x 8",)),
}


class Cell(NamedTuple):
    """Text of one cell of a headline table, and the rows of the figures in it."""

    text: str
    rows: list[dict[Any, Any]]


class Headline(NamedTuple):
    """Headline table: the title of its first column, its lines, the cells of its other columns, a caption."""

    first: str
    lines: list[str]
    columns: dict[str, list[Cell]]
    caption: str

    def write(self) -> str:
        """Write the table in Markdown, its caption below it."""
        texts = [[cell.text for cell in cells] for cells in self.columns.values()]
        rows = [[line, *cells] for line, *cells in zip(self.lines, *texts, strict=True)]
        return f"{lay_table([self.first, *self.columns], rows)}\n\n{wrap(self.caption)}\n"


def write_lead(scenes: pd.DataFrame, trials: pd.DataFrame, scale: str) -> str:
    """Write what came out of each task in a sentence; nothing where figures for it are missing.

    scenes, trials: the rows of each task; scale: of what was trained here.
    """
    sentences = [lead_segmentation(scenes, scale), lead_classification(trials)]
    return "\n\n".join(map(wrap, sentences)) + "\n" if all(sentences) else ""


def lead_segmentation(rows: pd.DataFrame, scale: str) -> str:
    """Compare the colour matcher that was trained here with published figures, and tell its limits."""
    rows = choose(rows, metric="iou", subset=ALL, answer=OWN_ANSWER, further=False)
    published = choose(rows, kind=Kind.PUBLISHED, split=SHOWN_SPLIT).astype({"value": float})
    best = published.groupby("clutter_level")["value"].max()
    matchers = choose(rows, kind=Kind.HERE, net=COLOUR_MATCHER, clutter_level=[*best.index])
    ours = choose_most_trained(choose(matchers, split=SHOWN_SPLIT))
    if best.empty or len(ours) < len(best):
        return ""
    covered = ours[["network", "clutter_level"]].merge(choose(matchers, split=COVERED_SPLIT))
    figures, others, under = (
        " / ".join(f"{100 * value:.1f}" for value in values)
        for values in (ours["value"], best, covered["value"])
    )
    levels, n = " / ".join(map(str, best.index)), name_counts(ours["n"])
    n_covered = " / ".join(map(str, covered["n"])) if covered["n"].nunique() > 1 else covered["n"].max()
    lead = (
        f"**Segmentation.** The colour matcher that `dvc repro` trains (scale `{scale}`) has an intersection "
        f"over union (IoU) of {figures} % in scenes of {levels} characters ({n}); the best published "
        f"figures, of networks that do not group pixels, are {others} %"
    )
    if len(covered) < len(best):
        return lead
    return (
        f"{lead}. It profits from how the scenes are made, with flat colours and the target drawn last: "
        "where others may cover it, the IoU of what is visible is "
        f"{under} % (n = {n_covered})"
    )


def lead_classification(rows: pd.DataFrame) -> str:
    """Compare the recorded classifier that is best on the validation trials with published figures."""
    recorded = choose(rows, kind=Kind.RECORDED, further=False)
    recorded = recorded.assign(who=name_owners(recorded)).drop_duplicates(["who", "benchmark"])
    figures = recorded.pivot(index="who", columns="benchmark", values="value")
    figures = figures.reindex(columns=LEAD_BENCHMARKS).dropna()
    names = [name for name in rank_networks(recorded) if name in figures.index]
    if not names:
        return ""
    of_best = figures.astype(float).to_dict("index")[names[0]]
    many, runs = (f"{100 * of_best[name]:.1f} %" for name in LEAD_BENCHMARKS)
    known = {name: choose(rows, benchmark=name) for name in ("within-alphabet", "all_runs")}
    koch, others = write_published(BENCHMARKS, known).values()
    return (
        f"**Classification.** The recorded `{names[0]}` is right in {many} of 10,000 trials within one "
        f"alphabet (published, 400 trials: Koch's network {koch[0].text}, {others[0].text}), and in {runs} "
        f"of the trials of Lake's 20 runs (published: Koch's network {koch[1].text}, {others[1].text})"
    )


def head_segmentation(rows: pd.DataFrame) -> Headline:
    """Lay out the README's table of segmentation: the paper's networks, theirs and ours, colour matcher.

    In a column of ours a recorded network goes before one trained here, and then the one that saw most
    scenes.
    """
    chosen = choose(rows, metric="iou", split=SHOWN_SPLIT, subset=ALL, answer=OWN_ANSWER, further=False)
    nets = [*dict.fromkeys(choose(chosen, kind=Kind.PUBLISHED)["net"])]
    columns = {f"{title_net(net)} (paper)": choose(chosen, kind=Kind.PUBLISHED, net=net) for net in nets}
    for net in nets:
        columns[f"{title_net(net)} (ours)"] = choose_most_trained(choose(chosen, net=net, kind=[*OURS]))
    columns[NET_TITLES[COLOUR_MATCHER]] = choose_most_trained(
        choose(chosen, net=COLOUR_MATCHER, kind=[*OURS])
    )
    cells = {
        title: [write_cell([choose(part, clutter_level=level)]) for level in CLUTTER_LEVELS]
        for title, part in columns.items()
    }
    sources = [
        f"{title}: {described}" for title, part in columns.items() if (described := describe_sources(part))
    ]
    caption = ". ".join(["IoU in %, one-shot characters, with 95 % intervals", *sources])
    return Headline("characters", [*map(str, CLUTTER_LEVELS)], drop_empty(cells), caption)


def describe_sources(rows: pd.DataFrame) -> str:
    """Say how the figures of a column were obtained, what by, and over how many scenes."""
    ours = choose(rows, kind=[*OURS])
    words = []
    for (kind, title), found in ours.groupby(["kind", "title"], sort=False):
        levels = ", ".join(map(str, found["clutter_level"]))
        if len(found) == 1:  # of one network, whose name says its level
            title = str(title).replace("-N", f"-{levels}")
        at = "" if len(found) == len(ours) else f"at {levels} characters "
        words.append(f"{at}{title} ({SHORT_TITLES[Kind(str(kind))]}, {name_counts(found['n'])})")
    return "; ".join(words)


def head_classification(rows: pd.DataFrame) -> Headline:
    """Lay out the README's table of classification: published accuracies, and beside them ours.

    Ours are of the network that is best on the validation trials, of those that have the benchmark; Koch's
    architecture has a column of its own. Those that cannot be ranked are left to docs/results.md. Of other
    images than Omniglot's, with which nothing published compares, all benchmarks.
    """
    rows = choose(rows, further=False)
    rows = rows[~rows["network"].isin([*BASELINE_TITLES]) & rows["n_way"].isna()]
    known, words = BENCHMARKS, "20-way 1-shot accuracy"
    if choose(rows, kind=Kind.PUBLISHED).empty:
        words = "accuracy"
        names = [name for name in dict.fromkeys(rows["benchmark"]) if name not in SELECTING_TRIALS]
        known = {name: Benchmark(f"`{name}`") for name in names}
    found = {name: choose(rows, benchmark=name) for name in known if rows["benchmark"].eq(name).any()}
    columns = {SHORT_TITLES[kind]: choose(rows, kind=kind) for kind in OURS}
    columns["Koch's architecture, ours"] = choose(rows, kind=[*OURS], base=KOCH_BASE)
    ours = {}
    for title, column in columns.items():
        ranked = rank_networks(column)
        ours[title] = [choose_first(choose(column, benchmark=name), ranked) for name in found]
    cells = write_published(known, found)
    cells |= {title: [write_cell([one]) for one in chosen] for title, chosen in ours.items()}
    lines = [known[name].title for name in found]
    named = [text for title, chosen in ours.items() if (text := name_networks(title, lines, chosen))]
    counts = [name_counts(pd.concat(of_line)["n"]) for of_line in zip(*ours.values(), strict=True)]
    caption = "; ".join([f"{words} in %, of verification that of pairs, with 95 % intervals", *named])
    if any(counts):
        counted = " / ".join(count.removeprefix("n = ") or NOTHING for count in counts)
        caption += f"; ours over {counted} trials or pairs"
    return Headline("benchmark", lines, drop_empty(cells), caption)


def write_published(
    known: Mapping[str, Benchmark], found: Mapping[str, pd.DataFrame]
) -> dict[str, list[Cell]]:
    """Write the two published columns: Koch's network, and other methods by name."""
    koch, others = [], []
    for name, of_name in found.items():
        published = choose(of_name, kind=Kind.PUBLISHED)
        koch.append(write_cell([choose(published, title=[*known[name].koch])]))
        beside = {
            words: write_cell([choose(published, title=title)]) for title, words in known[name].others.items()
        }
        text = ", ".join(f"{words} {cell.text}" for words, cell in beside.items())
        others.append(Cell(text or NOTHING, [row for cell in beside.values() for row in cell.rows]))
    return {"Koch's network, published": koch, "others, published": others}


def rank_networks(rows: pd.DataFrame) -> list[str]:
    """Rank networks, recorded ones by their runs, by the validation trials; those without any come last.

    Left out are those that learned from the alphabets of these trials, which cannot rank them.
    """
    rows = rows[rows["recipe"] != WITH_VALIDATION]
    rows = rows.assign(who=name_owners(rows))
    names = [*dict.fromkeys(rows["who"])]
    scores = {
        trials: choose(rows, benchmark=trials).set_index("who")["value"].to_dict()
        for trials in SELECTING_TRIALS
    }
    trials = next(
        (trials for trials in SELECTING_TRIALS if scores[trials].keys() == {*names}), SELECTING_TRIALS[-1]
    )
    return sorted(names, key=lambda name: -float(scores[trials].get(name, -1.0)))


def name_owners(rows: pd.DataFrame) -> pd.Series:
    """Name whose every figure is: the run that was recorded, or the network."""
    return rows["run"].where(rows["run"].notna(), rows["network"])


def choose_first(rows: pd.DataFrame, ranked: Sequence[str]) -> pd.DataFrame:
    """Choose the row of the first of some runs or networks that has one."""
    owners = name_owners(rows)
    found = [of_name for name in ranked if not (of_name := rows[owners == name]).empty]
    return found[0] if found else rows.iloc[:0]


def name_networks(title: str, lines: Iterable[str], chosen: Iterable[pd.DataFrame]) -> str:
    """Say which runs or networks stand in a column, and in which lines all but the first one."""
    places: dict[str, list[str]] = {}
    for line, found in zip(lines, chosen, strict=True):
        for name in name_owners(found):
            places.setdefault(str(name), []).append(line)
    first, *others = places or [""]
    words = [f"`{first}`", *(f"`{name}` ({', '.join(places[name])})" for name in others)]
    return f"{title}: {', '.join(words)}" if first else ""


def drop_empty(columns: Mapping[str, list[Cell]]) -> dict[str, list[Cell]]:
    """Drop the columns without any figure."""
    return {title: cells for title, cells in columns.items() if any(cell.text != NOTHING for cell in cells)}


def write_cell(parts: Iterable[pd.DataFrame]) -> Cell:
    """Write the figures of a cell, of those that there are."""
    rows = [row for part in parts for row in part.to_dict("records") if pd.notna(row["value"])]
    return Cell("; ".join(map(format_figure, rows)) or NOTHING, rows)


def wrap(caption: str) -> str:
    return textwrap.fill(f"{caption}.", MOST_COLUMNS, break_on_hyphens=False, break_long_words=False)
