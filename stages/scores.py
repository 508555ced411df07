"""What both evaluating stages leave behind, in one form."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from oneshot.files import replacing, save_arrays
from stages.places import METRICS, PREDICTIONS


def write_scores(name: str, metrics: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write metrics/<name>.json, for people and tables, and predictions/<name>.npz, for the pictures."""
    with replacing(METRICS / f"{name}.json") as file:
        file.write((json.dumps(metrics, indent=1) + "\n").encode())
    save_arrays(PREDICTIONS / f"{name}.npz", **arrays)
