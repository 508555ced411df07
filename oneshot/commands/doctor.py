"""Command that reports what is installed here, and which commands will work."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oneshot.commands.common import Commands
from oneshot.library import PIPELINE_DRAWINGS, cache_folder, load_omniglot
from oneshot.machine import NAME, describe_machine, installed_version, list_extras, packages_of

# Commands, and the extra that brings what they need; "": every installation.
NEEDS = {
    "python -m oneshot render": "",
    "python -m oneshot write, verify": "parts",
    "python -m oneshot export, coco and parquet": "export",
    "python -m oneshot export, onnx": "onnx",
    "python -m oneshot find, classify": "torch",
    "python -m oneshot play": "play",
    "dvc repro": "pipeline",
}


def add_commands(commands: Commands) -> None:
    """Add `doctor` to the commands of `python -m oneshot`."""
    about = report_installation.__doc__
    one = commands.add_parser("doctor", help=about, description=about)
    one.set_defaults(run=report_installation)
    one.add_argument("--json", action="store_true", help="print one object of JSON")


def report_installation(arguments: argparse.Namespace) -> None:
    """Report versions, processor, GPU, mirrors, caches, and which commands will work."""
    found = dict(find_facts())
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name}:")
            print(*(f"  {key:42s} {one}" for key, one in value.items()), sep="\n")
        else:
            print(f"{name}: {value}")


def find_facts() -> Iterator[tuple[str, Any]]:
    yield NAME, f"{installed_version(NAME)}, {Path(__file__).resolve().parents[1]}"
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.system()} {platform.release()}"
    yield "processor", describe_machine()
    yield "GPU", find_gpu()
    packages = sorted({package for extra in ["", *list_extras()] for package in packages_of(extra)})
    yield "packages", {package: installed_version(package) or "not installed" for package in packages}
    yield "Omniglot", find_omniglot()
    for name in ("OMNIGLOT_MIRROR", "MNIST_MIRROR"):
        place = os.environ.get(name)
        there = not place or "://" in place or Path(place).is_dir()
        yield name, f"{place or 'not set'}{'' if there else ', which is no folder'}"
    yield "compiled code", find_compiled_code()
    commands = {command: say_if_it_works(extra) for command, extra in NEEDS.items()}
    if not Path("dvc.yaml").exists():
        commands["dvc repro"] = "needs a checkout of this project, this folder is none"
    yield "commands", commands


def find_gpu() -> str:
    if installed_version("torch") is None:
        return "unknown without PyTorch"
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    return "Apple's (device mps, untried)" if torch.backends.mps.is_available() else "none"


def find_omniglot() -> str:
    for place in (PIPELINE_DRAWINGS, cache_folder() / PIPELINE_DRAWINGS.name):
        if load_omniglot(place) is not None:
            return str(place)
    return f"not here yet: fetched on first use, into {cache_folder()}"


def find_compiled_code() -> str:
    """Find the folder in which numba keeps what it compiles, and how many kernels are there already."""
    from oneshot.clutter.kernels import draw_scenes  # any of them

    folder = Path(draw_scenes.stats.cache_path)
    return f"{folder}, {len([*folder.glob('*.nbi')])} kernels"


def say_if_it_works(extra: str) -> str:
    if extra and extra not in list_extras():
        return "unknown: this package is not installed, but found by its path"
    missing = [package for package in packages_of(extra) if installed_version(package) is None]
    if not missing:
        return "works"
    return f"lacks {', '.join(missing)}, which extra {extra} brings"
