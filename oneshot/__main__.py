"""Scenes, answers of released networks and exports from the command line, without the pipeline."""

import sys

from oneshot.errors import OneshotError, end_in_a_sentence

if __name__ == "__main__":
    sys.excepthook = end_in_a_sentence  # before the imports that take seconds

import argparse
from collections.abc import Sequence

from oneshot.commands import answers, doctor, export, play, scenes
from oneshot.machine import explain_missing


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m oneshot", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (answers, scenes, export, play, doctor):
        module.add_commands(commands)
    arguments = parser.parse_args(words)
    try:
        arguments.run(arguments)
    except (OneshotError, OSError) as error:  # such as a full disk, or a folder that cannot be written
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: not enough memory: {str(error) or 'free some'}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {explain_missing(error)}")


if __name__ == "__main__":
    main()
