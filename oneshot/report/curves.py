"""Curves: IoU over clutter level, of networks and of oracles, and accuracy over the number of ways."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oneshot.published import RISING_WAYS
from oneshot.records.run import OWN_ANSWER
from oneshot.report.published_rows import BASELINE_TITLES, NETWORK_TITLES, ORACLES, VARIANTS
from oneshot.report.rows import (
    ALL,
    ALL_INK,
    Kind,
    choose,
    choose_most_trained,
    find_place,
)
from oneshot.report.segmentation_tables import SPLIT_TITLES, title_net
from oneshot.report.tables import SHORT_TITLES

COLOURS = ("#1f9d6b", "#2f7fe0", "#e07b2f", "#8a4fd0", "#c2407a", "#7a7a2a", "#4a9aa8")
ORACLE_COLOURS = dict(zip(ORACLES, COLOURS[2:], strict=False))
GREY = "#8a8f9c"
STYLES = {Kind.PUBLISHED: "*", Kind.RECORDED: "s-", Kind.HERE: "o--"}
CHARACTER_STYLES = {"evaluation": "-", "training": "--"}
PUBLISHED_MARK: dict[str, Any] = {"color": "black", "marker": "*", "ms": 9, "ls": "none"}
TICKS = (2, 5, 10, 20, 30, 40, 50, 60)
AXIS_TOP = 103  # of the axis of IoU in %: intervals end above 100
MOST_IN_A_LINE = 8  # of a legend
MOST_NETS = 5  # with a line, besides that of every character marked
LABEL_DISTANCE = 4  # of two labels, in points of the axis, at least


def draw_iou_over_clutter(rows: pd.DataFrame) -> Figure:
    """Draw IoU over clutter level, a panel a test set: of every network its published, recorded and own line.

    Of several recorded runs, or networks trained here, at every level the one that has seen most scenes, as
    in the README. Bars are 95 % intervals. Of many networks those of the best mean IoU: docs/results.md has
    all.
    """
    points = choose_points(rows)
    own = choose(points, answer=OWN_ANSWER)
    means = own[~own["net"].isin([*VARIANTS])].astype({"value": float}).groupby("net")["value"].mean()
    best = means.nlargest(MOST_NETS)
    nets = [net for net in dict.fromkeys(points["net"].dropna()) if net in best]
    lines: list[tuple[str, Kind, pd.DataFrame]] = []
    for kind in STYLES:
        for net in nets:
            of_net = choose(points, kind=kind, net=net, answer=OWN_ANSWER)
            if not of_net.empty:
                lines.append((net, kind, of_net))
    figure, axes = lay_panels(points)
    for axis, split in zip(axes, SPLIT_TITLES, strict=True):
        for net, kind, line in lines:
            colour = COLOURS[nets.index(net) % len(COLOURS)]
            draw_line(axis, choose_most_trained(choose(line, split=split)), STYLES[kind], colour)
        draw_line(axis, choose(points, network=ALL_INK, split=split), ":", GREY)
    colours = {title_net(net): COLOURS[number % len(COLOURS)] for number, net in enumerate(nets)}
    kinds = [kind for kind in STYLES if any(kind == other for _, other, _ in lines)]
    return lay_legend(
        figure,
        colours | {"every character marked": GREY},
        {SHORT_TITLES[kind]: STYLES[kind] for kind in kinds},
    )


def draw_oracles(rows: pd.DataFrame) -> Figure:
    """Draw IoU over clutter of both networks and the oracles, one panel for each test set.

    Of a network with oracles one source (`choose_source`), and the Siamese-U-Net that was obtained alike.
    """
    points = choose_points(rows)
    figure, axes = lay_panels(points)
    with_oracles = choose(points, answer=[*ORACLES])
    if with_oracles.empty:
        return figure
    source = choose_source(with_oracles)
    masknet = choose(points, net=with_oracles["net"].iloc[0], title=source)
    like = masknet.iloc[0]
    alike = choose(points, net="siamese_unet", answer=OWN_ANSWER, kind=like["kind"], recipe=like["recipe"])
    alike = choose(alike, joint=like["joint"])
    if not alike.empty:
        alike = choose(alike, title=choose_source(alike))
    own = choose(masknet, answer=OWN_ANSWER)
    lines = {title_net("siamese_unet"): (COLOURS[0], alike), title_net(like["net"]): (COLOURS[1], own)}
    for name, title in ORACLES.items():
        lines[title] = (ORACLE_COLOURS[name], choose(masknet, answer=name))
    for axis, split in zip(axes, SPLIT_TITLES, strict=True):
        for title, (colour, line) in lines.items():
            style = "o--" if title in ORACLES.values() else "o-"
            draw_line(axis, choose(line, split=split), style, colour)
        for net, colour in (("siamese_unet", COLOURS[0]), (like["net"], COLOURS[1])):
            published = choose(points, kind=Kind.PUBLISHED, net=net, split=split)
            draw_line(axis, published, "*", colour)
    colours = {title: colour for title, (colour, _) in lines.items()}
    styles = {"published": "*", SHORT_TITLES[Kind(like["kind"])]: "o-", "with a part given": "o--"}
    return lay_legend(figure, colours, styles)


def draw_rising_ways(rows: pd.DataFrame) -> Figure:
    """Draw N-way accuracy over N, with 95 % intervals: a colour a method, dashed on training characters.

    As in a well-known tutorial, in one plot. Lines are labelled at their ends.
    """
    points = choose(rows, benchmark=[*RISING_WAYS], kind=Kind.HERE)
    points = choose(points, network=[*choose(points, benchmark="rising-ways")["network"]])
    names = sorted(dict.fromkeys(points["network"]), key=lambda name: find_place(NETWORK_TITLES, name))
    figure = Figure(figsize=(8, 4.6), dpi=110, layout="constrained")
    axis = figure.subplots()
    labels = {}
    for number, name in enumerate(names):
        colour = GREY if name in BASELINE_TITLES else COLOURS[number % len(COLOURS)]
        for benchmark, characters in RISING_WAYS.items():
            line = choose(points, network=name, benchmark=benchmark).sort_values("n_way")
            if line.empty:
                continue
            ways = line["n_way"].astype(int)
            axis.plot(ways, 100 * line["value"], CHARACTER_STYLES[characters], color=colour, lw=1.4)
            axis.fill_between(ways, 100 * line["low"], 100 * line["high"], color=colour, alpha=0.12, lw=0)
            if benchmark == "rising-ways":
                labels[NETWORK_TITLES.get(name, name)] = (100 * line["value"].iloc[-1], colour)
    published = choose(rows, benchmark="rising-ways", kind=Kind.PUBLISHED)
    axis.plot(published["n_way"].astype(int), 100 * published["value"].astype(float), **PUBLISHED_MARK)
    last = max(map(int, points["n_way"].dropna()), default=max(TICKS))
    ticks = [n for n in TICKS if n <= last]
    axis.set_xticks(ticks, [str(n) for n in ticks])
    height = -math.inf
    for title, (value, colour) in sorted(labels.items(), key=lambda item: item[1]):
        height = max(value, height + LABEL_DISTANCE)  # pushed up where they would cover one another
        axis.annotate(title, (last, height), xytext=(4, 0), textcoords="offset points", color=colour,
                      fontsize=8, va="center", annotation_clip=False)  # fmt: skip
    axis.set(xlabel="N: characters to choose from", ylabel="N-way 1-shot accuracy in %", ylim=(0, 102))
    axis.grid(alpha=0.3)
    axis.margins(x=0)  # methods are named outside the frame
    handles = [Line2D([], [], color="#555555", ls=style, lw=1.4) for style in CHARACTER_STYLES.values()]
    titles = [f"{name} characters" for name in CHARACTER_STYLES]
    if len(published):
        handles.append(Line2D([], [], **PUBLISHED_MARK))
        titles.append("published, evaluation characters")
    figure.legend(handles, titles, loc="outside lower center", fontsize=8, frameon=False, ncols=3)
    return figure


def choose_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Choose IoU over all scenes, of the usual seed, published, recorded or computed here."""
    kinds = [Kind.PUBLISHED, Kind.RECORDED, Kind.HERE]
    return choose(rows, metric="iou", subset=ALL, further=False, kind=kinds)


def choose_source(points: pd.DataFrame) -> str:
    """Choose whose line is drawn: that with most levels, of these the recorded before what was trained here.

    Among those the one that has seen most scenes.
    """

    def rank(title: str) -> tuple[int, bool, float]:
        found = choose(points, title=title)
        seen = found["n_seen"].fillna(0) + found["n_seen_before"].fillna(0)
        return found["clutter_level"].nunique(), found["kind"].iloc[0] == Kind.RECORDED, float(seen.max())

    return max(dict.fromkeys(points["title"]), key=rank)


def lay_panels(points: pd.DataFrame) -> tuple[Figure, Sequence[Axes]]:
    """Lay out an empty panel for every test set."""
    figure = Figure(figsize=(9.5, 4.4), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(SPLIT_TITLES), sharex=True, sharey=True)
    levels = sorted({int(level) for level in points["clutter_level"].dropna()})
    for axis, title in zip(axes, SPLIT_TITLES.values(), strict=True):
        axis.set_xscale("log", base=2)
        axis.set(xlabel="characters in the scene", ylim=(0, AXIS_TOP))
        axis.set_xticks(levels, [str(level) for level in levels])
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("IoU in %")
    return figure, list(axes)


def draw_line(axis: Axes, points: pd.DataFrame, style: str, colour: str) -> None:
    """Draw one line with its 95 % intervals; stars and dotted lines have none."""
    if points.empty:
        return
    points = points.sort_values("clutter_level")
    levels, percent = points["clutter_level"].astype(int), 100 * points["value"]
    if style == "*":
        axis.plot(levels, percent, "*", color=colour, ms=11, zorder=3, mec="black", mew=0.5)
    elif style == ":":
        axis.plot(levels, percent, style, color=colour)
    else:
        errors = [percent - 100 * points["low"], 100 * points["high"] - percent]
        axis.errorbar(levels, percent, errors, fmt=style, ms=4, color=colour, capsize=2)


def lay_legend(figure: Figure, colours: Mapping[str, str], styles: Mapping[str, str]) -> Figure:
    """Explain below the panels which colour is whose, and what the styles of lines mean, by their titles."""
    handles = [Line2D([], [], color=colour, lw=3) for colour in colours.values()]
    handles += [
        Line2D([], [], color="#555555", marker=style[0], ls=style[1:] or "", ms=9 if style == "*" else 4)
        for style in styles.values()
    ]
    figure.legend(
        handles, [*colours, *styles], loc="outside lower center", fontsize=8, frameon=False,
        ncols=min(len(handles), MOST_IN_A_LINE), columnspacing=0.8, handlelength=2.2,
    )  # fmt: skip
    return figure
