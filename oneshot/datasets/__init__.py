"""Data sets for PyTorch, in the conventions of torchvision and easy-few-shot-learning: docs/data_sets.md."""

from oneshot.machine import explain_missing

try:
    from oneshot.datasets.drawings import Episode, OmniglotDrawings, OmniglotEpisodes, TaskSampler
    from oneshot.datasets.scenes import ClutteredOmniglot, ClutteredOmniglotStream, SceneSample
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(explain_missing(error), name=error.name) from None

__all__ = [
    "ClutteredOmniglot",
    "ClutteredOmniglotStream",
    "Episode",
    "OmniglotDrawings",
    "OmniglotEpisodes",
    "SceneSample",
    "TaskSampler",
]
