"""Curves of IoU over clutter: who has a line, in which look, from which source."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from oneshot.report.curves import draw_iou_over_clutter, draw_oracles
from oneshot.report.figures import save_figure
from oneshot.report.rows import collect_segmentation
from tests.fake_metrics import (
    CUT_SHORT,
    JOINT,
    ORACLE_ANSWERS,
    OWN,
    PUBLISHED,
    RECORDED,
    RELEASED,
    masknet_record,
    own_net,
    small_metrics,
    small_records,
    small_reevaluated,
)
from tests.fake_records import fake_record, fake_scores


@pytest.fixture
def all_results() -> pd.DataFrame:
    return collect_segmentation(PUBLISHED, small_metrics(), small_records(), small_reevaluated())


@pytest.fixture
def with_masknet() -> pd.DataFrame:
    records = [*small_records(), *(masknet_record(level) for level in (4, 32))]
    return collect_segmentation(PUBLISHED, small_metrics(), records, small_reevaluated())


@pytest.mark.parametrize("draw", [draw_iou_over_clutter, draw_oracles])
def test_a_curve_is_the_same_bytes_twice(draw: Any, with_masknet: pd.DataFrame, tmp_path: Path) -> None:
    for turn in ("first", "second"):
        save_figure(draw(with_masknet), tmp_path / f"{turn}.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize("draw", [draw_iou_over_clutter, draw_oracles])
def test_a_checkout_without_any_network_has_its_curves_too(draw: Any) -> None:
    figure = draw(collect_segmentation(PUBLISHED, [{"scale": "smoke", "clutter_level": 4}]))
    assert len(legend(figure)) == 2
    assert all("published" in label for label in legend(figure))


def legend(figure: Any) -> list[str]:
    """Its titles, which may go over several lines."""
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_the_curve_of_iou_has_a_line_for_every_source_and_split(all_results: pd.DataFrame) -> None:
    figure = draw_iou_over_clutter(all_results)
    labels = legend(figure)
    ours = [f"Siamese-U-Net, {source}" for source in (*RECORDED, CUT_SHORT, *RELEASED, OWN, JOINT)]
    assert sorted(labels) == sorted([
        f"{source}; {split}"
        for source in (*ours, "every character marked")
        for split in ("one-shot characters", "known characters")
    ] + [f"{net}, published; one-shot characters" for net in ("Siamese-U-Net", "MaskNet")])  # fmt: skip


def test_released_weights_are_crosses_in_the_colour_of_their_recorded_line(all_results: pd.DataFrame) -> None:
    axis = draw_iou_over_clutter(all_results).axes[0]
    lines = {container.get_label().replace("\n", " "): container.lines[0] for container in axis.containers}
    for recorded, released_here in zip(RECORDED, RELEASED, strict=True):
        line, crosses = (
            lines[f"Siamese-U-Net, {source}; one-shot characters"] for source in (recorded, released_here)
        )
        assert line.get_color() == crosses.get_color()
        assert (line.get_linestyle(), crosses.get_linestyle()) == ("-", "None")
    assert len({line.get_color() for line in lines.values()}) == 6
    # The run of a further seed at level 4 is none of the line's points.
    assert list(lines[f"Siamese-U-Net, {RECORDED[1]}; one-shot characters"].get_xdata()) == [4]


def test_masknets_own_answer_is_a_line_of_squares_and_its_oracles_are_none(
    with_masknet: pd.DataFrame,
) -> None:
    axis = draw_iou_over_clutter(with_masknet).axes[0]
    lines = {container.get_label().replace("\n", " "): container.lines[0] for container in axis.containers}
    mine = {title: line for title, line in lines.items() if title.startswith("MaskNet")}
    assert set(mine) == {f"MaskNet, {RECORDED[1]}; {split} characters" for split in ("one-shot", "known")}
    assert {line.get_marker() for line in mine.values()} == {"s"}
    assert [list(line.get_xdata()) for line in mine.values()] == [[4, 32], [4, 32]]
    ours = lines[f"Siamese-U-Net, {RECORDED[1]}; one-shot characters"]
    assert ours.get_marker() == "o"
    assert ours.get_color() not in {line.get_color() for line in mine.values()}


def test_oracles_have_a_panel_for_each_test_set_with_both_networks_and_published_stars(
    with_masknet: pd.DataFrame,
) -> None:
    figure = draw_oracles(with_masknet)
    assert [axis.get_title() for axis in figure.axes] == ["one-shot characters", "known characters"]
    assert set(legend(figure)) == {
        f"Siamese-U-Net, {RECORDED[1]}", f"MaskNet, {RECORDED[1]}", "MaskNet, location given",
        "MaskNet, candidates given", "MaskNet, choice given", "Siamese-U-Net, published",
        "MaskNet, published",
    }  # fmt: skip
    one_shot, known = (
        {c.get_label().replace("\n", " "): c.lines[0] for c in axis.containers} for axis in figure.axes
    )
    assert len(one_shot) == len(known) == 5
    line = one_shot["MaskNet, choice given"]
    assert list(line.get_xdata()) == [4, 32]
    assert line.get_ydata() == pytest.approx(2 * [100 * ORACLE_ANSWERS["choice_given"]])
    assert line.get_linestyle() == "--"
    stars = [line.get_label() for line in figure.axes[1].get_lines() if line.get_marker() == "*"]
    assert stars == []  # nothing is published of known characters


def test_a_recorded_source_goes_before_one_trained_here_and_further_seeds_do_not_count() -> None:
    metrics = small_metrics()
    metrics[0]["masknet_level_4"] = own_net(7000, ORACLE_ANSWERS)
    here = draw_oracles(collect_segmentation(PUBLISHED, metrics))
    title = "MaskNet, trained here: a net for each level, recipe fast, 8 feature maps, 7,000 scenes"
    assert title in legend(here)
    seed = fake_record(4, "fast", fake_scores(0.5), name="4-seed-7", net="masknet")
    assert title in legend(draw_oracles(collect_segmentation(PUBLISHED, metrics, [seed])))
    both = draw_oracles(collect_segmentation(PUBLISHED, metrics, [masknet_record(32)]))
    assert f"MaskNet, {RECORDED[1]}" in legend(both)
    assert title not in legend(both)


def test_siamese_unet_beside_oracles_was_obtained_like_their_masknet() -> None:
    """A recorded Siamese-U-Net is no company for a MaskNet that was trained here."""
    metrics = small_metrics()
    metrics[0]["masknet_joint"] = own_net(7000, ORACLE_ANSWERS)
    recorded = fake_record(4, "fast", fake_scores(0.9))
    titles = legend(draw_oracles(collect_segmentation(PUBLISHED, metrics, [recorded])))
    assert f"Siamese-U-Net, {JOINT}" in titles
    assert f"Siamese-U-Net, {RECORDED[1]}" not in titles
