"""What several commands share."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

ABOUT_DRAWINGS = "packed drawings (default: those of the pipeline, else a copy in the user's cache)"
