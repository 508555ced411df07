"""What a resumable run is known by: resolved parameters, data and code; anything else starts afresh."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from oneshot.params import Params
from stages.places import MANIFESTS

CODE = Path(__file__).resolve().parent.parent / "oneshot"


def fingerprint(params: Params, net: str, speed: str) -> str:
    """Hexadecimal, 16 digits, of all that a training run's result depends on."""
    training = params.scale.siamese_unet
    resolved = {
        "net": net,
        "phases": [phase.model_dump() for phase in training.nets[net]],
        "training": training.model_dump(exclude={"nets"}),
        "recipe": params.siamese_unet.recipes[training.recipe].model_dump(),
        "lr": params.lr,
        "seed": params.seed,
        "drawings": json.loads((MANIFESTS / "drawings.json").read_text())["sha256"],
        "torch": version("torch"),
        "speed": speed,
    }
    digest = hashlib.sha256(json.dumps(resolved, sort_keys=True).encode())
    for path in sorted(CODE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
