"""Weights that are evaluated again against their record: what agrees and what does not."""

import numpy as np
import pytest

from oneshot.records.recheck import compare_answers, compare_scenes
from oneshot.records.run import RecordError
from oneshot.records.segmentation_evaluator import is_choice

RECORDED = np.linspace(0.1, 0.9, 200, dtype=np.float32)


def test_the_same_scores_agree_to_the_bit() -> None:
    agreement = compare_scenes(RECORDED, RECORDED)
    assert agreement.agrees
    assert agreement.n == 200
    assert agreement.recorded == pytest.approx(0.5)
    assert agreement.difference_points == 0


def test_only_the_scenes_that_both_have_are_compared() -> None:
    longer = np.concatenate([RECORDED, np.zeros(50, np.float32)])
    assert (
        compare_scenes(RECORDED, longer)
        == compare_scenes(longer, RECORDED)
        == compare_scenes(RECORDED, RECORDED)
    )


def test_differences_are_in_percentage_points_and_here_less_recorded() -> None:
    here = RECORDED.copy()
    here[:2] += np.float32([0.005, -0.04])
    agreement = compare_scenes(here, RECORDED)
    assert agreement.difference_points == pytest.approx((0.5 - 4) / 200, abs=1e-4)
    assert agreement.mean_absolute_difference_points == pytest.approx((0.5 + 4) / 200, abs=1e-4)
    assert agreement.agrees


@pytest.mark.parametrize(("points", "agrees"), [(0.04, True), (-0.04, True), (0.06, False), (-0.06, False)])
def test_a_mean_may_move_by_a_twentieth_of_a_point_either_way(points: float, agrees: bool) -> None:
    assert compare_scenes(RECORDED + np.float32(points / 100), RECORDED).agrees == agrees


@pytest.mark.parametrize(("points", "agrees"), [(0.19, True), (0.21, False)])
def test_scenes_may_move_by_a_fifth_of_a_point_on_average(points: float, agrees: bool) -> None:
    here = RECORDED.copy()
    here[::2] += np.float32(points / 100)
    here[1::2] -= np.float32(points / 100)
    agreement = compare_scenes(here, RECORDED)
    assert agreement.difference_points == pytest.approx(0, abs=1e-4)
    assert agreement.agrees == agrees


def test_other_scenes_of_the_same_mean_do_not_agree() -> None:
    agreement = compare_scenes(RECORDED[::-1], RECORDED)
    assert agreement.difference_points == pytest.approx(0, abs=1e-6)
    assert agreement.mean_absolute_difference_points > 30
    assert not agreement.agrees


@pytest.mark.parametrize(
    ("n", "n_flipped", "agrees"), [(200, 2, True), (200, 3, False), (10, 1, True), (10, 2, False)]
)
def test_a_network_that_chooses_may_choose_otherwise_in_a_scene_of_a_hundred(
    n: int, n_flipped: int, agrees: bool
) -> None:
    here = RECORDED[:n].copy()
    here[:n_flipped] += np.float32(0.3)
    assert compare_scenes(here, RECORDED[:n], chooses=True).agrees == agrees
    assert not compare_scenes(here, RECORDED[:n]).agrees


def test_answers_of_a_masknet_and_colours_are_choices() -> None:
    assert is_choice("masknet", "4/answer/test-train/iou")
    assert is_choice("siamese_unet", "4/snapped/test-train/iou")
    assert not is_choice("siamese_unet", "4/answer/test-train/iou")


def test_a_pixel_of_one_of_few_scenes_is_no_difference() -> None:
    here = RECORDED[:10].copy()
    here[:2] += np.float32([0.007, 0.006])
    assert compare_scenes(here, RECORDED[:10], chooses=True).agrees
    assert not compare_scenes(here, RECORDED[:10]).agrees


@pytest.mark.parametrize(
    ("n", "n_turned", "n_lost", "agrees"),
    [(10_000, 20, 0, True), (10_000, 22, 0, False), (10_000, 10, 10, True), (10_000, 11, 11, False),
     (400, 1, 1, True), (400, 2, 0, False), (1, 1, 1, True)],
)  # fmt: skip
def test_one_answer_in_500_may_turn_and_one_in_1000_be_lost(
    n: int, n_turned: int, n_lost: int, agrees: bool
) -> None:
    recorded = (np.arange(n) < max(1, n // 2)).astype(np.uint8)
    here = recorded.copy()
    here[: (n_turned + n_lost) // 2] = 0
    if gained := (n_turned - n_lost) // 2:
        here[-gained:] = 1
    agreement = compare_answers(here.astype(bool), recorded)
    assert agreement.agrees == agrees
    assert agreement.n == n
    assert agreement.mean_absolute_difference_points == pytest.approx(100 * n_turned / n)
    assert agreement.difference_points == pytest.approx(-100 * n_lost / n)


def test_answers_to_other_queries_cannot_be_compared() -> None:
    with pytest.raises(RecordError, match="3 answers cannot be compared with 4 recorded ones"):
        compare_answers(np.ones(3, np.uint8), np.ones((2, 2), np.uint8))
