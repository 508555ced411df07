"""The modified Hausdorff distance between drawings, compiled."""

from math import sqrt

import numpy as np

from oneshot.compiled import compiled


@compiled()
def centred_ink(image):
    """Find row and column of every pixel with ink, from the ink's centre of mass; rows ascend."""
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


@compiled()
def mean_nearest(rows, columns, other_rows, other_columns):
    """Compute the mean distance from a point of one drawing to the other's nearest; rows ascend in both."""
    total = 0.0
    start = 0
    for i in range(rows.size):
        # From the other's points in the same row up and down, no further than a nearer one could lie.
        while start < other_rows.size and other_rows[start] < rows[i]:
            start += 1
        nearest = np.inf
        for step, j in ((1, start), (-1, start - 1)):
            while 0 <= j < other_rows.size:
                down, right = rows[i] - other_rows[j], columns[i] - other_columns[j]
                if down * down >= nearest:
                    break
                nearest = min(nearest, down * down + right * right)
                j += step
        total += sqrt(nearest)
    return total / rows.size


@compiled()
def ink_distance(rows, columns, other_rows, other_columns):
    """Compute the larger of both mean distances from a point of one drawing to the other's nearest."""
    if rows.size == 0 or other_rows.size == 0:
        return np.inf
    there = mean_nearest(rows, columns, other_rows, other_columns)
    return max(there, mean_nearest(other_rows, other_columns, rows, columns))


@compiled(nogil=True)
def hausdorff_distances(queries, supports):
    """Compute those of every query to every one of the support set; infinite where either has no ink."""
    distances = np.empty((queries.shape[0], supports.shape[0]))
    inks = [centred_ink(support) for support in supports]
    for q in range(queries.shape[0]):
        rows, columns = centred_ink(queries[q])
        for s in range(supports.shape[0]):
            distances[q, s] = ink_distance(rows, columns, inks[s][0], inks[s][1])
    return distances
