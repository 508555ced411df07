"""Pages of results: docs/results.md with all tables, and the two headline tables of README.md."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oneshot.published import CLUTTER_LEVELS
from oneshot.records.run import OWN_ANSWER
from oneshot.report.published_rows import BASELINE_TITLES, KOCH_NAMES
from oneshot.report.rows import ALL, Kind, choose
from oneshot.report.segmentation_tables import SHOWN_SPLIT, title_net
from oneshot.report.tables import NOTHING, format_figure, lay_table, name_counts

# Of the README: benchmarks, what they are called, the published method of Koch et al., and others beside it.
BENCHMARKS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "within-alphabet": ("20-way 1-shot, one alphabet", KOCH_NAMES, {"humans": "people",
                        "hierarchical Bayesian program learning": "BPL"}),
    "all_runs": ("Lake's 20 runs", KOCH_NAMES, {"people": "people", "Bayesian program learning": "BPL"}),
    "mixed-20-way-1-shot": ("20-way 1-shot, mixed", ("Koch re-implemented",),
                            {"prototypical networks": "prototypical"}),
    "verification": ("same character or not", ("siamese net, 150,000 pairs, affine x 8",), {}),
}  # fmt: skip
MOST_COLUMNS = 120  # of a line of the README
OURS = {Kind.RECORDED: "recorded, best", Kind.HERE: "trained here, best"}


def head_segmentation(rows: pd.DataFrame) -> str:
    """Write the README's table of segmentation: published figures, and beside them our best at each level."""
    chosen = choose(rows, metric="iou", split=SHOWN_SPLIT, subset=ALL, answer=OWN_ANSWER, further_seed=False)
    columns = {
        f"{title_net(net)}, published": choose(chosen, kind=Kind.PUBLISHED, net=net)
        for net in dict.fromkeys(choose(chosen, kind=Kind.PUBLISHED)["net"])
    }
    columns |= {title: choose(chosen, kind=kind) for kind, title in OURS.items()}
    cells = {
        title: [write_best(choose(column, clutter_level=level)) for level in CLUTTER_LEVELS]
        for title, column in columns.items()
    }
    counts = [
        f"{title.partition(',')[0]} over {counts}"
        for title in OURS.values()
        if (counts := name_counts(columns[title]["n"]))
    ]
    caption = "; ".join(["IoU in %, one-shot characters, with 95 % intervals", *counts])
    return f"{lay_columns('characters', [*map(str, CLUTTER_LEVELS)], cells)}\n\n{caption}.\n"


def head_classification(rows: pd.DataFrame) -> str:
    """Write the README's table of classification: published accuracies, and beside them our best ones.

    With the networks' names where lines stay short enough. Of other images than Omniglot's, with which
    nothing published compares, all benchmarks.
    """
    rows = choose(rows, further_seed=False)
    rows = rows[~rows["network"].isin([*BASELINE_TITLES]) & rows["n_way"].isna()]
    known = BENCHMARKS
    if choose(rows, kind=Kind.PUBLISHED).empty:
        known = {name: (f"`{name}`", (), {}) for name in dict.fromkeys(rows["benchmark"])}
    found = {name: choose(rows, benchmark=name) for name in known if rows["benchmark"].eq(name).any()}
    cells: dict[str, list[str]] = {"Koch's network, published": [], "others, published": []}
    for name, of_name in found.items():
        published = choose(of_name, kind=Kind.PUBLISHED)
        _, koch, others = known[name]
        beside = [f"{words} {write_best(choose(published, title=other))}" for other, words in others.items()]
        cells["Koch's network, published"].append(write_best(choose(published, title=[*koch])))
        cells["others, published"].append(", ".join(beside) or NOTHING)

    def lay(with_names: bool) -> str:
        ours = {
            title: [write_best(choose(of_name, kind=kind), with_names) for of_name in found.values()]
            for kind, title in OURS.items()
        }
        return lay_columns("benchmark", [known[name][0] for name in found], cells | ours)

    counts = [name_counts(choose(of_name, kind=[*OURS])["n"]) for of_name in found.values()]
    caption = "Accuracy in %, with 95 % intervals"
    if any(counts):
        caption += f"; ours over {' / '.join(n.removeprefix('n = ') for n in counts)} trials or pairs"
    table = lay(with_names=True)
    if max(map(len, table.splitlines())) > MOST_COLUMNS:
        table = lay(with_names=False)
    return f"{table}\n\n{caption}.\n"


def lay_columns(first: str, lines: Sequence[str], columns: Mapping[str, Sequence[str]]) -> str:
    """Lay out those of some columns that have any figure."""
    shown = {title: cells for title, cells in columns.items() if set(cells) - {NOTHING}}
    rows = [[line, *(cells[place] for cells in shown.values())] for place, line in enumerate(lines)]
    return lay_table([first, *shown], rows)


def write_best(rows: pd.DataFrame, with_name: bool = True) -> str:
    """Write the highest of some figures; of ours with the network that reached it."""
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return NOTHING
    best = max(rows.to_dict("records"), key=lambda row: float(row["value"]))
    named = with_name and best["kind"] != Kind.PUBLISHED
    return f"{format_figure(best)} `{best['network']}`" if named else format_figure(best)


def write_results(
    segmentation: list[str],
    classification: list[str],
    runs: list[str],
    caption: str,
    about: Mapping[str, Any],
) -> str:
    """Write docs/results.md from the paragraphs of its parts; about: the scale, whether it is synthetic."""
    where = (
        f"This checkout computed all columns but the published and recorded ones, at scale `{about['scale']}`"
    )
    if about["synthetic"]:
        where += ", on synthetic alphabets: they compare with no others"
    paragraphs = [
        "# Results",
        "Written by the stage `tables`; do not edit.",
        f"{where}. 95 % intervals in brackets; {NOTHING}: neither published nor computed.",
        "## Recorded runs",
        *runs,
        "## Segmentation",
        "![Targets, scenes, true masks, and the answers of networks](../figures/predictions.png)",
        caption,
        "![IoU over clutter level](../figures/iou_over_clutter.png)",
        "![IoU over clutter level of both networks, and of the oracles](../figures/oracles.png)",
        *segmentation,
        "## Classification",
        "![Accuracy over the number of characters to choose from](../figures/rising_ways.png)",
        *classification,
    ]
    return "\n\n".join(paragraphs) + "\n"


def replace_block(text: str, name: str, block: str) -> str:
    """Replace what lies between the two comments `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: the comments are not there, once each, in this order.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"the text has no block between {start} and {end}.")
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{block}{end}{after}"
