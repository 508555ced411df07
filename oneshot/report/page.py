"""Pages of results: docs/results.md with all tables, and the two headline tables of README.md."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from oneshot.published import CLUTTER_LEVELS
from oneshot.report.published_rows import BASELINE_TITLES, KOCH_NAMES
from oneshot.report.rows import ALL, ALL_INK, HERE, PUBLISHED, RECORDED, choose
from oneshot.report.segmentation_tables import SHOWN_SPLIT, title_net
from oneshot.report.tables import NOTHING, format_figure, lay_out, name_counts
from oneshot.segment.answers import OWN

# Of the README: benchmarks, what they are called, the published method of Koch et al., and others beside it.
BENCHMARKS = {
    "within-alphabet": ("20-way 1-shot, one alphabet", KOCH_NAMES, {"humans": "people",
                        "hierarchical Bayesian program learning": "BPL"}),
    "all_runs": ("Lake's 20 runs", KOCH_NAMES, {"people": "people", "Bayesian program learning": "BPL"}),
    "mixed-20-way-1-shot": ("20-way 1-shot, mixed", ("Koch re-implemented",),
                            {"prototypical networks": "prototypical"}),
    "verification": ("same character or not", ("siamese net, 150,000 pairs, affine x 8",), {}),
}  # fmt: skip
MOST_COLUMNS = 120  # of a line of the README
OURS = {RECORDED: "recorded, best", HERE: "trained here, best"}


def head_segmentation(rows: pd.DataFrame) -> str:
    """Write the README's table of segmentation: published figures, and beside them our best at each level."""
    chosen = choose(rows, metric="iou", split=SHOWN_SPLIT, subset=ALL, answer=OWN, further_seed=False)
    chosen = chosen[chosen["network"].ne(ALL_INK)]
    columns: dict[str, list[str]] = {}
    for net in dict.fromkeys(choose(chosen, kind=PUBLISHED)["net"]):
        published = choose(chosen, kind=PUBLISHED, net=net)
        columns[f"{title_net(net)}, published"] = [
            write_best(choose(published, clutter_level=level)) for level in CLUTTER_LEVELS
        ]
    for kind, title in OURS.items():
        of_kind = choose(chosen, kind=kind)
        if not of_kind.empty:
            columns[title] = [write_best(choose(of_kind, clutter_level=level)) for level in CLUTTER_LEVELS]
    lines = [
        [str(level), *(column[place] for column in columns.values())]
        for place, level in enumerate(CLUTTER_LEVELS)
    ]
    counts = [
        f"{title.partition(',')[0]} over {name_counts(of_kind['n'])}"
        for kind, title in OURS.items()
        if not (of_kind := choose(chosen, kind=kind)).empty
    ]
    caption = "; ".join(["IoU in %, one-shot characters, with 95 % intervals", *counts])
    return f"{lay_out(['characters', *columns], lines)}\n\n{caption}.\n"


def head_classification(rows: pd.DataFrame) -> str:
    """Write the README's table of classification: published accuracies, and beside them our best ones.

    With the networks' names where lines stay short enough.
    """
    rows = choose(rows, further_seed=False)
    rows = rows[~rows["network"].isin([*BASELINE_TITLES])]
    names = [name for name in BENCHMARKS if rows["benchmark"].eq(name).any()]
    ours = {kind: title for kind, title in OURS.items() if rows["kind"].eq(kind).any()}

    def lay(with_names: bool) -> str:
        lines = []
        for name in names:
            found = choose(rows, benchmark=name)
            title, koch, others = BENCHMARKS[name]
            published = choose(found, kind=PUBLISHED)
            beside = [
                f"{words} {write_best(choose(published, title=method))}" for method, words in others.items()
            ]
            ours_best = [write_best(choose(found, kind=kind), with_names) for kind in ours]
            koch_best = write_best(choose(published, title=[*koch]))
            lines.append([title, koch_best, ", ".join(beside) or NOTHING, *ours_best])
        return lay_out(["benchmark", "Koch's network, published", "others, published", *ours.values()], lines)

    of_ours = choose(rows, kind=[*ours])
    counts = [name_counts(choose(of_ours, benchmark=name)["n"]).removeprefix("n = ") for name in names]
    caption = "Accuracy in %, with 95 % intervals"
    caption += f"; ours over {' / '.join(counts)} trials or pairs" if len(of_ours) else ""
    table = lay(with_names=True)
    if max(map(len, table.splitlines())) > MOST_COLUMNS:
        table = lay(with_names=False)
    return f"{table}\n\n{caption}.\n"


def write_best(rows: pd.DataFrame, with_name: bool = True) -> str:
    """Write the highest of some figures; of ours with the network that reached it."""
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return NOTHING
    best = max(rows.to_dict("records"), key=lambda row: float(row["value"]))
    named = with_name and best["kind"] != PUBLISHED
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
