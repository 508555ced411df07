"""The published training set as a recipe: any job of any clutter level, rendered when it is needed."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from oneshot.clutter.scenes import (
    JOB_SCENES,
    SceneRecipe,
    Scenes,
    Targets,
    concatenate,
    cover,
    job_seeds,
    lay_out,
    mask_visible,
    render_job,
    render_targets,
    split_recipe,
)
from oneshot.omniglot.drawings import load_drawings
from oneshot.published import find_split
from oneshot.segment.batches import PixelStatistics, pixel_statistics


class TrainingSet:
    """Two million scenes a clutter level: 1,000 jobs of 2,000 scenes, characters of train, drawers 0 to 9."""

    def __init__(self, drawings: Path) -> None:
        self.split = find_split("train")
        self.pens = lay_out(load_drawings(drawings), self.split.characters)
        self.seeds = job_seeds(self.split.split_seed, self.split.n_jobs)

    def recipe(self, clutter_level: int) -> SceneRecipe:
        return split_recipe(self.split, clutter_level)

    def render_job(self, clutter_level: int, job: int, covered_share: float = 0.0) -> Scenes:
        """Render job 0..999; so large a share of it, at its end, is of covered scenes, from the next seed.

        In these, half of the characters are drawn over the target, and masks are of what shows of it, if any.
        The job's own seed would draw one target in twenty-five once more.
        """
        recipe, seed = self.recipe(clutter_level), self.seeds[job]
        n_covered = int(covered_share * JOB_SCENES)
        scenes = render_job(self.pens, recipe, seed, JOB_SCENES - n_covered)
        if n_covered == 0:
            return scenes
        covered = cover(recipe)
        others = render_job(self.pens, covered, seed + 1, n_covered)
        return concatenate([scenes, mask_visible(others, covered)])

    def statistics(self, clutter_levels: Iterable[int]) -> dict[int, PixelStatistics]:
        """Compute them of each level's first 1,000 scenes, as published."""
        return {level: pixel_statistics(self.render_job(level, 0)) for level in sorted(set(clutter_levels))}

    def render_targets(self, clutter_level: int, characters: UInt16[np.ndarray, "n k"], seed: int) -> Targets:
        """Render further target images, for the matching loss: from a stream of their own."""
        return render_targets(self.pens, self.recipe(clutter_level), characters, seed)
