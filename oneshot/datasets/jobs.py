"""Jobs of a split, loaded one at a time in whatever process asks: rendered, or read from parts on disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

from oneshot.clutter.parts import Part, check_identity, list_parts, read_part
from oneshot.clutter.scenes import (
    JOB_SCENES,
    Pens,
    SceneRecipe,
    Scenes,
    job_seeds,
    lay_out,
    render_job,
    split_recipe,
)
from oneshot.errors import ParameterError, PartError
from oneshot.library import fetch_drawings
from oneshot.machine import explain_missing
from oneshot.omniglot.drawings import Drawings
from oneshot.published import Split, find_split

LoadJob = Callable[[int, int], Scenes]  # (job, number of its first scenes) -> these


@dataclass(frozen=True, eq=False)
class Jobs:
    """First ``n_scenes`` of a split at one clutter level, in jobs of ``job_scenes``; the last may have fewer.

    Nothing is open between two calls of `load`, so that processes may be forked, or sent a copy, at any time.
    """

    load_first: LoadJob
    job_scenes: int
    n_scenes: int

    def __len__(self) -> int:
        return -(-self.n_scenes // self.job_scenes)

    def size(self, job: int) -> int:
        """Count the scenes of a job."""
        return min(self.job_scenes, self.n_scenes - job * self.job_scenes)

    def load(self, job: int) -> Scenes:
        """Render a job, or read it. Raises PartError if its part is damaged or of another job."""
        return self.load_first(job, self.size(job))


def open_jobs(
    split: str, clutter_level: int, n_scenes: int | None, drawings: Drawings | None, root: Path | str | None
) -> Jobs:
    """Find the jobs of a split: parts under ``root``, or without it rendered from drawings.

    n_scenes: None for all there are. drawings: None for Omniglot.

    Raises:
        ParameterError: there is no such split, fewer scenes in it, or both drawings and root are given.
        PartError: the first part under root is missing, damaged, or of another split or other drawings.
    """
    found = find_split(split)
    recipe = split_recipe(found, clutter_level)
    if root is None:
        load_first = render_jobs(found, recipe, drawings or fetch_drawings())
        job_scenes, n_all = JOB_SCENES, found.n_jobs * JOB_SCENES
    elif drawings is None:
        load_first, job_scenes, n_all = read_jobs(found, clutter_level, Path(root))
    else:
        raise ParameterError(f"scenes come from drawings or from the parts in {root}: give one of the two.")
    n_scenes = n_all if n_scenes is None else n_scenes
    if not 0 < n_scenes <= n_all:
        place = "" if root is None else f" in {root}"
        raise ParameterError(
            f"{split} has {n_all:,} scenes at clutter level {clutter_level}{place}, not {n_scenes:,}."
        )
    return Jobs(load_first, job_scenes, n_scenes)


def render_jobs(split: Split, recipe: SceneRecipe, drawings: Drawings) -> LoadJob:
    pens = lay_out(drawings, split.characters)
    return partial(_render_first, pens, recipe, job_seeds(split.split_seed, split.n_jobs))


def _render_first(pens: Pens, recipe: SceneRecipe, seeds: Sequence[int], job: int, n_scenes: int) -> Scenes:
    return render_job(pens, recipe, seeds[job], n_scenes)


def read_jobs(split: Split, clutter_level: int, root: Path) -> tuple[LoadJob, int, int]:
    """Find the parts from number 0 up to the first gap; give their reader, and scenes of one and of all."""
    path = root / list_parts(clutter_level, split.name, "", 1)[0].name
    try:
        first, attributes = read_part(path)
    except ModuleNotFoundError as error:
        raise ParameterError(f"parts on disk cannot be read: {explain_missing(error)}") from None
    whose = str(attributes.get("drawings_sha256"))
    parts = list_parts(clutter_level, split.name, whose, job_scenes=len(first))
    parts = list(takewhile(lambda part: (root / part.name).is_file(), parts))
    return partial(_read_first, root, parts), len(first), len(first) * len(parts)


def _read_first(root: Path, parts: Sequence[Part], job: int, n_scenes: int) -> Scenes:
    """Read the first scenes of a part, which must be of the same drawings as the first part."""
    path = root / parts[job].name
    scenes, attributes = read_part(path, n_scenes)
    check_identity(path, attributes, parts[job].identity())
    if len(scenes) != n_scenes:
        raise PartError(f"{path} holds {len(scenes)} scenes, not {n_scenes}: run the stage render again.")
    return scenes
