"""The facts under data/published, written by hand from the papers and the published generator."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oneshot.errors import ParameterError

FOLDER = Path(__file__).resolve().parent
CLUTTER_LEVELS = (4, 8, 16, 32, 64, 128, 256)  # characters in a scene


@cache
def read_facts(name: str) -> dict[str, Any]:
    """One file of facts, such as ``omniglot`` or ``cluttered_omniglot``."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Split:
    """Which characters and drawers a published split uses, and where its job seeds come from."""

    name: str
    characters: str
    drawers: tuple[int, int]
    split_seed: int
    n_jobs: int


def find_split(name: str) -> Split:
    """One of train, val-train, test-train, val-one-shot, test-one-shot."""
    splits = read_facts("cluttered_omniglot")["splits"]
    if name not in splits:
        raise ParameterError(f"there is no split {name!r}; there are {', '.join(splits)}.")
    facts = splits[name]
    first, end = facts["drawers"]
    return Split(name, facts["characters"], (first, end), facts["split_seed"], facts["n_jobs"])


def find_set(clutter_level: int, split: str) -> dict[str, Any] | None:
    """The published sums of a set (``md5_of_last_image``, ``sha256``, ``jobs``); None if there are none."""
    for facts in read_facts("cluttered_omniglot")["sets"]:
        if (facts["clutter_level"], facts["split"]) == (clutter_level, split):
            return facts
    return None
