"""Builds the package with the recorded runs of a checkout in it; everything else stands in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Of larger weights, of ablations, further seeds and cells of Koch's table 1 the record alone is shipped,
# which says their SHA-256.
SHIPPED_BYTES = 2 * 2**20
LEFT_OUT = ("colour_matcher_*", "pairs_*", "*-short*", "*-seed-*")  # by the names of the runs


class BuildWithRuns(build_py):
    """Copies records and small weights into the built package, not into the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for record in sorted(Path("recorded").glob("*/*/run.json")):
            target = Path(self.build_lib) / "oneshot/released" / Path(*record.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record, target)
            weights = record.with_name("weights.safetensors")
            left_out = any(record.parent.match(pattern) for pattern in LEFT_OUT)
            if weights.exists() and weights.stat().st_size <= SHIPPED_BYTES and not left_out:
                shutil.copyfile(weights, target.with_name(weights.name))


setup(cmdclass={"build_py": BuildWithRuns})
