"""Scores computed again, beside the recorded ones: whether released weights do what was recorded of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from oneshot.records.run import RecordError

# Both sides are plain float32 evaluations of the same file. What is left is that another machine's
# convolutions round otherwise, which flips single pixels near the threshold; batches' size moves nothing.
# Percentage points of IoU: even weights rounded to half precision move a scene by 0.01 to 0.02 on average
# only, other scenes or other weights by tens.
MEAN_TOLERANCE = 0.05
SCENE_TOLERANCE = 0.2
# Another machine's rounding can also turn the choice between two of MaskNet's proposals, or between two
# colours: so many scenes, and at least one, may be as far apart as they like. MaskNet is evaluated on few: a
# pixel of one moves their mean.
SHARE_APART = 0.01
POINTS_OF_A_PIXEL = 1.0
# Of 10,000 answers within alphabets of two small nets, neither channels_last nor double precision turned one
# on a CPU; bfloat16, which such a comparison is to notice, turned 15 and 61. GPUs may take less exact
# convolutions, hence some room. One answer of few may always turn.
SHARE_TURNED = 0.002
SHARE_MOVED = 0.001  # of the answers, by which the number of right ones may differ

Points = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Agreement:
    """Scores of `n` scenes or answers beside the recorded ones, whose mean is `recorded`.

    Differences are in percentage points, here less recorded, where a right answer counts as 100 points:
    `difference_points` is of the means.
    """

    agrees: bool
    recorded: float
    n: int
    difference_points: float
    mean_absolute_difference_points: float


def compare_scenes(
    iou: Float[np.ndarray, " n"], recorded: Float[np.ndarray, " m"], *, chooses: bool = False
) -> Agreement:
    """Compare the IoU of the scenes that both have: the shorter one's, since both begin with the set's first.

    chooses: the answer is a choice (see `oneshot.records.segmentation_evaluator.is_choice`).
    """
    n = min(len(iou), len(recorded))

    def agree(points: Points) -> bool:
        most = MEAN_TOLERANCE
        if chooses and n > 1:
            n_apart = max(1, int(SHARE_APART * n))
            points = points[np.argsort(np.abs(points))[: n - n_apart]]
            most = max(MEAN_TOLERANCE, POINTS_OF_A_PIXEL / n)
        return bool(abs(points.mean()) <= most and np.abs(points).mean() <= SCENE_TOLERANCE)

    return compare(iou[:n], recorded[:n], agree)


def compare_answers(
    here: UInt8[np.ndarray, "*n"] | Bool[np.ndarray, "*n"], recorded: UInt8[np.ndarray, "*m"]
) -> Agreement:
    """Compare right and wrong answers to the same queries.

    Raises:
        RecordError: they are not of the same queries.
    """
    if here.size != recorded.size:
        raise RecordError(f"{here.size} answers cannot be compared with {recorded.size} recorded ones.")

    def agree(points: Points) -> bool:
        n, n_turned, n_moved = len(points), np.count_nonzero(points), abs(round(points.sum() / 100))
        return bool(n_turned <= max(1, SHARE_TURNED * n) and n_moved <= max(1, SHARE_MOVED * n))

    return compare(here.ravel().astype(bool), recorded.ravel().astype(bool), agree)


def compare(here: np.ndarray, recorded: np.ndarray, agree: Callable[[Points], bool]) -> Agreement:
    before = recorded.astype(np.float64)
    points = 100 * (here.astype(np.float64) - before)
    return Agreement(
        agrees=agree(points),
        recorded=float(before.mean()),
        n=len(points),
        difference_points=float(points.mean()),
        mean_absolute_difference_points=float(np.abs(points).mean()),
    )
