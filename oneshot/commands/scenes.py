"""Commands that render, write and verify scenes."""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from oneshot.clutter.parts import check_sets, complete_parts, list_parts
from oneshot.clutter.scenes import JOB_SCENES, SceneRecipe, lay_out, render_job
from oneshot.commands.common import ABOUT_DRAWINGS, Commands
from oneshot.errors import FullMemoryError, ParameterError
from oneshot.files import replacing
from oneshot.library import fetch_drawings
from oneshot.omniglot.drawings import N_DRAWERS
from oneshot.omniglot.image_folder import OWN_CHARACTERS, read_own_drawings
from oneshot.published import CLUTTER_LEVELS, RENDERED_SPLITS, SET_SPLITS


def add_commands(commands: Commands) -> None:
    """Add `render`, `write` and `verify` to the commands of `python -m oneshot`."""
    one = commands.add_parser("render", help=render_scenes.__doc__, description=render_scenes.__doc__)
    one.set_defaults(run=render_scenes)
    characters = one.add_mutually_exclusive_group(required=True)
    characters.add_argument("--characters", choices=("train", "eval", "test"))
    characters.add_argument(
        "--images", type=Path, metavar="FOLDER", help="own characters: a sub-folder of images each"
    )
    one.add_argument(
        "--drawers", type=parse_range, default=(0, N_DRAWERS), metavar="FIRST:END",
        help="0-based, END excluded (default: all); with --images: which images of a character",
    )  # fmt: skip
    one.add_argument(
        "--clutter-level", type=int, required=True, help="characters, target included, occluders not"
    )
    one.add_argument("--seed", type=int, required=True, help="of the job's random stream, below 2**32")
    one.add_argument("--scenes", type=int, default=JOB_SCENES, help="how many (default: %(default)s)")
    one.add_argument("--occluders", type=int, default=0, help="characters above the target")
    one.add_argument("--empty", type=float, default=0.0, help="share of scenes without their target")
    one.add_argument("--scene-size", type=int, nargs=2, default=(96, 96), metavar=("W", "H"))
    one.add_argument("--target-size", type=int, nargs=2, default=(32, 32), metavar=("W", "H"))
    output = one.add_mutually_exclusive_group(required=True)
    output.add_argument(
        "--sha256", action="store_true", help="print checksums of the raw arrays, and seconds"
    )
    output.add_argument("--out", type=Path, metavar="FILE.npz", help="write the raw arrays")
    one.add_argument("--drawings", type=Path, help=ABOUT_DRAWINGS)

    some = commands.add_parser("write", help=write_parts.__doc__, description=write_parts.__doc__)
    some.set_defaults(run=write_parts)
    some.add_argument("--split", choices=("train", *RENDERED_SPLITS), required=True)
    some.add_argument("--clutter-level", type=int, choices=CLUTTER_LEVELS, required=True)
    some.add_argument("--jobs", type=parse_range, metavar="FIRST:END", help="default: all")
    some.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    some.add_argument("--drawings", type=Path, help=ABOUT_DRAWINGS)

    check = commands.add_parser("verify", help=verify_sets.__doc__, description=verify_sets.__doc__)
    check.set_defaults(run=verify_sets)
    check.add_argument("folder", type=Path, nargs="?", default=Path("data/scenes"))
    for command, what, n_workers in ((some, "parts", -1), (check, "sets", 1)):
        command.add_argument(
            "--workers", type=parse_n_workers, default=n_workers,
            help=f"{what} at a time; -1: one for each core (default: {n_workers}); a cluster uses all of its",
        )  # fmt: skip
        command.add_argument(
            "--backend", choices=("threads", "dask", "ray"), default="threads", help="what does the work"
        )
        command.add_argument(
            "--address", help="of Dask's scheduler or Ray's head (default: this machine's cores)"
        )


def render_scenes(arguments: argparse.Namespace) -> None:
    """Render one job, and print its checksums or write its arrays."""
    recipe = SceneRecipe(
        clutter_level=arguments.clutter_level,
        characters=arguments.characters or OWN_CHARACTERS,
        drawers=arguments.drawers,
        n_occluders=arguments.occluders,
        empty_share=arguments.empty,
        scene_size=tuple(arguments.scene_size),
        target_size=tuple(arguments.target_size),
    )
    check_memory(recipe, arguments.scenes)
    if arguments.images and arguments.drawings:
        raise ParameterError("--images and --drawings both name characters: give one of them.")
    drawings = read_own_drawings(arguments.images) if arguments.images else fetch_drawings(arguments.drawings)
    pens = lay_out(drawings, recipe.characters)
    render_job(pens, recipe, arguments.seed, 1)  # compiles, so that what follows is rendering alone
    started = time.perf_counter()
    scenes = render_job(pens, recipe, arguments.seed, arguments.scenes)
    seconds = time.perf_counter() - started
    if arguments.sha256:
        print(json.dumps({**scenes.sha256(), "seconds": round(seconds, 6)}))
    if arguments.out:
        images, segmentation, targets = scenes.images(), scenes.segmentation(), scenes.targets()
        with replacing(arguments.out) as file:
            np.savez_compressed(file, images=images, segmentation=segmentation, targets=targets)
        print(f"{arguments.out}: {len(scenes)} scenes, rendered in {seconds:.3f} s", file=sys.stderr)


def check_memory(recipe: SceneRecipe, n_scenes: int) -> None:
    """Raise FullMemoryError if so many scenes do not fit into memory at once."""
    needed, free = n_scenes * recipe.scene_bytes, psutil.virtual_memory().available
    if needed > free:
        raise FullMemoryError(
            f"{n_scenes} scenes take {needed // 10**6:,} MB of memory, of which {free // 10**6:,} are free: "
            "render fewer or smaller ones."
        )


def write_parts(arguments: argparse.Namespace) -> None:
    """Write jobs of a split as parts, keeping those that are there and right."""
    drawings = fetch_drawings(arguments.drawings)
    pens = {name: lay_out(drawings, name) for name in ("train", "eval", "test")}
    parts = list_parts(arguments.clutter_level, arguments.split, drawings.sha256())
    first, end = arguments.jobs or (0, len(parts))
    if not 0 <= first < end <= len(parts):
        raise ParameterError(
            f"--jobs {first}:{end} is no range within the {len(parts)} jobs of {arguments.split}."
        )
    done = complete_parts(
        arguments.out, parts[first:end], pens, arguments.workers, arguments.backend, arguments.address
    )
    for _ in tqdm(done, total=end - first, unit="part"):
        pass


def verify_sets(arguments: argparse.Namespace) -> None:
    """Read every set back from disk and compare it, whole, with its checksums: published, or ours."""
    done = check_sets(arguments.folder, arguments.workers, arguments.backend, arguments.address)
    for clutter_level, split in done:
        whose = "as published" if split in SET_SPLITS else "of this project"
        print(f"{clutter_level:4d} {split:16s} MD5 and SHA-256 {whose}", flush=True)


def parse_range(text: str) -> tuple[int, int]:
    """Parse FIRST:END."""
    first, _, end = text.partition(":")
    try:
        return int(first), int(end)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 0:10") from None


def parse_n_workers(text: str) -> int:
    """Parse a number from 1 on, or -1."""
    if text != "-1" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no number of workers: give 1 or more, or -1")
    return int(text)
