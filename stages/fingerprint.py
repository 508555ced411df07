"""What a resumable run is known by: all that its result depends on; anything else starts afresh."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oneshot.params import CLASSIFICATION, SEGMENTATION
from stages.source import read_classes_manifest, read_drawings_manifest

CODE = Path(__file__).resolve().parent.parent / "oneshot"
SHARED = ("errors.py", "files.py", "params", "intervals.py", "published", "omniglot", "training")
# What a training of each task uses; an edit of anything else does not strand a paused run.
USED = {SEGMENTATION: (*SHARED, "clutter", "segment"), CLASSIFICATION: (*SHARED, "classify")}
READ_IMAGES = {SEGMENTATION: read_drawings_manifest, CLASSIFICATION: read_classes_manifest}


def fingerprint(task: str, resolved: Mapping[str, Any]) -> str:
    """Give 16 hexadecimal digits of the parameters in force, the images, PyTorch and the code used."""
    whole = {
        **resolved,
        "images": READ_IMAGES[task]().model_dump(mode="json"),  # of classification its trials, too
        "torch": version("torch"),
        "code": code_sha256(task),
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def code_sha256(task: str, code: Path = CODE) -> str:
    """Give 16 hexadecimal digits of the sources (and published facts) that a training of the task uses."""
    digest = hashlib.sha256()
    for path in list_sources(task, code):
        digest.update(path.relative_to(code).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def list_sources(task: str, code: Path = CODE) -> list[Path]:
    """List the files that a training of the task uses."""
    found: list[Path] = []
    for name in USED[task]:
        place = code / name
        found += [place] if place.is_file() else [*place.rglob("*.py"), *place.rglob("*.json")]
    return sorted(found)
