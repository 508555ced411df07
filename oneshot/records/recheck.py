"""Whether released weights, evaluated again, do what was recorded of them, scene by scene."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Percentage points of IoU. Both sides are plain float32 evaluations of the same file. What is left is that
# another machine's convolutions round otherwise, which flips single pixels near the threshold; another batch
# size moves nothing. Even weights rounded to half precision move a scene by 0.01 to 0.02 on average only,
# other scenes or other weights by tens.
MEAN_TOLERANCE = 0.05
SCENE_TOLERANCE = 0.2
# Of a MaskNet another machine's rounding can also turn the choice between two proposals: so many scenes, and
# at least one, may be as far apart as they like. It is evaluated on few: a pixel of one moves their mean.
SHARE_APART = 0.01
POINTS_OF_A_PIXEL = 1.0


@dataclass(frozen=True)
class Agreement:
    """Scores of the first `n` scenes beside the recorded ones of the same scenes; differences in points.

    `difference_points` is of the means (here less recorded), `share_beyond_1_point` of the scenes.
    """

    n: int
    recorded_iou: float
    difference_points: float
    mean_absolute_difference_points: float
    largest_difference_points: float
    share_beyond_1_point: float
    agrees: bool


def compare(
    iou: Float[np.ndarray, " n"], recorded: Float[np.ndarray, " m"], *, chooses: bool = False
) -> Agreement:
    """Compare the scenes that both have: the shorter one's, since both begin with the first of the set.

    chooses: the network chooses among proposals, as MaskNet does.
    """
    n = min(len(iou), len(recorded))
    before = recorded[:n].astype(np.float64)
    points = 100 * (iou[:n].astype(np.float64) - before)
    difference, absolute = float(points.mean()), np.abs(points)
    return Agreement(
        n=n,
        recorded_iou=float(before.mean()),
        difference_points=difference,
        mean_absolute_difference_points=float(absolute.mean()),
        largest_difference_points=float(absolute.max()),
        share_beyond_1_point=float((absolute > 1).mean()),
        agrees=agree(points, chooses),
    )


def agree(points: Float[np.ndarray, " n"], chooses: bool) -> bool:
    """Whether differences scene by scene are no more than another machine's rounding."""
    n, most = len(points), MEAN_TOLERANCE
    if chooses and n > 1:
        n_apart = max(1, int(SHARE_APART * n))
        points = points[np.argsort(np.abs(points))[: n - n_apart]]
        most = max(MEAN_TOLERANCE, POINTS_OF_A_PIXEL / n)
    return bool(abs(points.mean()) <= most and np.abs(points).mean() <= SCENE_TOLERANCE)
