"""Parts: validation and test sets on disk, job by job, each rendered or kept, always checked by its checksum.

A part is one job's scenes as a Zarr 3 group in one zip file, the same bytes at every writing. A zip file,
because a rename puts it in place whole and every member carries a checksum. Zarr's own zip store stamps the
time of writing into it and fails obscurely on damaged files, so the group passes through memory. Anyone can
open a part with ``zarr.open_group(zarr.storage.ZipStore(path), mode="r")``.
"""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from oneshot.clutter.cluster import Backend, call_in_parallel
from oneshot.clutter.scenes import (
    JOB_SCENES,
    Pens,
    SceneRecipe,
    Scenes,
    concatenate,
    job_seeds,
    render_job,
    split_recipe,
)
from oneshot.errors import ChecksumError, PartError, shorten
from oneshot.files import DAMAGE, EARLIEST, read_whole, refuse_appended, replacing
from oneshot.published import CLUTTER_LEVELS, RENDERED_SPLITS, Split, find_set, find_split, read_facts

if TYPE_CHECKING:
    import zarr

    from oneshot.manifests import PartEntry

CHUNK_SCENES = 2000  # a part is one chunk: reading it costs seven requests, and the smallest overhead
# Whose checksums a part is compared with: the published ones, this project's, or those it was written with.
PUBLISHED_SUMS, OUR_SUMS, OWN_SUMS = "published checksums", "checksums of this project", "own checksums"
RENDER_AGAIN = "run the stage render again"
COMPRESSION: dict[str, Any] = {"cname": "zstd", "clevel": 3, "shuffle": "shuffle"}  # by Blosc


@dataclass(frozen=True)
class Part:
    """Job of a split: everything that fixes its bits, and the sums in the facts where there are any.

    ``drawings_sha256`` is of all drawings the characters come from; ``known`` maps images, segmentation and
    targets to their SHA-256 as published, or in a split of ours as this project found them.
    """

    clutter_level: int
    split: Split
    job: int
    seed: int
    n_scenes: int
    drawings_sha256: str
    known: dict[str, str] | None

    @property
    def recipe(self) -> SceneRecipe:
        """Recipe of the part's scenes."""
        return split_recipe(self.split, self.clutter_level)

    @property
    def name(self) -> str:
        """Path of the part's file within the folder of scenes."""
        return f"{self.clutter_level}/{self.split.name}/part-{self.job}.zarr.zip"

    @property
    def checked_against(self) -> str:
        """Say whose checksums its bits are compared with."""
        if self.known is None:
            return OWN_SUMS
        return OUR_SUMS if self.split.ours else PUBLISHED_SUMS

    def identity(self) -> dict[str, Any]:
        """List what a stored part records about itself."""
        return {
            "recipe": describe_recipe(self.recipe),
            "seed": self.seed,
            "n_scenes": self.n_scenes,
            "drawings_sha256": self.drawings_sha256,
        }


def describe_recipe(recipe: SceneRecipe) -> dict[str, Any]:
    """Give the numbers of a recipe, as JSON can hold them."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(recipe).items()}


def list_parts(
    clutter_level: int, split_name: str, drawings_sha256: str, n_jobs: int | None = None,
    job_scenes: int = JOB_SCENES,
) -> list[Part]:  # fmt: skip
    """List the first ``n_jobs`` jobs of a split (None: all there are)."""
    split, facts = find_split(split_name), find_set(clutter_level, split_name)
    real = drawings_sha256 == read_facts("omniglot")["drawings"]["sha256"] and job_scenes == JOB_SCENES
    parts = []
    for job, seed in enumerate(job_seeds(split.split_seed, split.n_jobs)[:n_jobs]):
        sums = facts["jobs"][job]["sha256"] if facts and real else None
        parts.append(Part(clutter_level, split, job, seed, job_scenes, drawings_sha256, sums))
    return parts


@dataclass(frozen=True)
class PartRecord:
    """Record of a part that lies on disk, whole and checked."""

    part: Part
    sha256: dict[str, str]
    file_sha256: str
    md5_of_last_image: str
    kept: bool  # it was there already


def complete_part(folder: Path, part: Part, pens: dict[str, Pens]) -> PartRecord:
    """Keep the part's file if it is whole and right; else render, write, read back and check it.

    Raises:
        ChecksumError: what was rendered is not what was published.
    """
    path = folder / part.name
    try:
        return check_part(path, part, kept=True)
    except (PartError, ChecksumError):
        remove_part(path)
    scenes = render_job(pens[part.split.characters], part.recipe, part.seed, part.n_scenes)
    # Where sums are known, what is read back is compared with them: once is enough, and hashing is slow.
    sums = part.known or scenes.sha256()
    write_part(path, scenes, {**part.identity(), "sha256": sums})
    del scenes
    try:
        return check_part(path, part, kept=False)
    except (PartError, ChecksumError):
        remove_part(path)
        kind = "published checksum" if part.checked_against == PUBLISHED_SUMS else "checksum"
        raise ChecksumError(
            f"job {part.job} of {part.split.name} at clutter level {part.clutter_level} does not have its "
            f"{kind} when it is rendered and read back, though the drawings are right: please report it with "
            "your versions of Python, numba, NumPy and Zarr."
        ) from None


def check_part(path: Path, part: Part, kept: bool) -> PartRecord:
    """Read a part and compare its bits with its checksums, those in the facts where there are any.

    Raises:
        PartError: it is missing, damaged, or another part.
        ChecksumError: its bits are not those that its checksums were made of.
    """
    content = read_whole(path, RENDER_AGAIN, PartError)
    scenes, attributes = parse_part(path, content)
    check_identity(path, attributes, part.identity())
    sums = scenes.sha256()
    if sums != (part.known or attributes.get("sha256")):
        raise ChecksumError(f"{path} does not have its checksum: {RENDER_AGAIN}.")
    last = hashlib.md5(scenes[-1:].images().data).hexdigest()
    return PartRecord(part, sums, hashlib.sha256(content).hexdigest(), last, kept)


def check_identity(path: Path, attributes: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise PartError if what a part says of itself is not what is expected of it."""
    for name, value in expected.items():
        if attributes.get(name) != value:
            raise PartError(f"{path} holds other scenes than expected (another {name}): {RENDER_AGAIN}.")


def remove_part(path: Path) -> None:
    """Delete whatever is in a part's place."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def complete_parts(
    folder: Path,
    parts: Iterable[Part],
    pens: dict[str, Pens],
    n_workers: int,
    backend: Backend = "threads",
    address: str | None = None,
) -> Iterator[PartRecord]:
    """Complete parts in parallel, and give their records in the same order; -1: one worker for each core.

    Threads suffice on one machine: kernels, compression and checksums all run outside Python's lock. backend,
    address: of a cluster, see `oneshot.clutter.cluster`.
    """
    place = folder if backend == "threads" else folder.resolve()  # workers start elsewhere
    calls = ((place, part, pens) for part in parts)
    return call_in_parallel(complete_part, calls, n_workers, backend, address, pens)


def summarise_set(records: list[PartRecord]) -> dict[str, Any]:
    """Make the manifest's entry of a set. Raises ChecksumError if its last image is not as published."""
    records = sorted(records, key=lambda record: record.part.job)
    first, last = records[0].part, records[-1]
    facts = find_set(first.clutter_level, first.split.name)
    known = all(record.part.known for record in records)
    if facts and known and len(records) == len(facts["jobs"]) and (
        last.md5_of_last_image != facts["md5_of_last_image"]
    ):  # fmt: skip
        raise ChecksumError(
            f"the last image of {first.split.name} at clutter level {first.clutter_level} does not have the "
            f"MD5 of the {first.checked_against}."
        )
    return {
        "n_scenes": sum(record.part.n_scenes for record in records),
        "checked_against": first.checked_against,
        "md5_of_last_image": last.md5_of_last_image,
        "parts": [
            {
                "seed": record.part.seed,
                "n_scenes": record.part.n_scenes,
                "sha256": record.sha256,
                "file_sha256": record.file_sha256,
            }
            for record in records
        ],
    }


def read_set(
    folder: Path,
    clutter_level: int,
    split: str,
    n_scenes: int | None = None,
    entries: "Sequence[PartEntry] | None" = None,
) -> Scenes:
    """Read the first scenes of a rendered set (None: all).

    entries: of the set's manifest, one for each part, with which the parts are compared; None: they are only
    checked to be of this split and clutter level.

    Raises:
        PartError: a part is missing, damaged, or another, or there are fewer scenes.
    """
    place = folder / str(clutter_level) / split
    recipe = describe_recipe(split_recipe(find_split(split), clutter_level))
    n_parts = len(list(place.glob("part-*.zarr.zip"))) if entries is None else len(entries)
    parts: list[Scenes] = []
    n_read = 0
    for job in range(n_parts):
        if n_scenes is None or n_read < n_scenes:
            path, expected = place / f"part-{job}.zarr.zip", dict[str, Any](recipe=recipe)
            content = read_whole(path, RENDER_AGAIN, PartError)
            scenes, attributes = parse_part(path, content, n_scenes and n_scenes - n_read)
            if entries is not None:
                entry = entries[job]
                expected |= {"seed": entry.seed, "n_scenes": entry.n_scenes, "sha256": entry.sha256}
            check_identity(path, attributes, expected)
            if entries is not None and hashlib.sha256(content).hexdigest() != entry.file_sha256:
                raise PartError(f"{path} is not the file whose SHA-256 its manifest names: {RENDER_AGAIN}.")
            parts.append(scenes)
            n_read += len(scenes)
    if not parts or n_read < (n_scenes or 0):
        raise PartError(
            f"{folder} holds {n_read} scenes of {split} at clutter level {clutter_level}: "
            "run the stage render first, or ask for fewer."
        )
    return concatenate(parts)


def check_sets(
    folder: Path, n_workers: int, backend: Backend = "threads", address: str | None = None
) -> Iterator[tuple[int, str]]:
    """Check all rendered sets by `check_set`, in parallel, and name them in order: clutter level and split.

    n_workers, backend, address: as of `complete_parts`.
    """
    named = [(level, split) for level in CLUTTER_LEVELS for split in RENDERED_SPLITS]
    place = folder if backend == "threads" else folder.resolve()
    done = call_in_parallel(check_set, ((place, *one) for one in named), n_workers, backend, address)
    for one, _ in zip(named, done, strict=True):
        yield one


def check_set(folder: Path, clutter_level: int, split: str) -> None:
    """Compare a rendered set, read back whole, with its MD5 and SHA-256 sums: published, or ours.

    Raises:
        PartError: a part is missing or damaged.
        ChecksumError: the bits are others.
    """
    facts = find_set(clutter_level, split)
    if facts is None:
        raise PartError(f"no checksums of {split} at clutter level {clutter_level} are known.")
    digests = {name: hashlib.sha256() for name in facts["sha256"]}
    for job in range(len(facts["jobs"])):
        scenes, _ = read_part(folder / str(clutter_level) / split / f"part-{job}.zarr.zip")
        images = scenes.images()
        digests["images"].update(images.data)
        digests["segmentation"].update(scenes.segmentation().data)
        digests["targets"].update(scenes.targets().data)
    sums = {name: digest.hexdigest() for name, digest in digests.items()}
    last = hashlib.md5(images[-1].data).hexdigest()
    if (sums, last) != (facts["sha256"], facts["md5_of_last_image"]):
        kind = "set of this project" if find_split(split).ours else "published set"
        raise ChecksumError(f"{split} at clutter level {clutter_level} in {folder} is not the {kind}.")


def write_part(path: Path, scenes: Scenes, attributes: dict[str, Any]) -> None:
    """Write scenes and JSON attributes as one part, whole or not at all."""
    import zarr  # here, as in the other functions: it loads slowly, and an extra brings it
    from zarr.codecs import BloscCodec
    from zarr.storage import MemoryStore

    members: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(members), attributes=attributes)
    for field in fields(Scenes):
        array = getattr(scenes, field.name)
        chunks = (min(CHUNK_SCENES, len(array)), *array.shape[1:])
        group.create_array(
            field.name,
            data=array,
            chunks=chunks,
            compressors=BloscCodec(**COMPRESSION),
            config={"write_empty_chunks": True},
        )  # an array of zeros, such as the masks of empty scenes, is told from a missing one
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), members[name].to_bytes())


def read_part(path: Path, n_scenes: int | None = None) -> tuple[Scenes, dict[str, Any]]:
    """Read a part, or its first ``n_scenes``, and its attributes.

    Raises:
        PartError: the part is missing or damaged.
    """
    return parse_part(path, read_whole(path, RENDER_AGAIN, PartError), n_scenes)


def parse_part(path: Path, content: bytes, n_scenes: int | None = None) -> tuple[Scenes, dict[str, Any]]:
    """Parse the bytes of a part; path: for the message. Raises PartError if it is damaged."""
    import zarr
    from zarr.core.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    try:
        refuse_appended(io.BytesIO(content))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members: dict[str, Any] = {n: Buffer.from_bytes(archive.read(n)) for n in archive.namelist()}
        group = zarr.open_group(MemoryStore(members), mode="r")
        stored = [cast("zarr.Array", group[field.name]) for field in fields(Scenes)]
        for array in stored:
            if array.nchunks_initialized < array.nchunks:  # which Zarr would read as zeros
                raise ValueError(f"{array.name} lacks a chunk")
        arrays = [np.asarray(array[:n_scenes]) for array in stored]
        return Scenes(*arrays), dict(group.attrs)
    except DAMAGE as error:
        raise PartError(f"{path} is damaged ({shorten(str(error))}): {RENDER_AGAIN}.") from error
