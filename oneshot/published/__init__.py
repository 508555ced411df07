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


@cache
def read_facts(name: str) -> dict[str, Any]:
    """Read one file of facts, such as ``omniglot`` or ``cluttered_omniglot``."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Split:
    """Published split: its characters, its drawers, and where its job seeds come from."""

    name: str
    characters: str
    drawers: tuple[int, int]
    split_seed: int
    n_jobs: int


def find_split(name: str) -> Split:
    """Look a split up: train, val-train, test-train, val-one-shot or test-one-shot."""
    splits = read_facts("cluttered_omniglot")["splits"]
    if name not in splits:
        raise ParameterError(f"there is no split {name!r}; there are {', '.join(splits)}.")
    facts = splits[name]
    first, end = facts["drawers"]
    return Split(name, facts["characters"], (first, end), facts["split_seed"], facts["n_jobs"])


def find_set(clutter_level: int, split: str) -> dict[str, Any] | None:
    """Look up the published sums of a set (``md5_of_last_image``, ``sha256``, ``jobs``); None without any."""
    for facts in read_facts("cluttered_omniglot")["sets"]:
        if (facts["clutter_level"], facts["split"]) == (clutter_level, split):
            return facts
    return None
