"""The tables of segmentation: which rows of figures each shows, and how it is explained."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from oneshot.published import CLUTTER_LEVELS
from oneshot.records.recheck import MEAN_TOLERANCE, POINTS_OF_A_PIXEL, SCENE_TOLERANCE, SHARE_APART
from oneshot.records.run import OWN_ANSWER
from oneshot.report.published_rows import (
    COLOUR_MATCHER,
    DEFINITIONS,
    MATCHER_PARTS,
    NET_TITLES,
    ORACLES,
    VARIANTS,
    title_answer,
)
from oneshot.report.rows import ALL, ALL_INK, WITH, WITHOUT, Kind, choose
from oneshot.report.tables import KIND_TITLES, NOTHING, lay_across, write_section
from oneshot.segment.answers import SNAPPED

SPLIT_TITLES = {"test-one-shot": "one-shot characters", "test-train": "known characters"}
# Test sets whose targets others cover, and the one that is alike but for that.
COVERED = {"covered-one-shot": "test-one-shot", "covered-train": "test-train"}
METRIC_TITLES = {"iou": "IoU", "localisation": "localisation"}
SHOWN_SPLIT, COVERED_SPLIT = "test-one-shot", "covered-one-shot"
LEVELS = {level: str(level) for level in CLUTTER_LEVELS}
FEWEST_SCENES = 20  # with or without a same-class distractor, of which a mean is shown

NAMES_WORDS = (
    "`-N-` in a name: a network of its own for each clutter level N, such as `siamese_unet-4-fast`; `joint`: "
    "one network for several."
)
SNAPPED_WORDS = (
    "*Snapped to colours*: the pixels of the one colour for which the network gives the highest mean "
    "probability; it uses, as the published networks do not, that a character has one flat colour."
)
PARTS_WORDS = (
    "*Whole*: the colour matcher's own answer. *Cosine alone*: without the number that a group of pixels has "
    "of its own. *Own number alone*: without looking at the target. *Largest colour* and *every character* "
    "need no network. Variants were trained anew, without the channel that shows other characters, or with a "
    "window of one size in place of the group's box; compare them with a network that has seen as many "
    "scenes. *Candidates given*: MaskNet's discriminator chooses among the true visible pixels of every "
    "character, which is the choice that the colour matcher makes among colours."
)
COVERED_WORDS = (
    "*Covered*: test sets of this project, with as many characters, half of the others drawn over the "
    "target; IoU with the target's visible pixels; scenes of which none is visible are left out. *Never "
    "covered*: the published sets, whose target is drawn last."
)


def write_segmentation(rows: pd.DataFrame, published: Mapping[str, Any]) -> list[str]:
    """Write all tables of segmentation, a paragraph an item."""
    rows = choose(rows, further=False)
    nets = [net for net in dict.fromkeys(rows["net"].dropna()) if net not in VARIANTS]
    sections = [NAMES_WORDS]
    for net in nets:
        for metric in METRIC_TITLES:
            for split in SPLIT_TITLES:
                sections += write_answers(rows, net, metric, split, with_ink=net == nets[0])
    if rows["answer"].eq(SNAPPED).any():
        sections.append(SNAPPED_WORDS)
    sections += write_oracles(rows) + write_matcher_parts(rows) + write_covered(rows) + write_same_class(rows)
    sections.append(f"*Published*: {published['source']}; {published['note']}.")
    if rows["agreement_agrees"].notna().any():
        sections.append(
            "*Agrees*: over the same scenes, the mean IoU of the recorded weights lies within "
            f"{MEAN_TOLERANCE} points of the recorded one, and that of a single scene, on average, within "
            f"{SCENE_TOLERANCE}. Of answers chosen among proposals or colours, which rounding can turn, "
            f"{100 * SHARE_APART:.0f} % of the scenes, and at least one, are left out of this, and the mean "
            f"over n scenes may differ by {POINTS_OF_A_PIXEL:g} / n points, if that is more."
        )
    return sections


def write_answers(
    rows: pd.DataFrame, net: str, metric: str, split: str, *, with_ink: bool = False
) -> list[str]:
    """Write one metric of a network's answers to what the task gives, its own first, on a test set."""
    chosen = choose(rows, metric=metric, split=split, subset=ALL)
    chosen = chosen[chosen["net"].eq(net) | (chosen["network"].eq(ALL_INK) & with_ink)]
    chosen = chosen[~chosen["answer"].isin([*ORACLES, *MATCHER_PARTS])]
    if chosen["net"].isna().all():
        return []
    title = f"{title_net(net)}: {METRIC_TITLES[metric]}, {SPLIT_TITLES[split]}"
    table = lay_levels(name_sources(chosen))
    return write_section(f"{title} (`{split}`), in %", table)


def write_oracles(rows: pd.DataFrame) -> list[str]:
    """Write for every network with oracles its IoU beside theirs, and beside that of Siamese-U-Net alike.

    Alike is what was obtained in the same way: recorded or here, by the same recipe, joint or not.
    """
    chosen = choose(rows, metric="iou", subset=ALL, kind=[Kind.RECORDED, Kind.HERE])
    chosen = chosen.assign(source=name_sources(chosen, with_answers=False)["line"])
    sections = []
    for source in dict.fromkeys(choose(chosen, answer=[*ORACLES])["source"]):
        whole = choose(chosen, source=source, answer=[OWN_ANSWER, *ORACLES])
        like = whole.iloc[0]
        alike = choose(chosen, answer=OWN_ANSWER, net="siamese_unet")
        alike = choose(alike, kind=like["kind"], recipe=like["recipe"], joint=like["joint"])
        columns = [title_net("siamese_unet")] * len(alike)
        columns += [
            title_net(like["net"]) if answer == OWN_ANSWER else ORACLES[answer] for answer in whole["answer"]
        ]
        together = pd.concat([alike, whole])
        together = together.assign(line=columns)
        for split, title in SPLIT_TITLES.items():
            table = lay_levels(choose(together, split=split))
            sections += write_section(f"Errors of MaskNet, by oracles: IoU in %, {title}, {source}", table)
    words = " ".join(f"*{title.capitalize()}*: {DEFINITIONS[name]}." for name, title in ORACLES.items())
    return [*sections, words] if sections else []


def write_matcher_parts(rows: pd.DataFrame) -> list[str]:
    """Write for every colour matcher its IoU beside those of its parts, and of ones trained without an input.

    Beside them, too: MaskNet's oracle, which chooses among given characters as the colour matcher does among
    colours.
    """
    chosen = choose(rows, metric="iou", subset=ALL, kind=[Kind.RECORDED, Kind.HERE])
    chosen = chosen.assign(source=name_sources(chosen, with_answers=False)["line"])
    beside = pd.concat([
        choose(chosen, net=[*VARIANTS], answer=OWN_ANSWER), choose(chosen, answer="candidates_given"),
    ])  # fmt: skip
    beside = beside.assign(line=[VARIANTS.get(net, "") for net in beside["net"]])
    beside["line"] = [
        f"{words}, {seen:,} scenes" if words else f"MaskNet, candidates given, {source}"
        for words, seen, source in zip(beside["line"], beside["n_seen"], beside["source"], strict=True)
    ]
    sections = []
    matchers = choose(chosen, net=COLOUR_MATCHER)
    for source in dict.fromkeys(matchers["source"]):
        whole = choose(matchers, source=source, answer=[OWN_ANSWER, *MATCHER_PARTS])
        seen = whole["n_seen"].iloc[0]
        titles = {OWN_ANSWER: f"whole, {seen:,} scenes", **MATCHER_PARTS}
        whole = whole.assign(line=whole["answer"].map(titles))
        whole = whole.sort_values("answer", key=lambda names: names.map([*titles].index), kind="stable")
        for split, title in SPLIT_TITLES.items():
            table = lay_levels(choose(pd.concat([whole, beside]), split=split))
            sections += write_section(f"Ablation of the colour matcher: IoU in %, {title}, {source}", table)
    return [*sections, PARTS_WORDS] if sections else []


def write_covered(rows: pd.DataFrame) -> list[str]:
    """Write the IoU of covered targets beside that of uncovered ones, of all networks.

    Of records that are older than these sets, what the rechecked weights reach.
    """
    found = choose(rows, metric="iou", subset=ALL, answer=OWN_ANSWER)
    have_both = choose(found, kind=Kind.RECORDED, split=[*COVERED])["run"].unique()
    found = found[~(found["kind"].eq(Kind.RECHECKED) & found["run"].isin(have_both))]
    found = name_sources(found)
    sections = []
    for covered, uncovered in COVERED.items():
        sources = dict.fromkeys(choose(found, split=covered)["line"])
        parts = [
            choose(found, line=source, split=split).assign(line=f"{source}: {words}")
            for source in sources
            for split, words in ((uncovered, "never covered"), (covered, "covered"))
        ]
        if parts:
            table = lay_levels(pd.concat(parts))
            title = f"Covered targets: IoU in %, {SPLIT_TITLES[uncovered]}"
            sections += write_section(f"{title} (`{covered}` beside `{uncovered}`)", table)
    return [*sections, COVERED_WORDS] if sections else []


def write_same_class(rows: pd.DataFrame) -> list[str]:
    """Write IoU with and without a same-class distractor, and how many scenes have one, for each test set."""
    sections = []
    for split, title in SPLIT_TITLES.items():
        found = name_sources(choose(rows, metric="iou", split=split))
        grouped = choose(found, kind=[Kind.RECORDED, Kind.HERE], answer=OWN_ANSWER, subset=[WITH, WITHOUT])
        grouped = grouped[grouped["n"] >= FEWEST_SCENES]
        if grouped.empty:
            continue
        # The share of scenes with one, by whatever has seen most of them.
        counts = found.pivot_table("n", ["clutter_level", "line"], "subset", "max", sort=False)
        counts = counts.reindex(columns=[ALL, WITH]).astype(float).fillna(0).sort_values(ALL, kind="stable")
        most = counts.groupby("clutter_level").tail(1)
        shares = pd.DataFrame({"value": most[WITH] / most[ALL], "line": "scenes with one"})
        parts = [shares.reset_index("clutter_level").reindex(columns=found.columns)]
        for source, of_source in grouped.groupby("line", sort=False):
            for subset, words in ((WITH, "with"), (WITHOUT, "without")):
                part = choose(of_source, subset=subset)
                parts.append(part.assign(line=f"{source}: {words}", n=None))
        table = pd.concat([part for part in parts if not part.empty])
        sections += write_section(
            f"IoU with and without a same-class distractor, {title} (`{split}`), in %",
            lay_levels(table),
        )
    words = (
        "*Same-class distractor*: another instance of the target's character; marking it counts as wrong. "
        f"{NOTHING}: fewer than {FEWEST_SCENES} scenes."
    )
    return [*sections, words] if sections else []


def lay_levels(rows: pd.DataFrame) -> str:
    """Lay out figures with clutter levels across."""
    return lay_across(rows, "characters", "clutter_level", LEVELS)


def title_net(net: str) -> str:
    """Return what a kind of network is called; unknown ones go by their own names."""
    return NET_TITLES.get(net, net)


def name_sources(rows: pd.DataFrame, *, with_answers: bool = True) -> pd.DataFrame:
    """Name the line of every row: how its figure was obtained, what by, and which answer it is of."""
    names = []
    for kind, network, title, answer in zip(
        rows["kind"], rows["network"], rows["title"], rows["answer"].fillna(OWN_ANSWER), strict=True
    ):
        source = KIND_TITLES[kind] + (f": {title}" if title else "")
        source = title if network == ALL_INK else source
        more = title_answer(answer) if with_answers else ""
        names.append(f"{source}; {more}" if more else source)
    return rows.assign(line=pd.Series(names, rows.index, dtype=object))
