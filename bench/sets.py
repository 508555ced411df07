"""Benchmark of all 28 sets, checked and written, their size, memory and reading: ``python -m bench.sets``."""

import argparse
import resource
import shutil
import statistics
import time
from pathlib import Path

from oneshot.clutter.parts import complete_parts, list_parts, read_part
from oneshot.clutter.scenes import SceneRecipe, lay_out, render_job
from oneshot.library import fetch_drawings
from oneshot.published import CLUTTER_LEVELS, SET_SPLITS

RAW_BYTES = 96 * 96 * 3 + 96 * 96 + 32 * 32 * 3  # of a scene's image, segmentation and target
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--out", type=Path, default=Path("bench/out"))
    arguments = parser.parse_args()
    drawings = fetch_drawings(arguments.drawings)
    drawings_sha256 = drawings.sha256()
    pens = {name: lay_out(drawings, name) for name in ("train", "eval", "test")}
    for level in (4, 256):  # both widths of labels, compiled before the clock starts
        render_job(pens["train"], SceneRecipe(level, "train", (0, 10)), 1, 1).images()
    shutil.rmtree(arguments.out, ignore_errors=True)

    parts = [
        part
        for level in CLUTTER_LEVELS
        for split in SET_SPLITS
        for part in list_parts(level, split, drawings_sha256)
    ]
    started = time.perf_counter()
    records = list(complete_parts(arguments.out, parts, pens, arguments.workers))
    seconds = time.perf_counter() - started
    if any(record.kept or not record.part.known for record in records):
        raise SystemExit("error: not every part was rendered and compared with a published checksum")
    size = sum((arguments.out / part.name).stat().st_size for part in parts)
    raw = RAW_BYTES * sum(part.n_scenes for part in parts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"28 sets rendered, written, read back and checked: {seconds:.1f} s")
    print(f"on disk: {size / 1e6:.0f} MB, 1/{raw / size:.1f} of the raw arrays' {raw / 1e9:.2f} GB")
    print(f"peak memory: {peak / 1e9:.2f} GB")
    measure_reading(arguments.out, parts, pens)
    shutil.rmtree(arguments.out)


def measure_reading(folder: Path, parts: list, pens: dict) -> None:
    """Compare rendering a part with reading it back and decoding it, on one core."""
    print("level | rendering, us/scene | reading and decoding, us/scene | ratio")
    totals = [0.0, 0.0]
    for level in CLUTTER_LEVELS:
        part = next(p for p in parts if p.clutter_level == level and p.split.name == "test-one-shot")
        rendering, reading = [], []
        for _ in range(REPEATS):
            started = time.perf_counter()
            render_job(pens[part.split.characters], part.recipe, part.seed, part.n_scenes)
            rendering.append((time.perf_counter() - started) / part.n_scenes)
            started = time.perf_counter()
            scenes, _ = read_part(folder / part.name)
            scenes.images(), scenes.segmentation(), scenes.targets()
            reading.append((time.perf_counter() - started) / part.n_scenes)
        drawn, read = statistics.median(rendering), statistics.median(reading)
        totals = [totals[0] + drawn, totals[1] + read]
        print(f"{level:5d} | {1e6 * drawn:19.1f} | {1e6 * read:30.1f} | {drawn / read:.1f}")
    print(f"  all | {'':19s} | {'':30s} | {totals[0] / totals[1]:.1f}")


if __name__ == "__main__":
    main()
