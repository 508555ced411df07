"""Pictures: the task, and what a network answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

PAPER, INK, FAINT = "#10131a", "#f2f0e8", "#8a90a0"
TRUE_COLOUR, HIT_COLOUR, MISS_COLOUR = (255, 210, 63), (61, 220, 151), (255, 89, 100)
HEX_HIT, HEX_MISS = "#3ddc97", "#ff5964"  # the same
TIGHT = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)  # inches
PANEL, TITLE = 1.15, 0.2  # of a small picture, and of the words above it, in inches
GAP = 0.15  # between two blocks of pictures, in pictures
DIMMED = 0.25  # brightness of what is not the target


@dataclass(frozen=True)
class Answer:
    """The mask that a network predicts, and its IoU with the true one."""

    mask: Bool[np.ndarray, "h w"]
    iou: float


@dataclass(frozen=True)
class Example:
    """One scene, its target, the true mask, and answers, if any, by what their networks are called."""

    clutter_level: int
    scene: UInt8[np.ndarray, "h w 3"]
    target: UInt8[np.ndarray, "th tw 3"]
    mask: Bool[np.ndarray, "h w"]
    answers: Mapping[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True)
class RankedGroups:
    """Groups of a scene's pixels of one colour that a colour matcher finds most like the target, best first.

    crops: the group's own ink, and other ink, 0 to 255.
    """

    clutter_level: int
    scene: UInt8[np.ndarray, "h w 3"]
    target: UInt8[np.ndarray, "th tw 3"]
    crops: UInt8[np.ndarray, "groups 2 size size"]
    scores: Float[np.ndarray, " groups"]
    is_target: Bool[np.ndarray, " groups"]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, without the drawing library's version in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor=figure.get_facecolor(), metadata={"Software": None})


def draw_task(examples: Sequence[Example]) -> Figure:
    """Draw the task: for each example the target, the scene, and the target's pixels in it."""
    figure = Figure(figsize=(2.2 * len(examples), 5.6), dpi=110, facecolor=PAPER, layout="constrained")
    axes = figure.subplots(3, len(examples), height_ratios=(0.55, 1, 1), squeeze=False)
    for column, example in enumerate(examples):
        show(axes[0, column], example.target, f"{example.clutter_level} characters")
        show(axes[1, column], example.scene)
        show(axes[2, column], spotlight(example.scene, example.mask))
    for line, title in zip(axes[:, 0], ("target", "scene", "answer"), strict=True):
        line.set_ylabel(title, color=INK, fontsize=11)
    return figure


def draw_predictions(examples: Sequence[Example], n_columns: int) -> Figure:
    """Draw a grid of examples: target, scene, true mask, and every network's answer in green and red."""
    names = [*dict.fromkeys(name for example in examples for name in example.answers)]
    figure, blocks = lay_blocks(len(examples), n_columns, 3 + len(names))
    for number, (example, panels) in enumerate(zip(examples, blocks, strict=True)):
        titles = ("scene", "truth", *names) if number < n_columns else ("",) * (2 + len(names))
        show(panels[0], example.target, f"{example.clutter_level} characters")
        show(panels[1], example.scene, titles[0])
        show(panels[2], spotlight(example.scene, example.mask), titles[1])
        for axis, name, title in zip(panels[3:], names, titles[2:], strict=True):
            if name in example.answers:
                answer = example.answers[name]
                text = f"IoU {100 * answer.iou:.0f} %"
                show(axis, judge(example, answer), f"{title}\n{text}" if title else text)
    return figure


def draw_groups(ranked: Sequence[RankedGroups]) -> Figure:
    """Draw for every scene its target, the scene, and the best groups with scores, the target's framed."""
    n_groups = max((len(one.scores) for one in ranked), default=0)
    figure, blocks = lay_blocks(len(ranked), 1, 2 + n_groups)
    for one, panels in zip(ranked, blocks, strict=True):
        show(panels[0], one.target, f"{one.clutter_level} characters")
        show(panels[1], one.scene)
        of_groups = zip(one.crops, one.scores, one.is_target, strict=True)
        for axis, (crop, score, is_target) in zip(panels[2:], of_groups, strict=False):
            show(axis, tint(crop), f"target: {score:.1f}" if is_target else f"{score:.1f}")
            if is_target:
                axis.spines[:].set(color=HEX_HIT, linewidth=2)
    return figure


def draw_mistakes(mistakes: UInt8[np.ndarray, "n 3 h w"], n_columns: int = 3) -> Figure:
    """Draw wrong answers of a classifier: the drawing that was asked, the class answered, the right class."""
    figure, blocks = lay_blocks(len(mistakes), n_columns, 3)
    for number, (images, panels) in enumerate(zip(mistakes, blocks, strict=True)):
        for axis, image, title in zip(panels, images, ("query", "answer", "right"), strict=True):
            picture = np.repeat(255 - 255 * image[:, :, None], 3, axis=2)
            show(axis, picture, title if number < n_columns else "")
        panels[1].spines[:].set(color=HEX_MISS, linewidth=2)
        panels[2].spines[:].set(color=HEX_HIT, linewidth=2)
    return figure


def lay_blocks(n_blocks: int, n_columns: int, n_panels: int) -> tuple[Figure, list[list[Axes]]]:
    """Lay out blocks of panels side by side, row after row, with gaps between columns."""
    n_rows = max(1, -(-n_blocks // n_columns))
    widths = (([1.0] * n_panels + [GAP]) * n_columns)[:-1]
    size = (PANEL * sum(widths), (PANEL + TITLE) * n_rows)
    figure = Figure(figsize=size, dpi=110, facecolor=PAPER, layout=TIGHT)
    axes = figure.subplots(n_rows, len(widths), squeeze=False, width_ratios=widths)
    for axis in axes.flat:
        axis.set_axis_off()
    places = [divmod(number, n_columns) for number in range(n_blocks)]
    starts = [(row, (n_panels + 1) * column) for row, column in places]
    return figure, [[*axes[row, start : start + n_panels]] for row, start in starts]


def show(axis: Axes, image: np.ndarray, title: str = "") -> None:
    axis.imshow(image, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.set_axis_on()
    axis.set_title(title, color=FAINT, fontsize=8, pad=3)
    axis.spines[:].set_color("#2a2f3a")


def spotlight(scene: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Darken the scene but for the mask, which shines."""
    dimmed = (scene * DIMMED).astype(np.uint8)
    dimmed[mask] = TRUE_COLOUR
    return dimmed


def judge(example: Example, answer: Answer) -> UInt8[np.ndarray, "h w 3"]:
    """Put the answer on the darkened scene: right pixels green, wrong ones red, missed ones yellow."""
    picture = spotlight(example.scene, example.mask)
    picture[answer.mask] = MISS_COLOUR
    picture[answer.mask & example.mask] = HIT_COLOUR
    return picture


def tint(crop: UInt8[np.ndarray, "2 size size"]) -> UInt8[np.ndarray, "size size 3"]:
    """Show a group's own ink white, other ink grey."""
    own, other = crop.astype(np.float64)
    return np.repeat((own + DIMMED * other).clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
