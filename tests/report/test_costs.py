"""The picture of what minutes of training buy: which points and lines are in it."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from oneshot.report.costs import draw_costs
from oneshot.report.figures import save_figure
from tests.report.fakes import class_run, classification_rows, scene_run, segmentation_rows

SECONDS = {"training": 600.0, "waiting": 1.0, "evaluation": 1.0, "total": 700.0}


def draw(n_more: int = 0) -> Figure:
    cpu = {"device": "AMD EPYC", "machine": "AMD EPYC, 2 cores", "seconds": SECONDS}
    gpu = {"device": "H100", "machine": "Xeon, 16 cores", "seconds": SECONDS | {"training": 60.0}}
    start = {"file": "weights", "sha256": "0" * 64, "n_seen": 7}
    scenes = [
        scene_run("siamese_unet-4-fast", (4,), 0.875, **cpu, versions={"cuda": "13.0"}),
        scene_run("siamese_unet-joint-fast", (4, 32), 0.5, **gpu),
        scene_run("siamese_unet-4-fast-seed-7", (4,), 0.25, seed=7, **cpu),
        scene_run("masknet-4-fast", (4,), 0.25, start_from=start, **cpu),
    ]
    trials = [class_run("contrastive", 0.9, **cpu), class_run("own", 0.5, **cpu)]
    trials += [class_run(f"another_{number}", 0.5, **cpu) for number in range(n_more)]
    curves = {
        "contrastive": pd.DataFrame({"seconds": [6, 60, 120, 600], "error": [0.5, None, 0.25, 0.375]}),
        "own": pd.DataFrame({"seconds": [60], "error": [None]}),
    } | {f"another_{number}": pd.DataFrame({"seconds": [60], "error": [0.5]}) for number in range(n_more)}
    return draw_costs(segmentation_rows(*scenes), classification_rows(*trials), [*scenes, *trials], curves)


def test_every_usual_run_is_at_its_minutes_with_the_marker_of_what_it_ran_on() -> None:
    left, right = draw().axes
    points = [
        (line.get_marker(), float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in left.lines
        if line.get_marker() in ("o", "^")
    ]
    assert points == [("^", 1, 50), ("^", 1, 50), ("o", 10, 87.5)]
    words = [text.get_text() for text in left.texts]
    assert words == ["siamese_unet-joint-fast", "siamese_unet-4-fast", "4 characters", "256 characters"]
    published = [float(line.get_ydata()[0]) for line in left.lines if line.get_linestyle() == "--"]
    assert published == pytest.approx([97.1, 38.4])
    (curve,) = [line for line in right.lines if line.get_marker() == "o"]
    assert [float(x) for x in curve.get_xdata()] == pytest.approx([0.1, 2, 10])
    assert [float(y) for y in curve.get_ydata()] == [50, 75, 75]
    assert [text.get_text() for text in right.texts] == ["Koch's network, test alphabets"]
    legend = right.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["contrastive"]


def test_many_classifiers_share_colours_but_no_two_look_alike() -> None:
    figure = draw(20)
    curves = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == len(curves) == 21
    assert len(draw(30).axes[1].lines) == 32  # then they do


def test_the_picture_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for turn in ("first", "second"):
        save_figure(draw(), tmp_path / f"{turn}.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
