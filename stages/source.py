"""What classification is about, as the parameters say it: to be asked without loading PyTorch."""

from pathlib import Path

from oneshot.params import Params
from stages.places import DRAWINGS


def is_own(params: Params) -> bool:
    """Whether it is a folder of own images, not the drawings as prepared."""
    return Path(params.omniglot.source) != DRAWINGS.parent


def find_source(params: Params) -> str:
    """omniglot, synthetic or own images, as `Protocols.source` says it."""
    return "own images" if is_own(params) else params.scale.source
