"""The modified Hausdorff distance and one episode's answers, the slow and obvious way."""

import numpy as np


def ink_points(image: np.ndarray) -> np.ndarray:
    """(row, column) of the pixels with ink, less their mean, as Lake's demonstration takes them."""
    points = np.argwhere(image).astype(float)
    return points - points.mean(0)


def modified_hausdorff(image: np.ndarray, other: np.ndarray) -> float:
    distances = np.linalg.norm(ink_points(image)[:, None] - ink_points(other)[None], axis=2)
    return max(distances.min(1).mean(), distances.min(0).mean())


def hausdorff_distances(queries: np.ndarray, supports: np.ndarray) -> np.ndarray:
    return np.array([[modified_hausdorff(query, support) for support in supports] for query in queries])
