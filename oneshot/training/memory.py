"""Memory of the device: copies into it, and batches that become smaller where it is too small for them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from oneshot.errors import FullMemoryError, OneshotError, says_full

Result = TypeVar("Result")

# Sizes of batches that were found to fit, by device and by what is computed, where the wanted ones did not.
FITTING: dict[tuple[str, str], int] = {}


def pin(tensor: Tensor) -> Tensor:
    """Copy to memory from which a GPU copies by itself.

    By NumPy: PyTorch's own copy starts a team of threads in every thread that calls it, as renderers do.
    """
    pinned = torch.empty_like(tensor, pin_memory=True)
    pinned.numpy()[...] = tensor.numpy()
    return pinned


def is_full(error: BaseException) -> bool:
    """Say if an error means that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or says_full(error)


def fill_up(values: Shaped[np.ndarray, "n *shape"], n: int) -> Shaped[np.ndarray, "n_filled *shape"]:
    """Give at least `n` values, the last of them zeros."""
    n_missing = max(0, n - len(values))
    if not n_missing:
        return values
    return np.concatenate([values, np.zeros((n_missing, *values.shape[1:]), values.dtype)])


@contextmanager
def naming_full_memory(device: str, advice: str, error_type: type[OneshotError]) -> Iterator[None]:
    """Turn running out of memory into one sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # PyTorch's is a RuntimeError
        if not is_full(error):
            raise
        raise error_type(f"memory ran out on {device} {advice}.") from error


def notice(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def compute_in_batches(
    compute: Callable[[slice], Result], n: int, size: int, *, what: str, device: str, even: bool = True
) -> Iterator[tuple[Result, int]]:
    """Compute something of `n` things, `size` at a time; also give how many of a batch's were there before.

    `even`: the last batch reaches back until it is as large as the others, since compiled code is for one
    size, and cuDNN searches its fastest convolution for each. A slice is of `size` things, even where there
    are fewer. When memory runs out the batch is halved until it fits, here and in all later calls for `what`
    on this device, with a notice.

    Raises:
        FullMemoryError: memory does not even hold one.
    """
    first, place = 0, (device, what)
    while first < n:
        size = min(size, FITTING.get(place, size))
        start = max(0, min(first, n - size)) if even else first
        try:
            with naming_full_memory(device, f"for a single one of the {what}", FullMemoryError):
                result = compute(slice(start, start + size))
        except FullMemoryError:
            if size == 1:
                raise
            result = None
        if result is None:  # outside of the handler, which would hold on to what has filled the memory
            FITTING[place] = size // 2
            notice(f"memory ran out on {device} at {size} {what} at a time: from now on it is {size // 2}")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        yield result, first - start
        first = start + size
