"""The plot of N-way accuracy over N: a colour for each scorer, a style for each kind of characters."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from oneshot.report.classification_curves import draw_rising_ways
from oneshot.report.figures import save_figure

# Accuracy in %, by scorer, at N = 2 on evaluation characters; 5 points more on training characters.
SCORERS = {"guess": 50.0, "euclidean": 65.0, "protonet": 90.0, "own": 85.0}


def rising_ways(ways: range = range(2, 61)) -> pd.DataFrame:
    """Not in order of N, and baselines first, as no plot shows them."""
    rows = [
        {"scorer": scorer, "characters": characters, "n_way": n_way, "percent": percent + more - n_way / 2,
         "low": percent + more - n_way / 2 - 3, "high": percent + more - n_way / 2 + 1, "n": 400}
        for scorer, percent in SCORERS.items()
        for characters, more in (("evaluation", 0), ("training", 5))
        for n_way in reversed(ways)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def legend(figure: Figure) -> dict[str, Any]:
    (found,) = figure.legends
    return {text.get_text(): line for text, line in zip(found.get_texts(), found.get_lines(), strict=True)}


def test_the_legend_names_every_scorer_once_networks_first_then_the_two_styles() -> None:
    found = legend(draw_rising_ways(rising_ways()))
    assert list(found) == [
        "siamese net, own recipe", "prototypical network", "1-nearest neighbour, Euclidean", "guessing",
        "evaluation characters", "training characters",
    ]  # fmt: skip
    assert len({to_hex(line.get_color()) for line in list(found.values())[:4]}) == 4
    assert [found[f"{name} characters"].get_linestyle() for name in ("evaluation", "training")] == ["-", "--"]


def test_every_scorer_has_a_line_over_n_for_each_kind_of_characters_in_its_colour() -> None:
    figure = draw_rising_ways(rising_ways())
    lines = figure.axes[0].get_lines()
    assert len(lines) == 8
    colour = legend(figure)["siamese net, own recipe"].get_color()
    mine = {line.get_linestyle(): line for line in lines if line.get_color() == colour}
    assert set(mine) == {"-", "--"}
    assert list(mine["-"].get_xdata()) == list(range(2, 61))
    assert mine["-"].get_ydata()[0] == pytest.approx(84)
    assert mine["--"].get_ydata()[0] == pytest.approx(89)


def test_every_line_lies_in_its_interval() -> None:
    axis = draw_rising_ways(rising_ways()).axes[0]
    bands = axis.collections
    assert len(bands) == 8
    for band, line in zip(bands, axis.get_lines(), strict=True):
        heights = band.get_paths()[0].vertices
        at_two = heights[heights[:, 0] == 2, 1]
        assert (min(at_two), max(at_two)) == pytest.approx((line.get_ydata()[0] - 3, line.get_ydata()[0] + 1))
        assert to_hex(band.get_facecolor()[0]) == to_hex(line.get_color())


def test_an_unknown_scorer_goes_by_its_name_and_a_style_that_is_not_there_is_not_explained() -> None:
    table = rising_ways(range(2, 5)).replace({"scorer": {"protonet": "own-koch_small"}})
    figure = draw_rising_ways(table[table["characters"].eq("evaluation")])
    assert list(legend(figure)) == [
        "siamese net, own recipe", "own-koch_small", "1-nearest neighbour, Euclidean", "guessing",
        "evaluation characters",
    ]  # fmt: skip
    assert list(figure.axes[0].get_xticks()) == [2]


def test_without_any_figure_there_is_an_empty_plot() -> None:
    assert legend(draw_rising_ways(rising_ways().iloc[:0])) == {}


def test_the_plot_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for turn in ("first", "second"):
        save_figure(draw_rising_ways(rising_ways()), tmp_path / f"{turn}.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10
