"""Command that serves a page on this machine, to play with one-shot learning."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from oneshot.commands.common import ABOUT_DRAWINGS, Commands
from oneshot.library import fetch_drawings


def add_commands(commands: Commands) -> None:
    """Add `play` to the commands of `python -m oneshot`."""
    about = play_in_browser.__doc__
    one = commands.add_parser("play", help=about, description=about)
    one.set_defaults(run=play_in_browser)
    one.add_argument("--port", type=parse_port, default=0, help="of 127.0.0.1 (default: any that is free)")
    one.add_argument("--drawings", type=Path, help=ABOUT_DRAWINGS)


def parse_port(text: str) -> int:
    """Parse a port, 0 to 65535."""
    if not text.isascii() or not text.isdecimal() or int(text[:6]) > 65_535 or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no port: give 0 to 65535")
    return int(text)


def play_in_browser(arguments: argparse.Namespace) -> None:
    """Serve a page to play with: find characters, say which one it is, draw your own."""
    import numpy as np

    from oneshot.play.game import Game, find_trials
    from oneshot.play.server import serve

    drawings = fetch_drawings(arguments.drawings)
    print("Networks are loaded, and kernels compiled at the first time ...", file=sys.stderr)
    trials, sha256 = find_trials(drawings)
    game = Game(drawings, trials, np.random.default_rng(), sha256)
    game.warm_up()
    with suppress(KeyboardInterrupt):
        serve(game, arguments.port)
    print("Ended.", file=sys.stderr)
