"""What a training stage leaves behind beside the weights, in one form for all networks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from oneshot.files import replacing
from stages.places import net_folder

CURVE_FIELDS = ("step", "n_scenes", "loss", "lr")


def write_trained(kind: str, net: str, about: Mapping[str, Any], curves: Mapping[str, Sequence[Any]]) -> None:
    """Write about.json, and curve.csv: of every training its points, deterministic fields only."""
    folder = net_folder(kind, net)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "about.json") as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())
    lines = [",".join(("training", *CURVE_FIELDS))]
    for training, points in curves.items():
        for point in points:
            lines.append(",".join([training, *(repr(getattr(point, field)) for field in CURVE_FIELDS)]))
    with replacing(folder / "curve.csv") as file:
        file.write(("\n".join(lines) + "\n").encode())


def describe_training(recipe: Any, outcome: Any) -> dict[str, Any]:
    """One training: what was asked for, and what it saw."""
    return {
        "matching_weight": recipe.matching_weight,
        "lr": recipe.lr,
        "batch_size": recipe.batch_size,
        "phases": [
            {"clutter_levels": list(phase.clutter_levels), "n_scenes": phase.n_scenes}
            for phase in outcome.phases
        ],
        "n_scenes_seen": outcome.progress.n_scenes,
        "n_steps": outcome.progress.step,
    }
