"""Pages of results: docs/results.md with all tables and pictures, and blocks of README.md."""

from collections.abc import Mapping
from typing import Any

from oneshot.errors import OneshotError
from oneshot.report.tables import NOTHING

GROUPS_WORDS = (
    "*Target, scene, and the groups of pixels of one colour that the colour matcher ranks first, with their "
    "scores: the group's ink white, other characters' ink grey, the target's group framed. The second scene "
    "of each test set with one-shot characters.*"
)
CLUTTER_WORDS = (
    "*At every clutter level the recorded network that saw most scenes: where a line rises, a network of its "
    "own was recorded.*"
)
COSTS_WORDS = (
    "*What minutes of training buy: recorded runs that began with random weights, without variants and "
    "further seeds. Left: IoU at 4, 32 and 256 characters. Right: classifiers on the validation trials, the "
    "best so far at each validation; the published figure is of other alphabets, those that are tested.*"
)
MISTAKES_WORDS = (
    "*Wrong answers of the classifier that is best on the validation trials, in the first list of trials (of "
    "Omniglot 20-way, within an alphabet): the drawing that was asked, the class that was answered (red), "
    "the right one (green).*"
)


class PageError(OneshotError):
    """Text that lacks the place for what is written into it."""


def write_results(
    segmentation: list[str],
    classification: list[str],
    runs: list[str],
    caption: str,
    about: Mapping[str, Any],
) -> str:
    """Write docs/results.md from the paragraphs of its parts; about: the scale, whether it is synthetic."""
    where = (
        f"This checkout computed all figures but the published and recorded ones, at scale `{about['scale']}`"
    )
    if about["synthetic"]:
        where += ", on synthetic alphabets: they compare with no others"
    paragraphs = [
        "# Results",
        "Written by the stage `tables`; do not edit.",
        f"{where}. 95 % intervals in brackets; {NOTHING}: neither published nor computed. "
        "What the figures mean: [protocols](protocols.md).",
        "[Segmentation](#segmentation), [classification](#classification), "
        "[recorded runs and what they cost](#recorded-runs).",
        "## Segmentation",
        "![Targets, scenes, true masks, and the answers of networks](../figures/predictions.png)",
        caption,
        "![Targets, scenes, and the groups of one colour that the colour matcher ranks first, with their "
        "scores](../figures/groups.png)",
        GROUPS_WORDS,
        "![IoU over clutter level](../figures/iou_over_clutter.png)",
        CLUTTER_WORDS,
        "![IoU over clutter level of both networks, and of the oracles](../figures/oracles.png)",
        *segmentation,
        "## Classification",
        "![Accuracy over the number of characters to choose from](../figures/rising_ways.png)",
        "![Wrong answers of a classifier: query, answer, right class](../figures/mistakes.png)",
        MISTAKES_WORDS,
        *classification,
        "## Recorded runs",
        *runs,
        "![Recorded networks' IoU and accuracy over minutes of training](../figures/costs.png)",
        COSTS_WORDS,
    ]
    return "\n\n".join(paragraphs) + "\n"


def replace_block(text: str, name: str, block: str) -> str:
    """Replace what lies between the two comments `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        PageError: the comments are not there, once each, in this order.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise PageError(f"the text has no block between {start} and {end}: put the two comments back.")
    before, rest = text.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{block}{end}{after}"
