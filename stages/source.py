"""What classification is about: told by a parameter, and in full by the manifest of prepare_classes."""

import json
from pathlib import Path
from typing import Any

from oneshot.params import Params
from stages.places import DRAWINGS, MANIFESTS

CLASSES_MANIFEST = MANIFESTS / "classes.json"


def is_own(params: Params) -> bool:
    """Whether classification is about a folder of own images, not the drawings as prepared."""
    return Path(params.omniglot.source) != DRAWINGS.parent


def read_manifest() -> dict[str, Any]:
    """What prepare_classes wrote of images and protocols."""
    return json.loads(CLASSES_MANIFEST.read_text())


def find_source(params: Params) -> str:
    """omniglot, synthetic or own images, as `Protocols.source` says it."""
    return "own images" if is_own(params) else params.scale.source
