"""Source of the images for classification: named by a parameter, described by prepare_classes' manifest."""

import json
from pathlib import Path
from typing import Any

from oneshot.params import Params
from stages.places import DRAWINGS, MANIFESTS

CLASSES_MANIFEST = MANIFESTS / "classes.json"


def is_own(params: Params) -> bool:
    """Check if classification uses a folder of own images, not the drawings as prepared."""
    return Path(params.omniglot.source) != DRAWINGS.parent


def read_manifest() -> dict[str, Any]:
    """Read what prepare_classes wrote about images and protocols."""
    return json.loads(CLASSES_MANIFEST.read_text())


def find_source(params: Params) -> str:
    """Name the source as `Protocols.source` does: omniglot, synthetic or own images."""
    return "own images" if is_own(params) else params.scale.source
