"""Forms of the small JSON files that say what other files hold, and their seal: a SHA-256 of their fields."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field

from oneshot.errors import ManifestError
from oneshot.files import read_json, write_json
from oneshot.params import Section

SEAL = "seal"  # SHA-256 of a file's other fields

Form = TypeVar("Form")


class Described(Section):
    """Base of the forms: the fields that readers need; `extra` ones are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Sealed(Section):
    """Base of the forms without further fields."""

    seal: str


class DrawingsManifest(Described):
    """Packed drawings; `sha256` is of their pixels, `file_sha256` of the file's bytes."""

    source: str
    sha256: str
    file_sha256: str


class ClassesManifest(DrawingsManifest):
    """Images of classification, the drawings or own ones, and the lists drawn from them."""

    protocols: dict[str, dict[str, Any]]


class PartEntry(Section):
    """Part of a set; `sha256` is of images, segmentation and targets, `file_sha256` of the file's bytes."""

    seed: int
    n_scenes: int
    sha256: dict[str, str]
    file_sha256: str


class SetEntry(Section):
    """Rendered set of one split at one clutter level."""

    n_scenes: int
    checked_against: str
    md5_of_last_image: str
    parts: Annotated[tuple[PartEntry, ...], Field(min_length=1)]


class ScenesManifest(Sealed):
    """Rendered sets of one clutter level, by split."""

    scale: str
    clutter_level: int
    drawings_sha256: str
    sets: dict[str, SetEntry]


class About(Described):
    """Network of params.yaml, trained at a scale or not. `weights_sha256`: of the file beside it."""

    task: str
    name: str
    scale: str
    trained: bool
    weights_sha256: str | None = None


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file with its seal, whole or not at all."""
    write_json(path, seal(values))


def read_sealed(path: Path, form: type[Form], advice: str) -> Form:
    """Read what `write_sealed` wrote.

    Raises:
        ManifestError: it is missing, damaged, does not fit the form, or was changed.
    """
    found, values = read_json(path, form, advice), read_json(path, dict, advice)
    if seal(values) != values:
        raise ManifestError(f"{path} was changed after it was written: {advice}.")
    return found


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the SHA-256 of all fields."""
    rest = {key: value for key, value in values.items() if key != SEAL}
    return rest | {SEAL: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def read_about(path: Path, task: str, name: str, scale: str) -> dict[str, Any]:
    """Read what the stage train wrote about a network.

    Raises:
        ManifestError: it is missing, damaged, was changed, or is of another network or scale.
    """
    advice = f"train the network again, by python -m stages.train {task} {name}"
    about = read_sealed(path, About, advice)
    if (about.task, about.name, about.scale) != (task, name, scale):
        raise ManifestError(
            f"{path} is of {about.task}/{about.name} at scale {about.scale}, not of {task}/{name} at scale "
            f"{scale}: {advice}."
        )
    return about.model_dump(exclude_unset=True)
