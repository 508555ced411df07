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
    "mixed-20-way-1-shot": ("20-way 1-shot, mixed", (), {"Koch re-implemented": "Koch's, by others",
                            "prototypical networks": "prototypical"}),
    "verification": ("same character or not", ("siamese net, 150,000 pairs, affine x 8",), {}),
}  # fmt: skip
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
    """Write the README's table of classification: published accuracies, and beside them our best networks'."""
    rows = choose(rows, further_seed=False)
    rows = rows[~rows["network"].isin([*BASELINE_TITLES])]
    names = [name for name in BENCHMARKS if rows["benchmark"].eq(name).any()]
    ours = {kind: title for kind, title in OURS.items() if rows["kind"].eq(kind).any()}
    lines = []
    for name in names:
        found = choose(rows, benchmark=name)
        title, koch, others = BENCHMARKS[name]
        published = choose(found, kind=PUBLISHED)
        beside = [
            f"{words} {write_best(choose(published, title=method))}" for method, words in others.items()
        ]
        counts = name_counts(found.loc[found["kind"].isin([*ours]), "n"])
        lines.append([
            f"{title}, {counts}" if counts else title,
            write_best(choose(published, title=[*koch])),
            ", ".join(beside) or NOTHING,
            *(write_best(choose(found, kind=kind)) for kind in ours),
        ])  # fmt: skip
    caption = "Accuracy in %, with 95 % intervals."
    return f"{lay_out(['benchmark', 'Koch et al.', 'others, published', *ours.values()], lines)}\n\n{caption}\n"


def write_best(rows: pd.DataFrame) -> str:
    """Write the highest of some figures; of ours with the network that reached it."""
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return NOTHING
    best = rows.loc[rows["value"].idxmax()]
    text = format_figure(best)
    return text if best["kind"] == PUBLISHED else f"{text} `{best['network']}`"


def write_results(
    segmentation: list[str], classification: list[str], runs: list[str], caption: str, about: Mapping[str, Any]
) -> str:
    """Write docs/results.md from the paragraphs of its parts; about: scale, and whether scenes are synthetic."""
    where = f"This checkout computed, at scale `{about['scale']}`, all columns but the published and recorded ones"
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
