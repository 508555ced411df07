"""The modified Hausdorff distance between drawings, compiled."""

from math import sqrt

import numpy as np
from numba import njit


@njit(cache=True)
def centred_ink(image):
    """Row and column of every pixel with ink, from the ink's centre of mass, axes apart for vectorising."""
    height, width = image.shape
    n = 0
    for y in range(height):
        for x in range(width):
            n += image[y, x] != 0
    rows, columns = np.empty(n), np.empty(n)
    k = 0
    for y in range(height):
        for x in range(width):
            if image[y, x] != 0:
                rows[k], columns[k] = y, x
                k += 1
    if n > 0:
        rows -= rows.mean()
        columns -= columns.mean()
    return rows, columns


@njit(cache=True)
def ink_distance(rows, columns, other_rows, other_columns):
    """The larger of the two mean distances from a point of one drawing to the nearest of the other."""
    n, n_others = rows.size, other_rows.size
    if n == 0 or n_others == 0:
        return np.inf
    # One pass over all pairs serves both directions; squares, since roots are monotone.
    nearest_of_others = np.full(n_others, np.inf)
    there = 0.0
    for i in range(n):
        nearest = np.inf
        for j in range(n_others):
            down, right = rows[i] - other_rows[j], columns[i] - other_columns[j]
            square = down * down + right * right
            nearest = min(nearest, square)
            nearest_of_others[j] = min(nearest_of_others[j], square)
        there += sqrt(nearest)
    back = 0.0
    for j in range(n_others):
        back += sqrt(nearest_of_others[j])
    return max(there / n, back / n_others)


@njit(cache=True, nogil=True)
def hausdorff_distances(queries, supports):
    """Of every query's drawing to every one of the support set; infinite where either has no ink."""
    distances = np.empty((queries.shape[0], supports.shape[0]))
    inks = [centred_ink(support) for support in supports]
    for q in range(queries.shape[0]):
        rows, columns = centred_ink(queries[q])
        for s in range(supports.shape[0]):
            distances[q, s] = ink_distance(rows, columns, inks[s][0], inks[s][1])
    return distances
