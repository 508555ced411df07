"""N-way accuracy over N: networks, nearest neighbour and guessing, on new and on known characters."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oneshot.report.classification_rows import BASELINE_TITLES, NET_TITLES, SCORER_TITLES
from oneshot.report.curves import LINE_COLOURS

CHARACTER_TITLES = {"evaluation": "evaluation characters", "training": "training characters"}
STYLES = {"evaluation": "-", "training": "--"}
BASELINE_COLOURS = {"euclidean": "black", "guess": "#8a8f9c"}
TICKS = (2, 5, 10, 20, 30, 40, 50, 60)


def draw_rising_ways(table: pd.DataFrame) -> Figure:
    """N-way accuracy over N, with 95 % intervals: a colour for each scorer, dashed on training characters.

    table: scorer, characters (evaluation or training), n_way, percent, low, high, n. As in a well-known
    tutorial, in one plot.
    """
    colours = choose_colours([*dict.fromkeys(table["scorer"])])
    figure = Figure(figsize=(8, 5.2), dpi=110, layout="constrained")
    axis = figure.subplots()
    for (scorer, characters), points in table.groupby(["scorer", "characters"], sort=False):
        points = points.sort_values("n_way")
        colour, style = colours[str(scorer)], STYLES[str(characters)]
        axis.plot(points["n_way"], points["percent"], style, color=colour, lw=1.4)
        axis.fill_between(points["n_way"], points["low"], points["high"], color=colour, alpha=0.12, lw=0)
    ticks = [n for n in TICKS if n <= max(table["n_way"], default=max(TICKS))]
    axis.set_xticks(ticks, [str(n) for n in ticks])
    axis.set(xlabel="N: characters to choose from", ylabel="N-way 1-shot accuracy in %", ylim=(0, 102))
    axis.grid(alpha=0.3)
    # A colour and a style each once: twice as many lines would be told apart no better.
    handles = [Line2D([], [], color=colour, lw=1.4) for colour in colours.values()]
    titles = [SCORER_TITLES.get(scorer, scorer) for scorer in colours]
    for characters in CHARACTER_TITLES:
        if table["characters"].eq(characters).any():
            handles.append(Line2D([], [], color="#555555", ls=STYLES[characters], lw=1.4))
            titles.append(CHARACTER_TITLES[characters])
    figure.legend(handles, titles, loc="outside lower center", fontsize=8, frameon=False, ncols=2)
    return figure


def choose_colours(scorers: list[str]) -> dict[str, str]:
    """In the order of the legend: networks as tables have them, unknown ones, then what learns nothing."""
    nets = [name for name in NET_TITLES if name in scorers]
    nets += [name for name in scorers if name not in SCORER_TITLES]
    baselines = [name for name in BASELINE_TITLES if name in scorers]
    coloured = nets + [name for name in baselines if name not in BASELINE_COLOURS]
    found = {name: LINE_COLOURS[place % len(LINE_COLOURS)] for place, name in enumerate(coloured)}
    return {name: found.get(name) or BASELINE_COLOURS[name] for name in nets + baselines}
