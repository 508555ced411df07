"""For use without the pipeline: Omniglot's drawings and the published scenes in one call each."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from oneshot.clutter.scenes import (
    JOB_SCENES,
    SceneRecipe,
    Scenes,
    concatenate,
    job_seeds,
    lay_out,
    render_job,
)
from oneshot.errors import DrawingsError, ParameterError
from oneshot.omniglot.download import fetch_archives
from oneshot.omniglot.drawings import Drawings, load_drawings, read_archives, save_drawings
from oneshot.published import find_split, read_facts

if TYPE_CHECKING:
    from torch import nn

    from oneshot.classify.scorers import ProtoScorer, SiameseScorer
    from oneshot.classify.weights import ScorerInfo
    from oneshot.segment.weights import WeightsInfo

PROJECT = Path(__file__).resolve().parent.parent
PIPELINE_DRAWINGS = PROJECT / "data" / "drawings" / "drawings.npz"
RELEASED_WEIGHTS = PROJECT / "weights"


def cache_folder() -> Path:
    """ONESHOT_CACHE, or the user's cache folder."""
    import pooch  # here, since machines without network, which bring their drawings, may lack it

    return Path(os.environ.get("ONESHOT_CACHE") or pooch.os_cache("oneshot-omniglot"))


def fetch_drawings(path: Path | None = None) -> Drawings:
    """Omniglot's drawings: from ``path``, else the pipeline's, else the user's cache, filled on first use.

    Raises:
        DrawingsError: ``path`` is given, and missing or damaged.
        DownloadError, ArchiveError: Omniglot cannot be fetched; OMNIGLOT_MIRROR names another source.
        ChecksumError: what was fetched is not Omniglot as published.
    """
    if path is not None:
        return load_drawings(path)
    drawings = load_omniglot(PIPELINE_DRAWINGS)  # at scale smoke these are synthetic
    if drawings is not None:
        return drawings
    cached = cache_folder() / "drawings.npz"
    drawings = load_omniglot(cached)
    if drawings is not None:
        return drawings
    facts = read_facts("omniglot")
    archives = fetch_archives(cached.parent, facts, os.environ.get("OMNIGLOT_MIRROR") or None, progress=True)
    drawings = read_archives(
        archives["images_background.zip"],
        archives["images_evaluation.zip"],
        facts["drawings"]["n_characters"],
    )
    drawings.check_published(facts, str(cached.parent))
    save_drawings(cached, drawings)
    return drawings


def load_omniglot(path: Path) -> Drawings | None:
    """The drawings in a file, or None if they are not there, damaged, or not Omniglot's."""
    try:
        drawings = load_drawings(path)
    except DrawingsError:
        return None
    return drawings if drawings.source == "omniglot" else None


def load_scenes(
    split: str,
    clutter_level: int,
    n_scenes: int | None = None,
    drawings: Drawings | None = None,
    n_threads: int = 1,
) -> Scenes:
    """The first scenes of a published split, rendered on the spot (None: all of a validation or test set).

    split: train, val-train, test-train, val-one-shot or test-one-shot. n_threads: jobs of 2,000 scenes that
    are rendered at a time; the scenes are the same with any number.

    Raises:
        ParameterError: there is no such split, or fewer scenes in it.
    """
    found = find_split(split)
    if n_scenes is None:
        n_scenes = found.n_jobs * JOB_SCENES if split != "train" else JOB_SCENES
    if not 0 < n_scenes <= found.n_jobs * JOB_SCENES:
        raise ParameterError(
            f"{split} has {found.n_jobs * JOB_SCENES:,} scenes at every clutter level, not {n_scenes:,}."
        )
    pens = lay_out(drawings or fetch_drawings(), found.characters)
    recipe = SceneRecipe(clutter_level, found.characters, found.drawers)
    seeds = job_seeds(found.split_seed, found.n_jobs)[: -(-n_scenes // JOB_SCENES)]
    # A job's scenes come from its stream one after another: no more of the last one are drawn than needed.
    sizes = [min(JOB_SCENES, n_scenes - first) for first in range(0, n_scenes, JOB_SCENES)]
    with ThreadPoolExecutor(n_threads) as threads:  # the kernels release Python's lock
        parts = threads.map(lambda seed, size: render_job(pens, recipe, seed, size), seeds, sizes)
        return concatenate(list(parts))


def load_network(
    recipe: str = "fast", clutter_level: int | str = 32, net: str = "siamese_unet"
) -> "tuple[nn.Module, WeightsInfo]":
    """A network that this project releases, on the CPU, ready to evaluate, and what is known of it.

    recipe: published or fast; clutter_level: or "joint", the one network for all levels; net: siamese_unet or
    masknet. See results/README.md for what each was trained on.

    Raises:
        WeightsError: no such network is released, or the file is damaged.
    """
    from oneshot.segment.weights import load_weights
    from oneshot.training.tensors import WeightsError

    path = RELEASED_WEIGHTS / net / recipe / f"{clutter_level}.safetensors"
    if not path.is_file():
        there = ", ".join("/".join(map(str, found)) for found in list_networks()) or "none yet"
        raise WeightsError(
            f"no network {net}/{recipe}/{clutter_level} (net, recipe, clutter level or joint) is released: "
            f"weights/ has {there}."
        )
    return load_weights(path)


def list_networks() -> list[tuple[str, str, int | str]]:
    """Net, recipe and clutter level (or joint) of every network that `load_network` can load."""
    found = [
        (path.parts[-3], path.parts[-2], int(path.stem) if path.stem.isdecimal() else path.stem)
        for path in RELEASED_WEIGHTS.glob("*/*/*.safetensors")
        if path.stem.isdecimal() or path.stem == "joint"
    ]
    return sorted(found, key=lambda network: (*network[:2], isinstance(network[2], str), network[2]))


def load_classifier(name: str = "own") -> "tuple[SiameseScorer | ProtoScorer, ScorerInfo]":
    """A network for one-shot classification that this project releases, as a scorer, and what is known of it.

    name: of its record in results/classification, such as own or protonet.

    Raises:
        WeightsError: no such network is released, or the file is damaged.
    """
    from oneshot.classify.classifiers import make_scorer  # here, since torch takes seconds to load
    from oneshot.classify.weights import load_scorer
    from oneshot.training.tensors import WeightsError

    path = RELEASED_WEIGHTS / "classification" / f"{name}.safetensors"
    if not path.is_file():
        there = ", ".join(list_classifiers()) or "none yet"
        raise WeightsError(f"no network {name} is released for classification: weights/ has {there}.")
    net, info = load_scorer(path)
    return make_scorer(net), info


def list_classifiers() -> list[str]:
    """The names that `load_classifier` can load."""
    return sorted(path.stem for path in (RELEASED_WEIGHTS / "classification").glob("*.safetensors"))
