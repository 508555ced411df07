"""Facts from the papers and the published generator: JSON files written by hand, and their reader."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oneshot.errors import ParameterError

FOLDER = Path(__file__).resolve().parent
CLUTTER_LEVELS = (4, 8, 16, 32, 64, 128, 256)  # characters in a scene
# The splits that were published as sets, at every clutter level, in the order of the published checksums.
SET_SPLITS = ("val-train", "test-train", "val-one-shot", "test-one-shot")
# Test sets of this project, which nobody published: occluders are drawn over their targets.
COVERED_SPLITS = ("covered-train", "covered-one-shot")
RENDERED_SPLITS = (*SET_SPLITS, *COVERED_SPLITS)  # to disk; of train any job is rendered when it is needed


@cache
def read_facts(name: str) -> dict[str, Any]:
    """Read one file of facts, such as ``omniglot`` or ``cluttered_omniglot``."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Split:
    """Split of the scenes: its characters, its drawers, and where its job seeds come from.

    ``ours`` marks the splits of this project, which nobody published; in them half of a scene's characters
    are drawn over the target.
    """

    name: str
    characters: str
    drawers: tuple[int, int]
    split_seed: int
    n_jobs: int
    ours: bool


def find_split(name: str) -> Split:
    """Look a split up: train, or one of RENDERED_SPLITS."""
    facts = read_facts("cluttered_omniglot")
    splits = facts["splits"] | facts["ours"]["splits"]
    if name not in splits:
        raise ParameterError(f"there is no split {name!r}; there are {', '.join(splits)}.")
    found = splits[name]
    first, end = found["drawers"]
    ours = name in facts["ours"]["splits"]
    return Split(name, found["characters"], (first, end), found["split_seed"], found["n_jobs"], ours)


def find_set(clutter_level: int, split: str) -> dict[str, Any] | None:
    """Look up the sums of a set (``md5_of_last_image``, ``sha256``, ``jobs``): published, or else ours."""
    facts = read_facts("cluttered_omniglot")
    for found in [*facts["sets"], *facts["ours"]["sets"]]:
        if (found["clutter_level"], found["split"]) == (clutter_level, split):
            return dict(found)
    return None
