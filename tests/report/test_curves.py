"""Curves: who has a line, and short legends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oneshot.report.curves import (
    choose_source,
    draw_iou_over_clutter,
    draw_oracles,
    draw_rising_ways,
)
from oneshot.report.figures import save_figure
from oneshot.report.rows import choose, collect_rows
from tests.report.fakes import KOCH, PUBLISHED, classification_rows, segmentation_rows

DRAWN: dict[Callable[..., Any], Callable[..., pd.DataFrame]] = {
    draw_iou_over_clutter: segmentation_rows,
    draw_oracles: segmentation_rows,
    draw_rising_ways: classification_rows,
}


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("draw", DRAWN)
def test_a_curve_is_the_same_bytes_twice_with_a_short_legend(draw: Any, tmp_path: Path) -> None:
    for turn in ("first", "second"):
        figure = draw(DRAWN[draw]())
        save_figure(figure, tmp_path / f"{turn}.png")
    assert 2 <= len(legend(figure)) <= 8
    assert max(map(len, legend(figure))) <= 40
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_networks_have_lines_published_recorded_and_trained_here() -> None:
    figure = draw_iou_over_clutter(segmentation_rows())
    nets = ["Siamese-U-Net", "MaskNet", "every character marked"]
    assert legend(figure) == [*nets, "published", "recorded", "trained here"]
    stars = [line for line in figure.axes[0].get_lines() if line.get_marker() == "*"]
    assert len(stars) == 2  # of both networks


def test_of_many_networks_the_best_have_a_line() -> None:
    rows = segmentation_rows()
    like = choose(rows, net="masknet", kind="here", answer="answer")
    values = {n: dict.fromkeys(("value", "low", "high"), n / 10) for n in range(10)}
    more = [like.assign(net=f"net {n}", title=f"net {n}", **values[n]) for n in values]
    figure = draw_iou_over_clutter(pd.concat([rows[rows["net"].isna()], *more]))
    assert legend(figure)[:6] == [*(f"net {n}" for n in range(5, 10)), "every character marked"]


def test_the_source_of_most_levels_then_recorded_then_of_most_scenes_has_the_oracles() -> None:
    rows = choose(segmentation_rows(), net="siamese_unet", metric="iou", subset="all", further=False)
    assert choose_source(rows) == "`siamese_unet-joint`"
    rows = choose(rows, clutter_level=4)
    fast = "`siamese_unet-N-fast`, 24 feature maps"
    rows.loc[rows["title"].eq(fast), "n_seen"] = 10**7
    assert choose_source(rows) == fast
    rows.loc[rows["title"].ne(fast) & rows["kind"].eq("recorded"), "n_seen"] = 10**7 + 1
    assert choose_source(rows) == "`siamese_unet-N-published`, 24 feature maps"


def recorded_line(figure: Any) -> list[tuple[int, float]]:
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "s"]
    return [*zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_at_every_level_the_recorded_network_that_has_seen_most_is_drawn() -> None:
    rows = choose(segmentation_rows(), net="siamese_unet", kind="recorded", metric="iou", subset="all")
    like = choose(rows, split="test-one-shot").head(1).assign(n_seen_before=0, low=0.0, high=1.0)
    of_all = [like.assign(title="all", clutter_level=n, n_seen=100, value=n / 10) for n in (1, 2, 4)]
    further = like.assign(title="one", clutter_level=2, n_seen=50, n_seen_before=60, value=0.9)
    shorter = like.assign(title="one", clutter_level=4, n_seen=90, value=0.9)
    figure = draw_iou_over_clutter(pd.concat([*of_all, further, shorter]))
    assert recorded_line(figure) == [(1, 10.0), (2, 90.0), (4, 40.0)]


def test_oracles_of_all_levels_are_drawn_rather_than_recorded_ones_of_one() -> None:
    rows = segmentation_rows()
    here = choose(rows, kind="here", net="masknet")
    level = here["clutter_level"].min()
    one = choose(here, clutter_level=level).assign(kind="recorded", title="recorded")
    assert legend(draw_oracles(pd.concat([rows, one])))[-2] == "trained here"
    assert legend(draw_oracles(pd.concat([choose(rows, kind="published"), one])))[-2] == "recorded"


def test_oracles_stand_beside_both_networks() -> None:
    figure = draw_oracles(segmentation_rows())
    assert legend(figure) == [
        "Siamese-U-Net", "MaskNet", "location given", "candidates given", "choice given",
        "published", "trained here", "with a part given",
    ]  # fmt: skip


def test_methods_are_named_at_the_ends_of_their_lines() -> None:
    axis = draw_rising_ways(classification_rows()).axes[0]
    assert [text.get_text() for text in axis.texts] == [
        "siamese net, 30,000 pairs, affine x 8", "siamese net, own recipe", "prototypical network",
    ]  # fmt: skip
    heights = [text.xy[1] for text in axis.texts]
    assert heights == sorted(heights)


def test_the_published_accuracy_over_n_is_a_point() -> None:
    (point,) = [
        line for line in draw_rising_ways(classification_rows()).axes[0].lines if line.get_marker() == "*"
    ]
    assert (point.get_xdata().tolist(), point.get_ydata().tolist()) == ([20], [83])


def test_without_networks_there_are_pictures_too(tmp_path: Path) -> None:
    published = collect_rows("segmentation", PUBLISHED, {})
    save_figure(draw_iou_over_clutter(published), tmp_path / "iou.png")
    save_figure(draw_oracles(published), tmp_path / "oracles.png")
    save_figure(draw_rising_ways(collect_rows("classification", KOCH, {})), tmp_path / "rising.png")
