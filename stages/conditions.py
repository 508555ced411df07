"""What a recorded run runs on, kept beside its checkpoint: who goes on with it must find the same."""

import json
from collections.abc import Mapping
from pathlib import Path

from oneshot.files import replacing
from oneshot.records.run import RecordError

CONDITIONS = "conditions.json"


def compare_conditions(folder: Path, found: Mapping[str, str | int]) -> None:
    """Raise RecordError if the checkpoint in `folder` was written under other conditions than those found."""
    path = folder / CONDITIONS
    if not path.exists():
        return
    kept = json.loads(path.read_text())
    for name, value in found.items():
        if kept.get(name) != value:
            raise RecordError(
                f"the checkpoint in {folder} is of another run ({name} {kept.get(name)}, now {value}): "
                f"delete that folder to start afresh, or its {CONDITIONS} to go on nevertheless."
            )


def keep_conditions(folder: Path, found: Mapping[str, str | int]) -> None:
    with replacing(folder / CONDITIONS) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())


def check_writable(path: Path) -> None:
    """Raise RecordError if no file can be written beside this one."""
    try:
        with replacing(path.with_name(".writable")):
            pass
        path.with_name(".writable").unlink()
    except OSError as error:
        raise RecordError(f"cannot write into {path.parent} ({error.strerror}).") from None
