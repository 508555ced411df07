"""Forms of the metrics that the stages evaluate and recheck write, checked when they are read."""

from typing import Any

from oneshot.intervals import Figure
from oneshot.manifests import Described, Sealed
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


class OfScale(Sealed):
    """Base of metrics, which say at what scale they were computed."""

    scale: str


class SegmentationMetrics(OfScale):
    """Metrics of the stage evaluate for segmentation."""

    networks: dict[str, EvaluatedNetwork]
    all_ink: Baseline


class ClassificationMetrics(OfScale):
    """Metrics of the stage evaluate for classification."""

    source: str
    protocols: dict[str, Any]
    not_computed: dict[str, str]
    networks: dict[str, EvaluatedNetwork]
    baselines: dict[str, Baseline]


class RecheckedNetwork(Section):
    """Recorded network evaluated again, and how far its figures agree with those recorded."""

    figures: dict[str, Figure]
    agreement: dict[str, dict[str, bool | int | float]]


class RecheckedMetrics(OfScale):
    """Metrics of the stage recheck for one task."""

    networks: dict[str, RecheckedNetwork]
