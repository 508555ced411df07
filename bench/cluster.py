"""Writing parts by two workers of Dask on this machine beside one process: ``python -m bench.cluster``."""

import argparse
import tempfile
import time
from pathlib import Path

import dask
import numpy as np
from dask.distributed import LocalCluster

from oneshot.clutter.cluster import KEEPING_MEMORY, Backend
from oneshot.clutter.parts import Part, complete_parts, list_parts
from oneshot.clutter.scenes import Pens, lay_out
from oneshot.library import fetch_drawings

LEVEL = 64
PARTS = 8  # a reading
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawings", type=Path)
    drawings = fetch_drawings(parser.parse_args().drawings)
    pens = {"train": lay_out(drawings, "train")}
    parts = list_parts(LEVEL, "train", drawings.sha256())
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set(KEEPING_MEMORY), LocalCluster(**local) as cluster:
        write(parts[:2], pens, "dask", cluster.scheduler_address)  # both workers load what is compiled
        alone, together = [], []
        for first in range(0, REPEATS * PARTS, PARTS):
            some = parts[first : first + PARTS]
            seconds, files = write(some, pens)
            alone.append(seconds)
            seconds, others = write(some, pens, "dask", cluster.scheduler_address)
            together.append(seconds)
            if files != others:
                raise SystemExit("error: the cluster wrote other bytes")
    ratios = np.array(alone) / np.array(together)
    print(f"{PARTS} parts of clutter level {LEVEL}, the same bytes")
    print(f"one process: {np.median(alone):.2f} s; two workers of Dask: {np.median(together):.2f} s")
    print(f"ratio: {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")


def write(
    parts: list[Part], pens: dict[str, Pens], backend: Backend = "threads", address: str | None = None
) -> tuple[float, list[bytes]]:
    """Write parts into a new folder; give the seconds that it took, and the files."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for _ in complete_parts(
            Path(folder), parts, pens, 1 if backend == "threads" else -1, backend, address
        ):
            pass
        seconds = time.perf_counter() - started
        return seconds, [(Path(folder) / part.name).read_bytes() for part in parts]


if __name__ == "__main__":
    main()
