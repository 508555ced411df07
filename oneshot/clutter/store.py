"""Parts on disk: the scenes of one job as a Zarr 3 group in one zip file, the same bytes at every writing.

A zip file, because a part is then one name that a rename puts in place whole, and carries a checksum of every
member. Zarr's own zip store stamps the time of writing into it and fails obscurely on damaged files, so the
group passes through memory; anyone can open it with ``zarr.open_group(zarr.storage.ZipStore(path))``.
"""

import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.core.buffer.cpu import Buffer
from zarr.storage import MemoryStore

from oneshot.clutter.scenes import Scenes
from oneshot.errors import PartError
from oneshot.files import replacing

CHUNK_SCENES = 2000  # a part is one chunk: reading it costs seven requests, and the smallest overhead
COMPRESSION = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the date of every member


def write_part(path: Path, scenes: Scenes, attributes: dict[str, Any]) -> None:
    """Write scenes and JSON attributes as one part, whole or not at all."""
    members: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(members), attributes=attributes)
    for field in fields(Scenes):
        array = getattr(scenes, field.name)
        chunks = (min(CHUNK_SCENES, len(array)), *array.shape[1:])
        group.create_array(
            field.name,
            data=array,
            chunks=chunks,
            compressors=COMPRESSION,
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
    if not path.exists():
        raise PartError(f"{path} is missing: run the stage render, which draws it again.")
    try:
        with zipfile.ZipFile(path) as archive:
            members: dict[str, Any] = {n: Buffer.from_bytes(archive.read(n)) for n in archive.namelist()}
        group = zarr.open_group(MemoryStore(members), mode="r")
        stored = [cast(zarr.Array, group[field.name]) for field in fields(Scenes)]
        for array in stored:
            if array.nchunks_initialized < array.nchunks:  # which Zarr would read as zeros
                raise ValueError(f"{array.name} lacks a chunk")
        arrays = [np.asarray(array[:n_scenes]) for array in stored]
        return Scenes(*arrays), dict(group.attrs)
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        RuntimeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise PartError(f"{path} is damaged ({error}): delete it and run the stage render again.") from error
