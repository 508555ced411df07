"""Scenes of a split to export, rendered and checked job by job, so that few of them are in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from oneshot.clutter.parts import Part, list_parts
from oneshot.clutter.scenes import JOB_SCENES, SceneRecipe, Scenes, lay_out, render_job, split_recipe
from oneshot.errors import ChecksumError
from oneshot.omniglot.drawings import Drawings
from oneshot.published import Split, find_set


@dataclass(frozen=True)
class SceneSource:
    """First `n_scenes` scenes of a split at a clutter level; `drawings` are all that there are."""

    split: Split
    clutter_level: int
    n_scenes: int
    drawings: Drawings

    @property
    def recipe(self) -> SceneRecipe:
        """Recipe of the scenes."""
        return split_recipe(self.split, self.clutter_level)

    @property
    def title(self) -> str:
        """Name for a reader."""
        what = "Cluttered Omniglot" if self.drawings.source == "omniglot" else "Scenes of synthetic alphabets"
        return f"{what}, {self.split.name}, {self.clutter_level} characters"

    @property
    def character_names(self) -> list[str]:
        """Names of the split's characters, ALPHABET/CHARACTER, in the order that scenes number them."""
        chosen = self.drawings.of(self.split.characters)
        return [f"{one}/{other}" for one, other in zip(chosen.alphabets, chosen.characters, strict=True)]

    @cached_property
    def parts(self) -> list[Part]:
        """Jobs that the scenes come from, with their checksums where these are known."""
        n_jobs = -(-self.n_scenes // JOB_SCENES)
        return list_parts(self.clutter_level, self.split.name, self.drawings.sha256(), n_jobs)

    def identity(self) -> dict[str, Any]:
        """List what fixes every bit of the scenes."""
        return {
            "split": self.split.name,
            "clutter_level": self.clutter_level,
            "n_scenes": self.n_scenes,
            "drawings_sha256": self.parts[0].drawings_sha256,
        }

    def find_sums(self) -> dict[str, Any] | None:
        """Look up the checksums of the set as a whole; None if it is not whole, or they are not known."""
        whole = self.n_scenes == self.split.n_jobs * JOB_SCENES
        return find_set(self.clutter_level, self.split.name) if whole and self.parts[0].known else None

    def jobs(self) -> Iterator[Scenes]:
        """Render the jobs one after another; of the last one no more scenes than needed.

        Raises:
            ChecksumError: a whole job does not have its checksums, published or ours.
        """
        pens = lay_out(self.drawings, self.split.characters)
        for part in self.parts:
            n_scenes = min(part.n_scenes, self.n_scenes - part.job * JOB_SCENES)
            scenes = render_job(pens, part.recipe, part.seed, n_scenes)
            if part.known and n_scenes == part.n_scenes and scenes.sha256() != part.known:
                raise ChecksumError(
                    f"job {part.job} of {self.split.name} at clutter level {self.clutter_level} does not "
                    f"have the {part.checked_against}, though the drawings are right: please report it with "
                    "your versions of Python, numba and NumPy."
                )
            yield scenes
