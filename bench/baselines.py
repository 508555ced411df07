"""The modified Hausdorff distance beside the plain NumPy oracle, in one run: ``python -m bench.baselines``.

Both measure the same pairs of drawings, the two in turns; then the time of Lake's 20 runs.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from oneshot.classify.all_runs import read_all_runs
from oneshot.classify.baselines import Hausdorff
from oneshot.classify.hausdorff_kernels import hausdorff_distances
from oneshot.classify.scoring import score_episodes
from tests.oracle.baselines_numpy import hausdorff_distances as plain_distances

N_PAIRS = 4 * 20  # that both measure, a reading
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all-runs", type=Path, default=Path("data/raw/all_runs.zip"))
    images, episodes = read_all_runs(parser.parse_args().all_runs)
    hausdorff_distances(images[:1], images[:1])  # compiles, or loads what was compiled
    plain, ours = [], []
    for run in range(REPEATS):
        queries, supports = images[episodes.queries[run, :4]], images[episodes.support[run]]
        started = time.perf_counter()
        expected = plain_distances(queries, supports)
        plain.append((time.perf_counter() - started) / N_PAIRS)
        started = time.perf_counter()
        found = hausdorff_distances(queries, supports)
        ours.append((time.perf_counter() - started) / N_PAIRS)
        if not np.allclose(found, expected, rtol=1e-12):
            raise SystemExit(f"error: run {run + 1}: the oracle measured other distances")
    ratios = np.array(plain) / np.array(ours)
    print(
        f"oracle {1e3 * np.median(plain):.2f} ms/pair, ours {1e3 * np.median(ours):.3f} ms/pair, "
        f"ratio {np.median(ratios):.0f} ({ratios.min():.0f} to {ratios.max():.0f}; {REPEATS} readings)"
    )
    started = time.perf_counter()
    error = 100 * (~score_episodes(Hausdorff(), images, episodes)).mean()
    print(f"20 runs: {time.perf_counter() - started:.2f} s, error {error} %")


if __name__ == "__main__":
    main()
