"""Pack all drawings into one array, and prove that they are the published ones."""

from typing import Any

import numpy as np

from oneshot.files import find_sha256
from oneshot.manifests import write_sealed
from oneshot.omniglot.drawings import Drawings, read_archives, save_drawings
from oneshot.params import load_params
from oneshot.published import read_facts
from stages.command import run
from stages.places import DRAWINGS, RAW
from stages.source import DRAWINGS_MANIFEST


def main() -> None:
    params = load_params()
    facts = read_facts("omniglot")
    sizes = params.scale.synthetic
    if params.scale.source == "synthetic" and sizes is not None:
        from oneshot.omniglot.synthetic import draw_alphabets

        rng = np.random.default_rng(params.seed)
        drawings = draw_alphabets(rng, sizes.n_alphabets.model_dump(), sizes.n_characters)
    else:
        archives = RAW / "images_background.zip", RAW / "images_evaluation.zip"
        drawings = read_archives(*archives, facts["drawings"]["n_characters"])
        drawings.check_published(facts, str(RAW))
    manifest = describe_drawings(drawings)
    save_drawings(DRAWINGS, drawings)
    manifest["file_sha256"] = find_sha256(DRAWINGS, "run the stage prepare again")
    write_sealed(DRAWINGS_MANIFEST, manifest)


def describe_drawings(drawings: Drawings) -> dict[str, Any]:
    """Count the drawings for the manifest, with their SHA-256, whole and by character set."""
    character_sets = {
        name: {
            "n_alphabets": len(set(drawings.of(name).alphabets.tolist())),
            "n_characters": len(drawings.of(name)),
            "sha256": drawings.of(name).sha256(),
        }
        for name in dict.fromkeys(drawings.character_sets.tolist())
    }
    n_characters, n_drawers = drawings.bits.shape[:2]
    return {
        "source": drawings.source,
        "n_characters": n_characters,
        "n_drawers": n_drawers,
        "n_drawings": n_characters * n_drawers,
        "sha256": drawings.sha256(),
        "character_sets": character_sets,
    }


if __name__ == "__main__":
    run(main, __doc__)
