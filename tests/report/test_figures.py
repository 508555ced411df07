"""Pictures of the task and of answers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oneshot.clutter.scenes import Scenes
from oneshot.report.figures import (
    Answer,
    Example,
    RankedGroups,
    draw_groups,
    draw_mistakes,
    draw_predictions,
    draw_task,
    judge,
    save_figure,
    spotlight,
    tint,
)
from tests.fake_scenes import fake_scenes


def list_of(level: int, scenes: Scenes, shift: int = 0, names: tuple[str, ...] = ()) -> list[Example]:
    """List scenes with the same answer by every network: the true mask, moved."""
    answers = [{name: Answer(np.roll(mask, shift, axis=1), 0.5) for name in names} for mask in scenes.masks]
    found = zip(scenes.images(), scenes.targets(), scenes.masks, answers, strict=True)
    return [Example(level, *of_scene) for of_scene in found]


def test_an_answer_is_green_where_right_red_where_wrong_and_yellow_where_missed() -> None:
    scenes = fake_scenes(1, 1, seed=0, size=32)
    (example,) = list_of(1, scenes, 1, ("a network",))
    found = example.answers["a network"]
    picture, truth, answer = judge(example, found), example.mask, found.mask
    for where, code in (
        (truth & answer, (61, 220, 151)),
        (~truth & answer, (255, 89, 100)),
        (truth & ~answer, (255, 210, 63)),
    ):
        assert where.any()
        assert (picture[where] == code).all()
    elsewhere = ~truth & ~answer
    assert np.array_equal(picture[elsewhere], (example.scene * 0.25).astype(np.uint8)[elsewhere])
    assert (spotlight(example.scene, truth)[truth] == (255, 210, 63)).all()


def test_a_groups_ink_is_white_and_that_of_others_grey() -> None:
    crop = np.zeros((2, 3, 3), np.uint8)
    crop[0, 0, 0] = crop[1, 1, 1] = 255
    picture = tint(crop)
    assert (picture[0, 0] == 255).all()
    assert (picture[1, 1] > 0).all()
    assert (picture[1, 1] < 100).all()
    assert (picture[2] == 0).all()


def ranked_groups(n: int) -> RankedGroups:
    (example,) = list_of(4, fake_scenes(1, 4, seed=2))
    crops = np.random.default_rng(0).integers(0, 256, (n, 2, 28, 28), dtype=np.uint8)
    scores = np.linspace(9, -1, n)
    return RankedGroups(4, example.scene, example.target, crops, scores, np.arange(n) == 1)


def test_titles_name_networks_groups_scores_and_the_target() -> None:
    scenes = fake_scenes(3, 4, seed=1)
    examples = list_of(4, scenes, 1, ("one", "another"))
    examples[1] = list_of(4, scenes, 1, ("another",))[1]
    titles = [axis.get_title() for axis in draw_predictions(examples, 1).axes]
    assert titles[:10] == [
        "4 characters", "scene", "truth", "one\nIoU 50 %", "another\nIoU 50 %",
        "4 characters", "", "", "", "IoU 50 %",
    ]  # fmt: skip
    titles = [axis.get_title() for axis in draw_groups([ranked_groups(3), ranked_groups(2)]).axes]
    assert titles == ["4 characters", "", "9.0", "target: 4.0", "-1.0", "4 characters", "", "9.0",
                      "target: -1.0", ""]  # fmt: skip


def test_a_wrong_answer_stands_between_its_query_and_the_right_class() -> None:
    mistakes = np.zeros((2, 3, 5, 5), np.uint8)
    mistakes[1, 2, 0, 0] = 1
    axes = draw_mistakes(mistakes, 1).axes
    assert [axis.get_title() for axis in axes] == ["query", "answer", "right", "", "", ""]
    inks = [(np.asarray(axis.images[0].get_array()) == 0).any() for axis in axes]
    assert inks == [False] * 5 + [True]
    assert draw_mistakes(mistakes[:0]).axes  # nothing went wrong: an empty picture


@pytest.mark.parametrize(
    "name", ["task", "predictions", "predictions without answers", "groups", "no groups", "mistakes"]
)
def test_a_picture_is_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    scenes = fake_scenes(5, 4, seed=1)
    examples = list_of(4, scenes, 2, ("a network", "another"))
    drawings = np.random.default_rng(0).integers(0, 2, (4, 3, 105, 105), dtype=np.uint8)
    for turn in ("first", "second"):
        figure = {
            "task": lambda: draw_task(examples[:3]),
            "predictions": lambda: draw_predictions(examples, 2),
            "predictions without answers": lambda: draw_predictions(list_of(4, scenes), 3),
            "groups": lambda: draw_groups([ranked_groups(5)]),
            "no groups": lambda: draw_groups([]),
            "mistakes": lambda: draw_mistakes(drawings),
        }[name]()
        save_figure(figure, tmp_path / "new" / f"{turn}.png")
    first, second = ((tmp_path / "new" / f"{turn}.png").read_bytes() for turn in ("first", "second"))
    assert first == second
    with Image.open(tmp_path / "new" / "first.png") as picture:
        assert "Software" not in picture.info
        n_colours = len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))
    assert (n_colours > 10) == (name != "no groups")
