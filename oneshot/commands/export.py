"""Command that writes scenes and networks in the formats of others."""

import argparse
from pathlib import Path

from oneshot.commands.common import ABOUT_DRAWINGS, Commands
from oneshot.errors import ParameterError
from oneshot.exports.folder import FORMATS, export_scenes
from oneshot.library import fetch_drawings
from oneshot.published import RENDERED_SPLITS

ONNX = "onnx"


def add_commands(commands: Commands) -> None:
    """Add `export` to the commands of `python -m oneshot`."""
    one = commands.add_parser("export", help=export.__doc__, description=export.__doc__)
    one.set_defaults(run=export)
    one.add_argument("--format", choices=(*FORMATS, ONNX), required=True)
    scenes = one.add_argument_group("scenes", f"needed by {', '.join(FORMATS)}")
    scenes.add_argument("--split", choices=("train", *RENDERED_SPLITS))
    scenes.add_argument("--clutter-level", type=int, help="characters in a scene, any number")
    scenes.add_argument("--scenes", type=int, help="the first so many (default: all; of train 2,000)")
    network = one.add_argument_group("network", f"needed by {ONNX}")
    network.add_argument("--network", metavar="NAME", help="of a recorded network, such as contrastive-long")
    one.add_argument("--out", type=Path, required=True, help=f"a new folder; of {ONNX} a file")
    one.add_argument("--drawings", type=Path, help=ABOUT_DRAWINGS)


def export(arguments: argparse.Namespace) -> None:
    """Write scenes of a split as NumPy arrays, COCO, Parquet or PNG files, or a released network as ONNX."""
    given = {
        "--split": arguments.split,
        "--clutter-level": arguments.clutter_level,
        "--scenes": arguments.scenes,
        "--network": arguments.network,
    }
    needed = ("--network",) if arguments.format == ONNX else ("--split", "--clutter-level")
    allowed = {*needed} if arguments.format == ONNX else {*needed, "--scenes"}
    for name, value in given.items():
        if (value is None and name in needed) or (value is not None and name not in allowed):
            raise ParameterError(
                f"--format {arguments.format} {'needs' if value is None else 'does not take'} {name}."
            )
    if arguments.format == ONNX:
        export_onnx(arguments)
        return
    export_scenes(
        arguments.out,
        arguments.format,
        arguments.split,
        arguments.clutter_level,
        arguments.scenes,
        fetch_drawings(arguments.drawings),
        progress=True,
    )


def export_onnx(arguments: argparse.Namespace) -> None:
    """Write a released network as ONNX, and print how much its outputs differ from PyTorch's."""
    from oneshot.exports.network import export_network  # here, since PyTorch loads slowly

    differences = export_network(arguments.out, arguments.network, fetch_drawings(arguments.drawings))
    for one in differences:
        print(
            f"{one.output}: largest difference {one.difference:.1e} of values up to {one.largest:.1f} "
            f"(tolerated: {one.tolerated:.1e})"
        )
