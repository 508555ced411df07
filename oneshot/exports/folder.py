"""Exports of scenes: a folder that is whole or absent, in any of the formats."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oneshot.clutter.scenes import Scenes
from oneshot.errors import ManifestError, ParameterError
from oneshot.exports.arrays import write_arrays
from oneshot.exports.coco import write_coco
from oneshot.exports.parquet import write_parquet
from oneshot.exports.pictures import write_pictures
from oneshot.exports.source import SceneSource
from oneshot.files import partial_suffix, read_json, remove_left_over, write_json
from oneshot.library import choose_n_scenes, fetch_drawings
from oneshot.omniglot.drawings import Drawings
from oneshot.published import find_split

EXPORT = "export.json"  # what a folder holds
FORMATS: dict[str, Callable[[Path, SceneSource, Iterator[Scenes]], None]] = {
    "npy": write_arrays,
    "coco": write_coco,
    "parquet": write_parquet,
    "png": write_pictures,
}


def export_scenes(
    folder: Path | str,
    format_name: str,
    split: str,
    clutter_level: int,
    n_scenes: int | None = None,
    drawings: Drawings | None = None,
    *,
    progress: bool = False,
) -> None:
    """Write the first scenes of a split as `load_scenes` gives them, in one of FORMATS, into a new folder.

    The same export in the same folder is written again; anything else there is left alone. Every whole job
    is compared with its checksums. progress: show a bar.

    Raises:
        ParameterError: there is no such format, split or number of scenes, or the folder holds other things.
        MissingPackageError: a package that the format needs is not installed.
        ChecksumError: scenes are not what was published.
    """
    if format_name not in FORMATS:
        raise ParameterError(f"there is no format {format_name!r}; there are {', '.join(FORMATS)}.")
    found = find_split(split)
    source = SceneSource(found, clutter_level, choose_n_scenes(found, n_scenes), drawings or fetch_drawings())
    bar = tqdm(total=source.n_scenes, unit="scene", disable=not progress)
    with bar, replacing_folder(Path(folder), {"format": format_name, **source.identity()}) as beside:
        FORMATS[format_name](beside, source, advancing(source.jobs(), bar))


def advancing(jobs: Iterator[Scenes], bar: "tqdm[Any]") -> Iterator[Scenes]:
    """Move a bar on whenever a job is written."""
    for scenes in jobs:
        yield scenes
        bar.update(len(scenes))


@contextmanager
def replacing_folder(folder: Path, identity: dict[str, Any]) -> Iterator[Path]:
    """Make a folder beside `folder` that takes its place at the end; after an error nothing has changed.

    identity: what it will hold, written into it as EXPORT.

    Raises:
        ParameterError: in its place is something else than an empty folder or the same export alone.
    """
    folder = Path(os.path.abspath(folder))  # without its ".."
    check_place(folder, identity)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(folder.parent)
    beside = folder.with_name(folder.name + partial_suffix())
    earlier = folder.with_name(f"{folder.name}.earlier{partial_suffix()}")
    try:
        beside.mkdir()
        yield beside
        write_json(beside / EXPORT, identity)
        check_place(folder, identity)  # again: it took a while
        check_names(folder, beside)
        if folder.exists():
            folder.rename(earlier)
        beside.rename(folder)
    finally:
        if earlier.exists() and not folder.exists():
            earlier.rename(folder)
        for path in (beside, earlier):
            shutil.rmtree(path, ignore_errors=True)


def check_place(folder: Path, identity: dict[str, Any]) -> None:
    """Raise ParameterError if an export cannot take the place of what is there."""
    advice = "name a new folder"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ParameterError(f"{folder} is a file or a link, no folder: {advice}.")
    if folder == Path.cwd() or not folder.name:
        raise ParameterError(f"{folder} is the folder that you are in, or the top of all: {advice}.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        same = read_json(folder / EXPORT, dict, advice) == identity
    except ManifestError:
        same = False
    if not same:
        raise ParameterError(f"{folder} is not empty and does not hold this export: {advice}.")


def check_names(folder: Path, new: Path) -> None:
    """Raise ParameterError if a folder holds files or folders that the new one in its place will not hold."""
    names, new_names = ({path.relative_to(top) for path in top.rglob("*")} for top in (folder, new))
    if others := sorted(names - new_names):
        raise ParameterError(
            f"{folder / others[0]} is not part of the export that would replace {folder}: move it elsewhere, "
            "or name a new folder."
        )
