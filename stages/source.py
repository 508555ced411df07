"""Drawings, own images and networks that stages read, each checked against its manifest."""

from pathlib import Path
from typing import Any

from oneshot.errors import DrawingsError
from oneshot.files import check_sha256
from oneshot.manifests import ClassesManifest, DrawingsManifest, read_about, read_sealed
from oneshot.params import Params
from stages.places import DRAWINGS, MANIFESTS, about_of, weights_of

DRAWINGS_MANIFEST = MANIFESTS / "drawings.json"
CLASSES_MANIFEST = MANIFESTS / "classes.json"


def is_own(params: Params) -> bool:
    """Check if classification uses a folder of own images, not the drawings as prepared."""
    return Path(params.omniglot.source) != DRAWINGS.parent


def read_drawings_manifest() -> DrawingsManifest:
    """Read what the stage prepare wrote about the drawings."""
    return read_sealed(DRAWINGS_MANIFEST, DrawingsManifest, "run the stage prepare again")


def read_classes_manifest() -> ClassesManifest:
    """Read what the stage prepare_classes wrote about images and protocols."""
    return read_sealed(CLASSES_MANIFEST, ClassesManifest, "run the stage prepare_classes again")


def check_drawings() -> Path:
    """Give the path of the prepared drawings, once they were compared with their manifest.

    Raises:
        DrawingsError: they are missing, damaged, or others.
    """
    sha256 = read_drawings_manifest().file_sha256
    check_sha256(DRAWINGS, sha256, DRAWINGS_MANIFEST, "run the stage prepare again", DrawingsError)
    return DRAWINGS


def check_classes(path: Path) -> Path:
    """Give the path of the images for classification, compared with their manifest. Raises ManifestError."""
    sha256 = read_classes_manifest().file_sha256
    check_sha256(path, sha256, CLASSES_MANIFEST, "run the stage prepare_classes again")
    return path


def find_source(params: Params) -> str:
    """Name the source as `Protocols.source` does: omniglot, synthetic or own images."""
    return "own images" if is_own(params) else params.scale.source


def check_trained(task: str, name: str, scale: str) -> dict[str, Any]:
    """Read what is known of a network trained here, after its weights were compared with it.

    Raises:
        ManifestError: what is known is missing, damaged, changed, or of another network or scale; or the
            weights are not those that it is of.
    """
    about = read_about(about_of(task, name), task, name, scale)
    if about["trained"]:
        advice = f"train the network again, by python -m stages.train {task} {name}"
        check_sha256(weights_of(task, name), about["weights_sha256"], about_of(task, name), advice)
    return about
