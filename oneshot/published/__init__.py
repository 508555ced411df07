"""Facts from the papers and the published generator: JSON files written by hand, and their reader."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oneshot.errors import ManifestError, ParameterError
from oneshot.files import read_whole

FOLDER = Path(__file__).resolve().parent
# Of each file of facts, so that no slip of the hand changes a published figure: to change one means to change
# its sum, too.
FACTS_SHA256 = {
    "cluttered_omniglot": "3924f882251330850b3a1c592019739a3927896916bf4d07256540bcd68bed62",
    "episodes": "a4bdbcbd79052e290adaa6dae147ee0b142fd10fef63fcdf9d0d4030a6bb00bb",
    "koch": "22caeb46ec913b9012f7666db6f7ab0157bbe44968a7e7c4ed3c7c5d37b94f2c",
    "mnist": "e31a24f8319c510b03de89ca88d8c0742b69e26f8b4792fb08c22a32be674fba",
    "omniglot": "d67e352d0154a99e755f404ddbbcd80809ca0a8eb71187350c5f434bfec8e7cc",
    "segmentation": "a84d38b4fa837be1874b2a735b7db182d80cbe743480f3cfa822553490c381cd",
    "thresholds": "65133ee020349b12d83e188a6d8a7843bc31c0436b3463d210c8164fda8f0254",
}
CLUTTER_LEVELS = (4, 8, 16, 32, 64, 128, 256)  # characters in a scene
# The splits that were published as sets, at every clutter level, in the order of the published checksums.
SET_SPLITS = ("val-train", "test-train", "val-one-shot", "test-one-shot")
# Test sets of this project, which nobody published: occluders are drawn over their targets.
COVERED_SPLITS = ("covered-train", "covered-one-shot")
RENDERED_SPLITS = (*SET_SPLITS, *COVERED_SPLITS)  # to disk; of train any job is rendered when it is needed
# Lists of trials and pairs of classification that are not like the others, and what results call them.
VALIDATION_LIST, SELECTION_LIST = "within-alphabet-validation", "within-alphabet-validation-10000"
VALIDATION = "validation"  # 20-way trials of the validation alphabets, as few as published
SELECTION = "selection"  # the same, many trials; either list may select a network
VERIFICATION = "verification"  # same or different character, of the published test pairs
BACKGROUND_VERIFICATION = "background-verification"  # of images_background alone: /validation and /test
BEST_THRESHOLD = "verification/best-threshold"  # the test pairs, at the threshold best on validation pairs
RISING_WAYS = {"rising-ways": "evaluation", "rising-ways-training": "training"}  # and whose characters


@cache
def read_facts(name: str) -> dict[str, Any]:
    """Read one file of facts, such as ``omniglot`` or ``cluttered_omniglot``.

    Raises:
        ManifestError: it is missing, damaged, or not what it was when its SHA-256 was written down.
    """
    path = FOLDER / f"{name}.json"
    advice = "bring it back, in a checkout by git checkout oneshot/published"
    content = read_whole(path, advice)
    if hashlib.sha256(content).hexdigest() != FACTS_SHA256[name]:
        raise ManifestError(f"{path} is damaged, or a published fact was changed: {advice}.")
    found: dict[str, Any] = json.loads(content)
    return found


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
