"""Pictures of the task and of answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oneshot.clutter.scenes import Scenes
from oneshot.report.figures import (
    Example,
    draw_predictions,
    draw_task,
    judge,
    list_examples,
    save_figure,
    spotlight,
)
from tests.fake_scenes import fake_scenes


def list_of(level: int, scenes: Scenes, *answers: Any) -> list[Example]:
    return list_examples(level, scenes.images(), scenes.targets(), scenes.masks, *answers)


def test_examples_carry_their_scenes_and_the_answers_where_there_are_any() -> None:
    scenes = fake_scenes(3, 4, seed=0)
    predicted = np.roll(scenes.masks, 1, axis=1)
    examples = list_of(4, scenes, predicted, [0.1, 0.2, 0.3])
    assert [example.iou for example in examples] == [0.1, 0.2, 0.3]
    for n, example in enumerate(examples):
        assert example.clutter_level == 4
        assert np.array_equal(example.scene, scenes.images()[n])
        assert np.array_equal(example.target, scenes.targets()[n])
        assert np.array_equal(example.mask, scenes.masks[n])
        assert example.predicted is not None
        assert np.array_equal(example.predicted, predicted[n])
    assert [(e.predicted, e.iou) for e in list_of(4, scenes)] == [(None, None)] * 3


def test_an_answer_is_green_where_right_red_where_wrong_and_yellow_where_missed() -> None:
    scenes = fake_scenes(1, 1, seed=0, size=32)
    predicted = np.roll(scenes.masks, 1, axis=2)
    (example,) = list_of(1, scenes, predicted, [0.5])
    picture, truth, answer = judge(example), example.mask, predicted[0]
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


@pytest.mark.parametrize("name", ["task", "predictions", "predictions without answers"])
def test_a_picture_is_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    scenes = fake_scenes(5, 4, seed=1)
    examples = list_of(4, scenes, np.roll(scenes.masks, 2, axis=1), [0.1, 0.2, 0.3, 0.4, 0.5])
    for turn in ("first", "second"):
        figure = {
            "task": lambda: draw_task(examples[:3]),
            "predictions": lambda: draw_predictions(examples, 2),
            "predictions without answers": lambda: draw_predictions(list_of(4, scenes), 3),
        }[name]()
        save_figure(figure, tmp_path / "new" / f"{turn}.png")
    first, second = ((tmp_path / "new" / f"{turn}.png").read_bytes() for turn in ("first", "second"))
    assert first == second
    with Image.open(tmp_path / "new" / "first.png") as picture:
        assert "Software" not in picture.info
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10
