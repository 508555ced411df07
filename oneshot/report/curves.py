"""IoU over clutter level: every way of obtaining it, and what oracles would make of it."""

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oneshot.report.rows import (
    ALL,
    HERE,
    INK,
    NET_TITLES,
    PUBLISHED,
    RECORDED,
    RELEASED,
    SPLIT_TITLES,
)
from oneshot.segment.answers import ORACLES, OWN

LEGEND_CHARACTERS = 110  # of a line of the legend, at most
LINE_COLOURS = ("#1f9d6b", "#2f7fe0", "#e07b2f", "#8a4fd0", "#c2407a", "#7a7a2a", "#4a9aa8", "#8a8f9c")
STAR_COLOURS = {"siamese_unet": "black", "masknet": "#9a9a9a"}
NET_COLOURS = {"siamese_unet": "#1f9d6b", "masknet": "#2f7fe0"}
ORACLE_COLOURS = dict(zip(ORACLES, ("#e07b2f", "#8a4fd0", "#c2407a"), strict=True))


def draw_iou_over_clutter(results: pd.DataFrame) -> Figure:
    """IoU over clutter level: published points, and every way of our own with its 95 % intervals.

    Own answers, on all scenes. Lines, but for weights that were evaluated again, which are crosses on the
    lines of their recorded runs; MaskNet's points are squares.
    """
    chosen = choose_points(results)
    chosen = chosen[chosen["answer"].eq(OWN) | chosen["kind"].eq(INK)].fillna({"net": ""})
    lines = [*chosen.groupby(["net", "source", "split"], sort=False)]
    figure = Figure(figsize=(8, 4.2 + 0.19 * len(lines)), dpi=110, layout="constrained")
    axis = figure.subplots()
    # A net's line and that of its weights evaluated again go by the same colour.
    ours = chosen[chosen["kind"] != PUBLISHED]
    looks = [*dict.fromkeys(map(colour_key, ours["net"], ours["kind"], ours["source"]))]
    for (net, source, split), points in lines:
        kind = points["kind"].iloc[0]
        whose = f"{NET_TITLES[net]}, {source}" if net else source
        title = wrap(f"{whose}; {SPLIT_TITLES[split]}", LEGEND_CHARACTERS)
        if kind == PUBLISHED:
            draw_stars(axis, points, net, title)
            continue
        marker = "s" if net == "masknet" else "o"
        style = {
            "test-one-shot": (f"{marker}-", "x"), "test-train": (f"{marker}:", "+")
        }[split][kind == RELEASED]  # fmt: skip
        colour = LINE_COLOURS[looks.index(colour_key(net, kind, source)) % len(LINE_COLOURS)]
        draw_line(axis, points, style, colour, title)
    lay_axis(axis, chosen)
    axis.set_ylabel("IoU in %")
    figure.legend(loc="outside lower center", fontsize=7, frameon=False)
    return figure


def draw_oracles(results: pd.DataFrame) -> Figure:
    """IoU over clutter of both networks and the oracles, one panel for each test set, with published points.

    Of each network the best source there is (`choose_sources`).
    """
    points = choose_points(results)
    sources = choose_sources(points)
    lines = [
        (net, OWN, NET_COLOURS[net], wrap(f"{NET_TITLES[net]}, {sources[net]}", LEGEND_CHARACTERS // 2))
        for net in NET_TITLES
    ]
    lines += [("masknet", name, ORACLE_COLOURS[name], f"MaskNet, {ORACLES[name]}") for name in ORACLES]
    figure = Figure(figsize=(9.5, 5), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(SPLIT_TITLES), sharex=True, sharey=True)
    for axis, (split, split_title) in zip(axes, SPLIT_TITLES.items(), strict=True):
        of_split = points[points["split"].eq(split)]
        for net, answer, colour, title in lines:
            line = of_split[
                of_split["net"].eq(net) & of_split["source"].eq(sources[net]) & of_split["answer"].eq(answer)
            ]
            if not line.empty:
                draw_line(axis, line, "o-" if answer == OWN else "o--", colour, title)
        for net, title in NET_TITLES.items():
            stars = of_split[of_split["net"].eq(net) & of_split["kind"].eq(PUBLISHED)]
            if not stars.empty:
                draw_stars(axis, stars, net, f"{title}, published", NET_COLOURS[net])
        lay_axis(axis, points)
        axis.set_title(split_title, fontsize=10)
    axes[0].set_ylabel("IoU in %")
    shown = {
        text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", fontsize=7, frameon=False, ncols=2
    )
    return figure


def wrap(title: str, n_characters: int) -> str:
    """In lines of so many characters at most, for a legend."""
    return fill(title, n_characters, break_on_hyphens=False)


def choose_points(results: pd.DataFrame) -> pd.DataFrame:
    """IoU over all scenes, of the usual seed, where there is any."""
    return results[
        results["metric"].eq("iou")
        & results["subset"].eq(ALL)
        & results["further_seed"].ne(True)
        & results["percent"].notna()
    ]


def choose_sources(points: pd.DataFrame) -> dict[str, str]:
    """Of each network its best source, "" if it has none: a recorded one before one trained here.

    Then MaskNet's with most oracles, and of Siamese-U-Net's above all one that was obtained alike: recorded
    or trained here, by the same recipe, one net for all levels or not; then the one with most levels.
    """
    found = points[points["kind"].isin([RECORDED, HERE])]

    def best(net: str, like: pd.Series | None = None) -> str:
        of_net = found[found["net"].eq(net)]

        def rank(source: str) -> tuple[bool, bool, int, int]:
            of_source = of_net[of_net["source"].eq(source)]
            first = of_source.iloc[0]
            alike = like is not None and all(first[name] == like[name] for name in ("recipe", "joint"))
            n_oracles = of_source.loc[of_source["answer"].isin(ORACLES), "answer"].nunique()
            n_levels = of_source["clutter_level"].nunique()
            kind = RECORDED if like is None else like["kind"]
            return first["kind"] == kind, alike, n_oracles, n_levels

        return max(dict.fromkeys(of_net["source"]), key=rank, default="")

    masknet = best("masknet")
    rows = found[found["net"].eq("masknet") & found["source"].eq(masknet)]
    return {"siamese_unet": best("siamese_unet", None if rows.empty else rows.iloc[0]), "masknet": masknet}


def draw_line(axis: Axes, points: pd.DataFrame, style: str, colour: str, title: str) -> None:
    """With 95 % intervals."""
    points = points.sort_values("clutter_level")
    errors = [points["percent"] - points["low"], points["high"] - points["percent"]]
    axis.errorbar(points["clutter_level"], points["percent"], errors, fmt=style, ms=4, color=colour,
                  capsize=2, label=title)  # fmt: skip


def draw_stars(axis: Axes, points: pd.DataFrame, net: str, title: str, colour: str | None = None) -> None:
    axis.plot(points["clutter_level"], points["percent"], "*", color=colour or STAR_COLOURS[net], ms=11,
              label=title, zorder=3)  # fmt: skip


def lay_axis(axis: Axes, points: pd.DataFrame) -> None:
    axis.set_xscale("log", base=2)
    axis.set(xlabel="characters in the scene", ylim=(0, 100))
    levels = sorted({int(level) for level in points["clutter_level"]})
    axis.set_xticks(levels, [str(level) for level in levels])
    axis.grid(alpha=0.3)


def colour_key(net: str, kind: str, source: str) -> tuple[str, str]:
    """What a line's colour stands for: a recorded network and its released weights are one."""
    return net, source.partition(": ")[2] if kind in (RECORDED, RELEASED) else source
