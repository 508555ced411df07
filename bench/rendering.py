"""Rendering on one core beside the plain Pillow oracle, in one run: ``python -m bench.rendering``."""

import argparse
import time
from pathlib import Path

import numpy as np

from oneshot.clutter.scenes import SceneRecipe, lay_out, render_job
from oneshot.library import fetch_drawings
from tests.oracle.scenes_pillow import render_job_plainly

LEVELS = (4, 32, 256)
REPEATS = 5
PLAIN_CHARACTERS = 4000  # characters that the oracle draws at each level, a few seconds' work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawings", type=Path)
    drawings = fetch_drawings(parser.parse_args().drawings)
    pens, plain_drawings = lay_out(drawings, "train"), drawings.of("train").unpack()
    print("level | oracle, us/character | ours, us/character | ratio (median of pairs; range)")
    for level in LEVELS:
        recipe = SceneRecipe(level, "train", (10, 20))
        n_scenes = PLAIN_CHARACTERS // level
        render_job(pens, recipe, 1, 1)
        plain, ours = [], []
        for seed in range(REPEATS):
            started = time.perf_counter()
            expected = render_job_plainly(plain_drawings, recipe, seed, n_scenes)
            plain.append((time.perf_counter() - started) / n_scenes / level)
            started = time.perf_counter()
            scenes = render_job(pens, recipe, seed, 4 * n_scenes)
            ours.append((time.perf_counter() - started) / 4 / n_scenes / level)
            if not np.array_equal(expected[0], scenes[:n_scenes].images()):
                raise SystemExit(f"error: level {level}, seed {seed}: the oracle drew other scenes")
        ratios = np.array(plain) / np.array(ours)
        print(
            f"{level:5d} | {1e6 * np.median(plain):20.1f} | {1e6 * np.median(ours):18.2f} | "
            f"{np.median(ratios):.0f} ({ratios.min():.0f} to {ratios.max():.0f})"
        )


if __name__ == "__main__":
    main()
