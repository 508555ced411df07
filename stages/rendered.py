"""Rendered sets as stages read them: each part checked against the manifest of the stage render."""

from collections.abc import Mapping

from oneshot.clutter.parts import read_set
from oneshot.clutter.scenes import Scenes
from oneshot.errors import ManifestError
from oneshot.manifests import ScenesManifest, SetEntry, read_sealed
from oneshot.published import RENDERED_SPLITS
from stages.places import MANIFESTS, SCENES
from stages.source import read_drawings_manifest


def read_sets_manifest(clutter_level: int, scale: str) -> dict[str, SetEntry]:
    """Read what the stage render wrote of the sets of a level, by split.

    Raises:
        ManifestError: it is missing, damaged, was changed, or is of another level, scale or other drawings.
    """
    path, advice = MANIFESTS / f"scenes-{clutter_level}.json", "run the stage render again"
    manifest = read_sealed(path, ScenesManifest, advice)
    if manifest.clutter_level != clutter_level or manifest.sets.keys() != {*RENDERED_SPLITS}:
        raise ManifestError(f"{path} is of other sets than those of clutter level {clutter_level}: {advice}.")
    if manifest.scale != scale:
        raise ManifestError(f"{path} is of scale {manifest.scale}, not of {scale}: {advice}.")
    if manifest.drawings_sha256 != read_drawings_manifest().sha256:
        raise ManifestError(f"{path} is of other drawings than those that are prepared: {advice}.")
    return manifest.sets


def read_rendered(rendered: Mapping[str, SetEntry], clutter_level: int, split: str, n_scenes: int) -> Scenes:
    """Read the first scenes of a set that the stage render wrote, checked against its manifest's entry."""
    return read_set(SCENES, clutter_level, split, n_scenes, rendered[split].parts)
