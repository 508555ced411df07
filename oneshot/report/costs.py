"""What minutes of training buy: accuracy and IoU of recorded runs over the time that they took."""

from collections.abc import Iterable, Mapping
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oneshot.params import CLASSIFICATION
from oneshot.records.run import OWN_ANSWER, Run
from oneshot.report.curves import COLOURS, GREY
from oneshot.report.published_rows import KOCH_NAMES, VARIANTS
from oneshot.report.rows import ALL, Kind, choose, is_further
from oneshot.report.segmentation_tables import SHOWN_SPLIT

PUBLISHED_LEVELS = (4, 32, 256)  # whose IoU is published
PROCESSORS = {False: "o", True: "^"}  # of a GPU or not, and the markers
LINE_STYLES = ("-", ":", "-.")  # of lines; a published figure's is dashed
NAME_DISTANCE = 1.3  # of two names on the axis of minutes, as a ratio
NAME_LINE = {"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0)}
BENCHMARK = "within-alphabet"


def draw_costs(
    scenes: pd.DataFrame, trials: pd.DataFrame, runs: Iterable[Run], curves: Mapping[str, pd.DataFrame]
) -> Figure:
    """Draw IoU of recorded runs, and classifiers' accuracy as they learn, over minutes of training.

    scenes, trials: the rows of each task; curves: by a run's name, with `seconds` and `error`. Of classifiers
    the accuracy is that on the validation trials. Dashed lines are published figures. Left out are variants,
    further seeds, runs of an ablation, and those that begin with other weights, whose minutes are not all.
    """
    runs = [run for run in runs if not is_further(run.name) and run.start_from is None]
    figure = Figure(figsize=(11, 4.8), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_scenes(left, scenes, [run for run in runs if run.task != CLASSIFICATION])
    plot_trials(right, trials, [run for run in runs if run.task == CLASSIFICATION], curves)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("minutes of training")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.3)
    handles = [Line2D([], [], color="#555555", marker=marker, ls="") for marker in PROCESSORS.values()]
    handles.append(Line2D([], [], color="#555555", ls="--"))
    titles = ["on a CPU", "on a GPU", "published"]
    figure.legend(handles, titles, loc="outside lower center", fontsize=8, frameon=False, ncols=3)
    return figure


def plot_scenes(axis: Axes, rows: pd.DataFrame, runs: Iterable[Run]) -> None:
    """Draw each run's IoU at the clutter levels whose IoU is published, a colour a level."""
    rows = choose(rows, metric="iou", split=SHOWN_SPLIT, subset=ALL, clutter_level=[*PUBLISHED_LEVELS])
    last = 0.0
    shown = [run for run in runs if run.net not in VARIANTS]
    for run in sorted(shown, key=lambda run: run.seconds.training):
        minutes = run.seconds.training / 60
        of_run = choose(rows, kind=Kind.RECORDED, run=run.name, answer=OWN_ANSWER)
        for level, value in zip(of_run["clutter_level"], of_run["value"], strict=True):
            colour = COLOURS[PUBLISHED_LEVELS.index(int(level))]
            axis.plot(minutes, 100 * value, PROCESSORS[on_gpu(run)], color=colour, ms=5)
        axis.axvline(minutes, color=GREY, lw=0.5, zorder=0)
        last = max(minutes, NAME_DISTANCE * last)
        axis.annotate(run.name, (minutes, 102), xytext=(last, 107), rotation=55, fontsize=7, va="bottom",
                      annotation_clip=False, arrowprops=NAME_LINE)  # fmt: skip
    for level, colour in zip(PUBLISHED_LEVELS, COLOURS, strict=False):
        published = choose(rows, kind=Kind.PUBLISHED, clutter_level=level)["value"].astype(float)
        if len(published):
            draw_published(axis, 100 * published.max(), f"{level} characters", colour)
    axis.set(ylabel="one-shot IoU in %", ylim=(0, 102))


def plot_trials(
    axis: Axes, rows: pd.DataFrame, runs: Iterable[Run], curves: Mapping[str, pd.DataFrame]
) -> None:
    """Draw each classifier's accuracy on the validation trials, at every validation, the best so far."""
    looks = cycle((style, colour) for style in LINE_STYLES for colour in COLOURS)
    for run in runs:
        curve = curves.get(run.name, pd.DataFrame({"error": [], "seconds": []})).dropna(subset="error")
        if curve.empty:
            continue
        (style, colour), marker = next(looks), PROCESSORS[on_gpu(run)]
        minutes, percent = curve["seconds"] / 60, 100 * (1 - curve["error"].cummin())
        axis.plot(minutes, percent, f"{marker}{style}", color=colour, ms=3, lw=1.2, label=run.name)
    if axis.lines:
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7, frameon=False)
    koch = choose(rows, kind=Kind.PUBLISHED, benchmark=BENCHMARK, title=[*KOCH_NAMES])["value"].astype(float)
    if len(koch):
        draw_published(axis, 100 * koch.max(), "Koch's network, test alphabets", GREY)
    axis.set_ylim(top=100)
    axis.set_ylabel("accuracy in %, validation alphabets")


def draw_published(axis: Axes, percent: float, words: str, colour: str) -> None:
    axis.axhline(percent, color=colour, ls="--", lw=1)
    axis.annotate(words, (0, percent), xycoords=("axes fraction", "data"), xytext=(3, 2), color=colour,
                  textcoords="offset points", fontsize=8)  # fmt: skip


def on_gpu(run: Run) -> bool:
    """Return whether a run was trained on a GPU."""
    return not run.machine.startswith(run.device)  # which begins with the processor's name
