"""Export as the published generator's repository keeps a set: images.npy, segmentation.npy, targets.npy."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from oneshot.clutter.scenes import Scenes
from oneshot.errors import ChecksumError
from oneshot.exports.source import SceneSource


def write_arrays(folder: Path, source: SceneSource, jobs: Iterator[Scenes]) -> None:
    """Write the three arrays, the same bytes as np.save writes, and read a whole set back to check it.

    Source: github.com/michaelisc/cluttered-omniglot at 0cd38ba, dataset_utils.py, generate_dataset.

    Raises:
        ChecksumError: what lies on disk is not the published set, or ours.
    """
    n = source.n_scenes
    (width, height), (target_width, target_height) = source.recipe.scene_size, source.recipe.target_size
    shapes = {
        "images": (n, height, width, 3),
        "segmentation": (n, height, width, 1),
        "targets": (n, target_height, target_width, 3),
    }
    with ExitStack() as opened:
        files = {name: opened.enter_context((folder / f"{name}.npy").open("wb")) for name in shapes}
        for name, shape in shapes.items():
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(files[name], header)
        for scenes in jobs:
            files["images"].write(scenes.images().data)
            files["segmentation"].write(scenes.segmentation().data)
            files["targets"].write(scenes.targets().data)
    sums = source.find_sums()
    if sums is None:
        return
    for name in shapes:
        array = np.load(folder / f"{name}.npy", mmap_mode="r")
        last = hashlib.md5(array[-1].data).hexdigest()
        if hashlib.sha256(array.data).hexdigest() != sums["sha256"][name] or (
            name == "images" and last != sums["md5_of_last_image"]
        ):
            raise ChecksumError(f"{name}.npy, read back, is not that of {source.title}: export it again.")
