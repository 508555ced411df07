"""Stages of the pipeline, each a command: `python -m stages.NAME`."""

import os
import sys
from types import TracebackType


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End on Ctrl-C as `stages.command.run` does, also while a stage still imports what it needs."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("error: interrupted: run the same command again to go on", file=sys.stderr, flush=True)
    os._exit(130)  # Python itself would end by the signal, which a shell takes for no status at all


sys.excepthook = _end
