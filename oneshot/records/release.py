"""From a trained network to the file that is released, and that file's own scores: for both tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from oneshot.records.results import Scores
from oneshot.training.tensors import NetworkInfo, Precision, save_network

LARGEST_BYTES = 45 * 2**20  # of a released file, which lies in Git; where nothing smaller is as good, 8 bits


@runtime_checkable
class Evaluator(Protocol):
    """Evaluation of the networks of one task, in plain float32, as any machine can do it again.

    `smaller`: precisions to try before float32, the smallest first. What is scored is one of three
    selections: `deciding`, by which a smaller file is as good; `compared`, on which lost points are computed;
    `everything`.
    """

    smaller: tuple[Precision, ...]
    deciding: Any
    compared: Any
    everything: Any

    def score_file(self, path: Path, selection: Any) -> dict[str, Any]:
        """Score a file of weights on some of the test sets or protocols."""

    def is_as_good(self, whole: Scores, smaller: Scores) -> bool:
        """Tell whether a file's scores are as good as those of float32, on all that it has."""

    def lost_points(self, whole: Scores, smaller: Scores) -> dict[str, float]:
        """Compute by how many percentage points a file is worse than float32, on all that both have."""

    def measure_seconds(self, net: nn.Module) -> float:
        """Estimate from a few batches how long `release` takes."""


@dataclass(frozen=True)
class Release:
    """A written file of weights: its precision, its scores, and the points that the precision costs."""

    precision: Precision
    scores: dict[str, Any]
    lost_points: Mapping[str, float]


def release(net: nn.Module, info: NetworkInfo, path: Path, evaluator: Evaluator) -> Release:
    """Write the smallest file that loses nothing, as `evaluator` understands it, and score what was written.

    Where only a file above 45 MiB loses nothing, one of 8 bits is written all the same.
    """
    # Beside the weights that are there, which stay until it is known what takes their place.
    beside = path.with_name(path.name + ".released.partial")
    try:
        save_network(beside, net, info)
        whole = evaluator.score_file(beside, evaluator.compared)
        precision, found = write_smallest(net, info, beside, evaluator, whole)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    scores = evaluator.score_file(path, evaluator.everything) if found is None else found
    return Release(precision, scores, evaluator.lost_points(whole, scores))


def write_smallest(
    net: nn.Module, info: NetworkInfo, path: Path, evaluator: Evaluator, whole: dict[str, Any]
) -> tuple[Precision, dict[str, Any] | None]:
    """Write the smallest file that loses nothing; give its precision, and its scores if all are known."""
    for precision in evaluator.smaller:
        save_network(path, net, info, precision)
        if path.stat().st_size > LARGEST_BYTES:
            break
        found = evaluator.score_file(path, evaluator.deciding)
        if evaluator.is_as_good(whole, found):
            return precision, found if evaluator.deciding is evaluator.everything else None
    save_network(path, net, info)
    if path.stat().st_size <= LARGEST_BYTES:
        return "float32", whole if evaluator.compared is evaluator.everything else None
    save_network(path, net, info, "int8")
    return "int8", None
