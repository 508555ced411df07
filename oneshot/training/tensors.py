"""Trained networks as safetensors files that say what they hold."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from oneshot.errors import OneshotError
from oneshot.files import replacing


class WeightsError(OneshotError):
    """A file of weights is missing, damaged, or does not fit the network it names."""


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description of them, all or nothing."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as file:
        file.write(safetensors.torch.save(whole, {"about": json.dumps(about)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote.

    Raises:
        WeightsError: the file is missing or damaged, or was written by something else.
    """
    if not path.is_file():
        raise WeightsError(f"there are no weights at {path}; train the network first, or fetch the file.")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118, not a dict
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise WeightsError(f"the weights at {path} are damaged or not this project's ({error}).") from error


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes. Raises WeightsError if it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise WeightsError(
            f"there are no weights at {path}; train the network first, or fetch the file."
        ) from None
