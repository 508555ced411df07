"""What a recorded run is trained and evaluated on, without the pipeline if need be."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from oneshot.clutter.scenes import JOB_SCENES, Scenes, keep_visible, split_recipe
from oneshot.errors import DrawingsError
from oneshot.library import fetch_drawings, load_scenes
from oneshot.omniglot.drawings import Drawings, load_drawings
from oneshot.omniglot.synthetic import draw_alphabets
from oneshot.params import Scale
from oneshot.published import COVERED_SPLITS, find_set, find_split, read_facts
from oneshot.records.run import TEST_SPLITS, RecordError
from oneshot.records.segmentation_evaluator import LevelSets
from oneshot.segment.batches import STATISTICS_SCENES, pixel_statistics
from stages.places import DRAWINGS


def find_drawings(path: Path | None, scale: Scale, seed: int) -> tuple[Drawings, Path | None]:
    """Load them from `path`, else what the pipeline prepared for this scale; else draw or fetch them.

    Also the file that they are from, if it is one of the first two.

    Raises:
        DrawingsError: there are none, and none can be fetched.
    """
    if path is not None:
        return load_drawings(path), path
    if DRAWINGS.exists() and (prepared := load_drawings(DRAWINGS)).source == scale.source:
        return prepared, DRAWINGS
    if scale.synthetic is not None:
        sizes = scale.synthetic
        return draw_alphabets(
            np.random.default_rng(seed), sizes.n_alphabets.model_dump(), sizes.n_characters
        ), None
    try:
        return fetch_drawings(), None
    except ImportError as error:
        raise DrawingsError(
            f"there are no drawings at {DRAWINGS}, and without the package {error.name} none can be fetched: "
            "name a file of packed drawings by --drawings."
        ) from None


def refuse_other_drawings(sha256: str) -> None:
    """Raise RecordError if these are not Omniglot's drawings."""
    if sha256 != read_facts("omniglot")["drawings"]["sha256"]:
        raise RecordError(
            "these are not Omniglot's drawings; nothing computed on others is kept in recorded/: say where "
            "to put it by --out."
        )


def render_levels(
    drawings: Drawings, clutter_levels: Sequence[int], n_scenes: int
) -> tuple[dict[int, LevelSets], dict[str, str]]:
    """Render the test sets of some levels; also give `render_test_sets`' verdicts by level and split."""
    rendered: dict[int, LevelSets] = {}
    verdicts: dict[str, str] = {}
    for level in clutter_levels:
        rendered[level], of_level = render_test_sets(drawings, level, n_scenes)
        verdicts |= {f"{level}/{split}": verdict for split, verdict in of_level.items()}
    return rendered, verdicts


def render_test_sets(
    drawings: Drawings, clutter_level: int, n_scenes: int
) -> tuple[LevelSets, dict[str, str]]:
    """Render every test set of a level, as many jobs at a time as there are cores, and compare.

    Of covered targets 2,000 scenes at most, with the masks that `keep_visible` gives. The verdicts, by split:
    "yes" or "no", after every job of 2,000 scenes was compared with its SHA-256 sums, published or ours; or
    "synthetic", of which no sums are known.

    Raises:
        ParameterError: the test sets have fewer scenes.
    """
    n_threads = os.cpu_count() or 1
    splits = (*TEST_SPLITS, *COVERED_SPLITS)
    verdicts = dict.fromkeys(splits, "synthetic")
    unit = JOB_SCENES if drawings.source == "omniglot" else STATISTICS_SCENES  # sums are of whole jobs
    n_whole = -(-n_scenes // unit) * unit
    sizes = dict.fromkeys(TEST_SPLITS, n_whole) | dict.fromkeys(COVERED_SPLITS, min(n_whole, JOB_SCENES))
    rendered = {
        split: load_scenes(split, clutter_level, size, drawings, n_threads) for split, size in sizes.items()
    }
    if drawings.source == "omniglot":
        for split, scenes in rendered.items():
            facts = find_set(clutter_level, split) or {"jobs": []}
            jobs = [scenes[start : start + JOB_SCENES] for start in range(0, len(scenes), JOB_SCENES)]
            with ThreadPoolExecutor(n_threads) as threads:
                sums = list(threads.map(Scenes.sha256, jobs))
            known = [job["sha256"] for job in facts["jobs"][: len(jobs)]]
            verdicts[split] = "yes" if sums == known else "no"
    first = {
        split: keep_visible(scenes[:n_scenes], split_recipe(find_split(split), clutter_level))
        for split, scenes in rendered.items()
    }
    return LevelSets(first, pixel_statistics(rendered["test-train"])), verdicts
