"""Fetch the Omniglot archives from upstream, or from a mirror; synthetic alphabets need none."""

import json
import os
import sys

from oneshot.download import fetch_archives
from oneshot.files import replacing
from oneshot.params import load_params
from stages.command import run
from stages.places import FACTS, RAW

SYNTHETIC_NOTE = RAW / "synthetic.txt"


def main() -> None:
    params = load_params()
    if params.scale.source == "synthetic":
        with replacing(SYNTHETIC_NOTE) as file:
            file.write(b"At this scale the alphabets are synthetic: nothing is downloaded.\n")
        return
    mirror = os.environ.get("OMNIGLOT_MIRROR") or params.omniglot.mirror
    fetch_archives(RAW, json.loads(FACTS.read_text()), mirror, progress=sys.stderr.isatty())
    SYNTHETIC_NOTE.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
