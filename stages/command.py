"""How a stage ends: an error that a user can act on is one sentence on stderr, without a traceback."""

import errno
import sys
from collections.abc import Callable

from oneshot.errors import OneshotError


def run(main: Callable[[], None]) -> None:
    """Call a stage's main; exit with status 1 after an OneshotError or a full disk, 130 after Ctrl-C."""
    try:
        main()
    except OneshotError as error:
        _stop(str(error), 1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" of {error.filename}" if error.filename else ""
        _stop(f"no room left on the disk{where}: free some and run the same command again", 1)
    except KeyboardInterrupt:
        _stop("interrupted: run the same command again to go on", 130)


def _stop(sentence: str, status: int) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)
