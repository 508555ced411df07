"""Stages of the pipeline, each a command: `python -m stages.NAME`."""

import sys

from oneshot.errors import end_on_ctrl_c

sys.excepthook = end_on_ctrl_c
