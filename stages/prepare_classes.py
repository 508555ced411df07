"""Choose the images of classification, Omniglot's or own ones, and check the lists drawn from them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.classify.protocols import Protocols, find_protocols, own_protocols
from oneshot.files import find_sha256, write_text
from oneshot.manifests import write_sealed
from oneshot.omniglot.drawings import load_drawings
from oneshot.omniglot.image_folder import read_image_folder
from oneshot.omniglot.own_images import save_own_images, split_own_images
from oneshot.params import Params, load_params
from stages.command import run
from stages.places import CLASSES, DRAWINGS
from stages.source import CLASSES_MANIFEST, check_drawings, is_own

NOTE = CLASSES.with_name("drawings.txt")


def main() -> None:
    params = load_params()
    protocols, about = prepare_own(params) if is_own(params) else prepare_drawings(params)
    file_sha256 = find_sha256(CLASSES if is_own(params) else DRAWINGS, "run the stage again")
    manifest = {
        "source": protocols.source,
        **about,
        "file_sha256": file_sha256,
        "protocols": protocols.describe(),
    }
    write_sealed(CLASSES_MANIFEST, manifest)


def prepare_drawings(params: Params) -> tuple[Protocols, dict[str, Any]]:
    """Use the drawings as prepared; returns what the manifest records of them."""
    drawings = load_drawings(check_drawings())
    write_text(NOTE, f"Classification takes its images from {DRAWINGS}.\n")
    sets = Counter(drawings.character_sets.tolist())
    return find_protocols(drawings, params.other_images), {"sha256": drawings.sha256(), "n_classes": sets}


def prepare_own(params: Params) -> tuple[Protocols, dict[str, Any]]:
    """Split a folder of own images; returns what the manifest records of them."""
    sizes = params.other_images
    own = split_own_images(
        read_image_folder(Path(params.omniglot.source)), np.random.default_rng(params.seed),
        validation_share=sizes.validation_share, test_share=sizes.test_share,
        least_images=sizes.least_images,
    )  # fmt: skip
    save_own_images(CLASSES, own)
    about = {
        "sha256": own.sha256(),
        "n_images": int((~own.copies).sum()),
        "n_copies": int(own.copies.sum()),
        "n_classes": Counter(own.splits.tolist()),
    }
    return own_protocols(own, sizes), about


if __name__ == "__main__":
    run(main, __doc__)
