"""Pictures: the task, and what a network answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

PAPER, INK, FAINT = "#10131a", "#f2f0e8", "#8a90a0"
TRUE_COLOUR, HIT_COLOUR, MISS_COLOUR = (255, 210, 63), (61, 220, 151), (255, 89, 100)
TIGHT = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)  # inches
DIMMED = 0.25  # brightness of what is not the target


@dataclass(frozen=True)
class Example:
    """One scene, its target and masks; without a prediction only the truth is shown."""

    clutter_level: int
    scene: UInt8[np.ndarray, "h w 3"]
    target: UInt8[np.ndarray, "th tw 3"]
    mask: Bool[np.ndarray, "h w"]
    predicted: Bool[np.ndarray, "h w"] | None
    iou: float | None


def list_examples(
    clutter_level: int,
    images: UInt8[np.ndarray, "n h w 3"],
    targets: UInt8[np.ndarray, "n th tw 3"],
    masks: Bool[np.ndarray, "n h w"],
    predicted: Bool[np.ndarray, "m h w"] | None = None,
    ious: Sequence[float] = (),
) -> list[Example]:
    """List the scenes in order, with their predicted masks, of which there may be more."""
    return [
        Example(
            clutter_level, images[n], targets[n], masks[n],
            None if predicted is None else predicted[n], None if predicted is None else ious[n],
        )
        for n in range(len(images))
    ]  # fmt: skip


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
    """Draw a grid of examples: target, scene, true mask, and the answer in green (right) and red (wrong)."""
    n_rows = -(-len(examples) // n_columns)
    figure = Figure(figsize=(4.6 * n_columns, 1.32 * n_rows), dpi=110, facecolor=PAPER, layout=TIGHT)
    axes = figure.subplots(n_rows, 4 * n_columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, example in enumerate(examples):
        place, column = divmod(number, n_columns)
        target, scene, truth, answer = axes[place, 4 * column : 4 * column + 4]
        show(target, example.target, f"{example.clutter_level} characters")
        show(scene, example.scene, "scene" if place == 0 else "")
        show(truth, spotlight(example.scene, example.mask), "truth" if place == 0 else "")
        show(answer, judge(example), "" if example.iou is None else f"IoU {100 * example.iou:.0f} %")
    return figure


def show(axis: Axes, image: np.ndarray, title: str = "") -> None:
    axis.imshow(image, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.set_axis_on()
    axis.set_title(title, color=FAINT, fontsize=8, pad=2)
    axis.spines[:].set_color("#2a2f3a")


def spotlight(scene: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Darken the scene but for the mask, which shines."""
    dimmed = (scene * DIMMED).astype(np.uint8)
    dimmed[mask] = TRUE_COLOUR
    return dimmed


def judge(example: Example) -> UInt8[np.ndarray, "h w 3"]:
    """Put the answer on the darkened scene: right pixels green, wrong ones red, missed ones yellow."""
    picture = spotlight(example.scene, example.mask)
    if example.predicted is not None:
        picture[example.predicted] = MISS_COLOUR
        picture[example.predicted & example.mask] = HIT_COLOUR
    return picture
