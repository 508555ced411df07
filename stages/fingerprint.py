"""What a resumable run is known by: all that its result depends on; anything else starts afresh."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.places import MANIFESTS

CODE = Path(__file__).resolve().parent.parent / "oneshot"


def fingerprint(resolved: Mapping[str, Any], manifest: Path = MANIFESTS / "drawings.json") -> str:
    """Hexadecimal, 16 digits, of the parameters in force, as JSON; of the images, PyTorch and our code.

    manifest: the one that tells the SHA-256 of the images.
    """
    whole = {
        **resolved,
        "drawings": json.loads(manifest.read_text())["sha256"],
        "torch": version("torch"),
        "code": code_sha256(),
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def code_sha256() -> str:
    digest = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
