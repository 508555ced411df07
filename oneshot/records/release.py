"""From a trained network to the file that is released, and that file's own scores: for both tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from oneshot.files import partial_suffix
from oneshot.records.results import Scores
from oneshot.training.tensors import NetworkInfo, Precision, save_network

LARGEST_BYTES = 45 * 2**20  # of a released file, which lies in Git; where nothing smaller is as good, 8 bits


@runtime_checkable
class Evaluator(Protocol):
    """Evaluation of the networks of one task, in plain float32, as any machine can do it again.

    `smaller`: precisions to try before float32, the smallest first. What is scored is one of two selections:
    `deciding`, by which a smaller file is as good, and of which lost points are; `everything`.
    """

    smaller: tuple[Precision, ...]
    deciding: Any
    everything: Any

    def score_file(self, path: Path, selection: Any) -> dict[str, Any]:
        """Score a file of weights on some of the test sets or protocols."""

    def is_as_good(self, whole: Scores, smaller: Scores) -> bool:
        """Tell whether a file's scores are as good as those of float32."""

    def lost_points(self, whole: Scores, smaller: Scores) -> dict[str, float]:
        """Compute by how many percentage points a file is worse than float32."""

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
    # Beside the weights that are there, which stay until it is known what takes their place; named so that
    # oneshot.files.remove_left_over deletes it if this process is killed.
    beside = path.with_name(f"{path.name}.released{partial_suffix()}")
    try:
        save_network(beside, net, info)
        whole = evaluator.score_file(beside, evaluator.deciding)
        precision, deciding = write_smallest(net, info, beside, evaluator, whole)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    scores = deciding
    if evaluator.deciding is not evaluator.everything:
        scores = evaluator.score_file(path, evaluator.everything)
    return Release(precision, scores, evaluator.lost_points(whole, deciding))


def write_smallest(
    net: nn.Module, info: NetworkInfo, path: Path, evaluator: Evaluator, whole: dict[str, Any]
) -> tuple[Precision, dict[str, Any]]:
    """Write the smallest file that loses nothing; give its precision, and its scores on what decides."""
    for precision in evaluator.smaller:
        save_network(path, net, info, precision)
        if path.stat().st_size > LARGEST_BYTES:
            break
        found = evaluator.score_file(path, evaluator.deciding)
        if evaluator.is_as_good(whole, found):
            return precision, found
    save_network(path, net, info)
    if path.stat().st_size <= LARGEST_BYTES:
        return "float32", whole
    save_network(path, net, info, "int8")
    return "int8", evaluator.score_file(path, evaluator.deciding)
