"""Fetch the Omniglot archives and MNIST's test set from upstream, or from mirrors; synthetic alphabets need
none. Without MNIST the pipeline goes on.
"""

import os
import sys

from oneshot.errors import ArchiveError, DownloadError
from oneshot.files import write_text
from oneshot.omniglot.download import fetch_archives
from oneshot.omniglot.mnist import fetch_mnist
from oneshot.params import Params, load_params
from oneshot.published import read_facts
from stages.command import run
from stages.places import MNIST, NOT_FETCHED, RAW

SYNTHETIC_NOTE = RAW / "synthetic.txt"
SYNTHETIC = "At this scale the alphabets are synthetic: nothing is downloaded.\n"


def main() -> None:
    params = load_params()
    if params.scale.source == "synthetic":
        write_text(SYNTHETIC_NOTE, SYNTHETIC)
        write_text(NOT_FETCHED, SYNTHETIC)
        return
    mirror = os.environ.get("OMNIGLOT_MIRROR") or params.omniglot.mirror
    fetch_archives(RAW, read_facts("omniglot"), mirror, progress=sys.stderr.isatty())
    SYNTHETIC_NOTE.unlink(missing_ok=True)
    fetch_digits(params)


def fetch_digits(params: Params) -> None:
    """Fetch MNIST's test set, or note the reason why not: one table is no reason to stop the pipeline."""
    mirror = os.environ.get("MNIST_MIRROR") or params.omniglot.mnist_mirror
    try:
        fetch_mnist(MNIST, read_facts("mnist"), mirror, progress=sys.stderr.isatty())
    except (DownloadError, ArchiveError) as error:
        print(
            f"MNIST could not be fetched, and its table will say so: {error}. "
            "Once it can be: dvc repro -f download",
            file=sys.stderr,
        )
        write_text(NOT_FETCHED, f"MNIST could not be fetched: {error}\n")
    else:
        NOT_FETCHED.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, __doc__)
