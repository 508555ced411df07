"""Omniglot's drawings, scenes, released networks and their answers in a call each, without the pipeline."""

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneshot.errors import DrawingsError, ImageFolderError, ParameterError
from oneshot.published import Split, find_split, read_facts

if TYPE_CHECKING:
    from torch import nn

    from oneshot.classify.own_drawings import Ranking
    from oneshot.classify.scoring import NetworkScorer
    from oneshot.clutter.scenes import Scenes
    from oneshot.omniglot.drawings import Drawings
    from oneshot.records.run import Task
    from oneshot.segment.own_scenes import Found
    from oneshot.training.tensors import NetworkInfo

PACKAGE = Path(__file__).resolve().parent
PIPELINE_DRAWINGS = PACKAGE.parent / "data" / "drawings" / "drawings.npz"
CHECKED_OUT = PACKAGE.parent / "recorded"
SHIPPED = PACKAGE / "released"  # in an installed package, whose building copies recorded runs there
DEFAULT_NETWORK = "siamese_unet-4-fast"
# Long runs that are shipped.
DEFAULT_MATCHER = "colour_matcher-long"
DEFAULT_CLASSIFIER = "contrastive-long"


def fetch_drawings(path: Path | None = None) -> "Drawings":
    """Load Omniglot's drawings from ``path``, the pipeline, or else a cache, filled on first use.

    The cache: ONESHOT_CACHE, or the user's cache folder.

    Raises:
        DrawingsError: ``path`` is given, and missing or damaged.
        DownloadError, ArchiveError: Omniglot cannot be fetched; OMNIGLOT_MIRROR names another source.
        ChecksumError: what was fetched is not Omniglot as published.
    """
    from oneshot.omniglot.download import fetch_archives
    from oneshot.omniglot.drawings import load_drawings, read_archives, save_drawings

    if path is not None:
        return load_drawings(path)
    if (drawings := load_omniglot(PIPELINE_DRAWINGS)) is not None:  # at scale smoke these are synthetic
        return drawings
    folder = cache_folder()
    cached = folder / "drawings.npz"
    if (drawings := load_omniglot(cached)) is not None:
        return drawings
    facts = read_facts("omniglot")
    archives = fetch_archives(folder, facts, os.environ.get("OMNIGLOT_MIRROR") or None, progress=True)
    drawings = read_archives(
        archives["images_background.zip"],
        archives["images_evaluation.zip"],
        facts["drawings"]["n_characters"],
    )
    drawings.check_published(facts, str(folder))
    save_drawings(cached, drawings)
    return drawings


def cache_folder() -> Path:
    """Give the folder in which Omniglot is kept outside a checkout: ONESHOT_CACHE, or of the user's cache."""
    import pooch  # here, since machines without network, which bring their drawings, may lack it

    return Path(os.environ.get("ONESHOT_CACHE") or pooch.os_cache("oneshot-omniglot"))


def load_omniglot(path: Path) -> "Drawings | None":
    """Load the drawings in a file; None if they are not there, damaged, or not Omniglot's."""
    from oneshot.omniglot.drawings import load_drawings

    try:
        drawings = load_drawings(path)
    except DrawingsError:
        return None
    return drawings if drawings.source == "omniglot" else None


def load_scenes(
    split: str,
    clutter_level: int,
    n_scenes: int | None = None,
    drawings: "Drawings | None" = None,
    n_threads: int = 1,
) -> "Scenes":
    """Render the first scenes of a split.

    clutter_level: characters in a scene, the target included; published are 4, 8, 16, 32, 64, 128 and 256.
    n_scenes: None for all of a validation or test set, for 2,000 of train. split: train, val-train,
    test-train, val-one-shot, test-one-shot; or, of this project, covered-train, covered-one-shot, whose masks
    show all of the target's ink, covered or not. n_threads: jobs of 2,000 scenes that are rendered at a time;
    the scenes are the same with any number.

    Raises:
        ParameterError: there is no such split, or fewer scenes in it; clutter_level is below 1 or above
            65,535, or n_threads below 1.
    """
    from oneshot.clutter.scenes import JOB_SCENES, concatenate, job_seeds, lay_out, render_job, split_recipe

    if n_threads < 1:
        raise ParameterError(f"n_threads is {n_threads}; it must be at least 1.")
    found = find_split(split)
    n_scenes = choose_n_scenes(found, n_scenes)
    pens = lay_out(drawings or fetch_drawings(), found.characters)
    recipe = split_recipe(found, clutter_level)
    seeds = job_seeds(found.split_seed, found.n_jobs)[: -(-n_scenes // JOB_SCENES)]
    # A job's scenes come from its stream one after another: no more of the last one are drawn than needed.
    sizes = [min(JOB_SCENES, n_scenes - first) for first in range(0, n_scenes, JOB_SCENES)]
    with ThreadPoolExecutor(n_threads) as threads:  # the kernels release Python's lock
        parts = threads.map(lambda seed, size: render_job(pens, recipe, seed, size), seeds, sizes)
        return concatenate(list(parts))


def choose_n_scenes(split: Split, n_scenes: int | None) -> int:
    """Give the number of scenes that are asked for: None means a whole set, or one job of train.

    Raises:
        ParameterError: there are fewer.
    """
    from oneshot.clutter.scenes import JOB_SCENES

    n_there = split.n_jobs * JOB_SCENES
    if n_scenes is None:
        n_scenes = n_there if split.name != "train" else JOB_SCENES
    if not 0 < n_scenes <= n_there:
        raise ParameterError(f"{split.name} has {n_there:,} scenes at every clutter level, not {n_scenes:,}.")
    return n_scenes


def load_network(name: str = DEFAULT_NETWORK) -> "tuple[nn.Module, NetworkInfo]":
    """Load a released segmentation network, on the CPU, ready to evaluate, and what is known of it.

    name: one of `list_networks()`, which is that of its folder in recorded/segmentation.

    Raises:
        WeightsError: no such network is released, or its file is missing or damaged.
    """
    from oneshot.segment.nets import NETS
    from oneshot.training.tensors import load_network as load

    return load(find_weights("segmentation", name), NETS)


def load_classifier(name: str = DEFAULT_CLASSIFIER) -> "tuple[NetworkScorer, NetworkInfo]":
    """Load a released network for one-shot classification, as a scorer, and what is known of it.

    name: one of `list_classifiers()`, which is that of its folder in recorded/classification.

    Raises:
        WeightsError: no such network is released, or its file is missing or damaged.
    """
    from oneshot.classify.nets import NETS
    from oneshot.classify.scoring import NetworkScorer
    from oneshot.training.tensors import load_network as load

    net, info = load(find_weights("classification", name), NETS)
    return NetworkScorer(net), info


def find(scene: Any, target: Any, network: str = DEFAULT_MATCHER) -> "Found":
    """Find a target in an image by a released network.

    scene, target: a file, or an array (h x w x 3, uint8), of any size; see docs/own_input.md for what the
    networks take for granted of them.

    Raises:
        ImageFolderError: a file is missing, or no readable image.
        ParameterError: an array has another shape or type, or the target is blank.
        WeightsError: no such network is released, or its file is missing or damaged.
    """
    from oneshot.omniglot.image_folder import take_pixels
    from oneshot.segment.own_scenes import find_target

    for given in (scene, target):
        refuse_missing(given)
    image, wanted = take_pixels(scene, "scene"), take_pixels(target, "target")
    return find_target(load_network(network)[0], network, image, wanted)


def classify(
    queries: Any,
    support: str | Path | Mapping[str, Any],
    network: str = DEFAULT_CLASSIFIER,
    reject_below: float | str | None = None,
) -> "list[Ranking]":
    """Rank classes by their likeness to each query, by a released classifier.

    queries: a file, a folder of images, an array (h x w or h x w x 3, uint8), or a list of files and arrays.
    support: a folder with a sub-folder of images for each class, or files and arrays by the class's name.
    reject_below: the score below which a query is none of the classes; "auto": the one chosen on pairs of
    drawings of the validation alphabets.

    Raises:
        ImageFolderError: a folder is not laid out so, or a file is missing, no readable image, or blank.
        ParameterError: an array has another shape or type, or is blank; there is no image, or no threshold.
        WeightsError: no such network is released, or its file is missing or damaged.
    """
    from oneshot.classify.own_drawings import find_rejection, rank_queries
    from oneshot.omniglot.image_folder import list_images, name_classes, take_ink

    if isinstance(queries, str | Path) and Path(queries).is_dir():
        queries = list_images(Path(queries))
    asked = []
    for number, query in enumerate(as_list(queries), 1):
        name = str(query) if isinstance(query, str | Path) else f"query {number}"
        asked.append((name, take_ink(query, name)))
    named = name_classes(Path(support)) if isinstance(support, str | Path) else support
    shown = {
        name: [take_ink(image, f"support of {name!r}") for image in as_list(images)]
        for name, images in named.items()
    }
    scorer, _ = load_classifier(network)
    if reject_below == "auto":
        from oneshot.training.tensors import file_sha256

        reject_below = find_rejection(network, file_sha256(find_weights("classification", network)))
    if isinstance(reject_below, str) or (reject_below is not None and math.isnan(reject_below)):
        raise ParameterError(f"reject_below is {reject_below!r}; give a number, 'auto' or None.")
    return rank_queries(scorer, network, asked, shown, reject_below)


def as_list(images: Any) -> list[Any]:
    """Give a list of images, or an array n x h x w, as it is; a single file or array in a list.

    An array whose last axis has at most 4 elements is taken for one image; which has to be h x w x 3.

    Raises:
        ImageFolderError: a file is missing.
    """
    shape: tuple[int, ...] = getattr(images, "shape", ())
    one = isinstance(images, str | Path) or len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)
    listed = [images] if one else [*images]
    for image in listed:
        refuse_missing(image)
    return listed


def refuse_missing(image: Any) -> None:
    """Raise ImageFolderError if an image is the name of a file that does not exist."""
    if isinstance(image, str | Path) and not os.path.exists(image):
        raise ImageFolderError(f"there is no file {str(image)!r}: give the name of an image.")


def list_networks() -> list[str]:
    """List the recorded networks for segmentation; an installed package has the weights of some only."""
    return list_released("segmentation")


def list_classifiers() -> list[str]:
    """List the recorded networks for classification; an installed package has the weights of some only."""
    return list_released("classification")


def recorded_folder() -> Path:
    """Give the folder of recorded runs: ONESHOT_RECORDED, else a checkout's, else what the package ships."""
    if folder := os.environ.get("ONESHOT_RECORDED"):
        return Path(folder)
    return CHECKED_OUT if CHECKED_OUT.is_dir() else SHIPPED


def list_released(task: "Task") -> list[str]:
    from oneshot.records.run import RUN

    return sorted(path.parent.name for path in recorded_folder().glob(f"{task}/*/{RUN}"))


def find_weights(task: "Task", name: str) -> Path:
    """Find the weights of a recorded run. Raises WeightsError if they are missing or not as recorded."""
    from oneshot.files import check_sha256
    from oneshot.records.run import RUN, WEIGHTS, load_run
    from oneshot.training.tensors import WeightsError

    folder = recorded_folder() / task / name
    if name not in list_released(task):
        there = ", ".join(list_released(task)) or "none yet"
        raise WeightsError(
            f"no network {name} is released for {task}: {recorded_folder()} has {there} (the environment "
            "variable ONESHOT_RECORDED names another folder)."
        )
    run = load_run(folder)
    if (run.task, run.name) != (task, name):
        raise WeightsError(f"{folder / RUN} is the record of {run.task}/{run.name}: fetch recorded/ again.")
    weights = run.weights
    sha256 = weights.sha256 if weights else "unknown"
    if not (folder / WEIGHTS).exists():
        raise WeightsError(
            f"the weights of {name} (SHA-256 {sha256}) are not in the package: take recorded/ from a "
            "checkout, and name it by the environment variable ONESHOT_RECORDED."
        )
    check_sha256(folder / WEIGHTS, sha256, folder / RUN, "fetch recorded/ again", WeightsError)
    return folder / WEIGHTS
