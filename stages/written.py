"""Text files as the pipeline writes them: whole or not at all."""

from pathlib import Path

from oneshot.files import replacing


def write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
