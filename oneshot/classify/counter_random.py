"""Random numbers that are looked up, not drawn in turn: each depends on its keys and its place alone."""

import numpy as np
from jaxtyping import Float, Int, UInt64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(n_values: int, *keys: int | Int[np.ndarray, " n"]) -> Float[np.ndarray, "n n_values"]:
    """Give `n_values` numbers in [0, 1) for every row of the keys, such as a seed and the numbers of pairs.

    So any part of an endless stream can be had at once, in any order, by any number of processes, and is the
    same under every version of NumPy.

    Source: SplitMix64 (Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
    """
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = mix(state + GOLDEN + np.atleast_1d(np.asarray(key, np.int64)).view(np.uint64))
    places = np.arange(1, n_values + 1, dtype=np.uint64) * GOLDEN
    return (mix(state[:, None] + places) >> np.uint64(11)) * 2.0**-53


def mix(z: UInt64[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
    """Apply SplitMix64's finaliser; products wrap around."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
