"""Stages of the pipeline, each a command: `python -m stages.NAME`."""

import sys

from oneshot.errors import end_in_a_sentence

sys.excepthook = end_in_a_sentence
