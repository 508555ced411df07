"""Forms of the metrics that the stages evaluate and recheck write, checked when they are read."""

from typing import Any

from oneshot.intervals import Figure
from oneshot.manifests import Described
from oneshot.params import Section


class EvaluatedNetwork(Described):
    """Network of the metrics of a task."""

    net: str
    recipe: str
    n_parameters: int
    seed: int
    n_seen: int
    figures: dict[str, Figure]


class Baseline(Section):
    """Figures of something that needs no training."""

    figures: dict[str, Figure]


class SegmentationMetrics(Section):
    """Metrics of the stage evaluate for segmentation."""

    scale: str
    networks: dict[str, EvaluatedNetwork]
    all_ink: Baseline


class ClassificationMetrics(Section):
    """Metrics of the stage evaluate for classification."""

    scale: str
    source: str
    protocols: dict[str, Any]
    not_computed: dict[str, str]
    networks: dict[str, EvaluatedNetwork]
    baselines: dict[str, Baseline]


class RecheckedNetwork(Section):
    """Recorded network evaluated again, and how far its figures agree with those recorded."""

    figures: dict[str, Figure]
    agreement: dict[str, dict[str, bool | int | float]]


class RecheckedMetrics(Section):
    """Metrics of the stage recheck for one task."""

    scale: str
    networks: dict[str, RecheckedNetwork]
