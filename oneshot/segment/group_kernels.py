"""Compiled kernels that group a scene's pixels by colour and crop the groups; they release Python's lock.

All in one file, since numba's cache on disk notices changes of a kernel's own file only.
"""

import numpy as np

from oneshot.compiled import compiled

SAMPLES = 2  # of a crop's pixel, each way


@compiled(nogil=True)
def number_colours(images, maps, counts):
    """Number the colours of every image in the order of their first pixels, from 1 on; black is 0.

    Colours are found in a table with open addressing, of at least twice as many places as there are pixels.
    """
    size = 1
    while size < 2 * images.shape[1] * images.shape[2]:
        size *= 2
    colours = np.empty(size, np.int32)
    numbers = np.empty(size, np.uint16)
    for n in range(images.shape[0]):
        colours[:] = 0
        count = 0
        for y in range(images.shape[1]):
            for x in range(images.shape[2]):
                red, green, blue = images[n, y, x]
                colour = (np.int32(red) << 16) | (np.int32(green) << 8) | np.int32(blue)
                if colour == 0:
                    maps[n, y, x] = 0
                    continue
                place = (colour * 40503 >> 4) & (size - 1)
                while colours[place] not in (0, colour):
                    place = (place + 1) & (size - 1)
                if colours[place] == 0:
                    count += 1
                    colours[place] = colour
                    numbers[place] = count
                maps[n, y, x] = numbers[place]
        counts[n] = count


@compiled(nogil=True)
def measure_groups(maps, starts, boxes, areas):
    """Measure the groups of every map: box (top, left, bottom, right; the end excluded) and pixels."""
    height, width = maps.shape[1:]
    for n in range(maps.shape[0]):
        for y in range(height):
            for x in range(width):
                if maps[n, y, x] == 0:
                    continue
                group = starts[n] + maps[n, y, x] - 1
                if areas[group] == 0:
                    boxes[group] = (y, x, y + 1, x + 1)
                areas[group] += 1
                boxes[group, 1] = min(boxes[group, 1], x)
                boxes[group, 2] = y + 1
                boxes[group, 3] = max(boxes[group, 3], x + 1)


@compiled(nogil=True)
def sample_places(first, span, size, places):
    """Place samples evenly over a span of pixels that begins at ``first``; -1: outside of 0..size."""
    for i in range(places.shape[0]):
        place = int(np.floor(first + (i + 0.5) * span / places.shape[0]))
        places[i] = place if 0 <= place < size else -1


@compiled(nogil=True)
def sample_crops(maps, scenes, numbers, frames, crops):
    """Sample a frame (top, left, height, width) of a map for every group.

    Channel 0 of a crop counts the samples of a pixel that are of the group, channel 1 those of other groups.
    """
    height, width = maps.shape[1:]
    n_samples = SAMPLES * crops.shape[2]
    rows, columns = np.empty(n_samples, np.int64), np.empty(n_samples, np.int64)
    for k in range(crops.shape[0]):
        n, number = scenes[k], numbers[k]
        crops[k] = 0
        if number == 0:
            continue
        sample_places(frames[k, 0], frames[k, 2], height, rows)
        sample_places(frames[k, 1], frames[k, 3], width, columns)
        for i in range(n_samples):
            if rows[i] < 0:
                continue
            for j in range(n_samples):
                if columns[j] < 0:
                    continue
                found = maps[n, rows[i], columns[j]]
                if found == number:
                    crops[k, 0, i // SAMPLES, j // SAMPLES] += 1
                elif found != 0:
                    crops[k, 1, i // SAMPLES, j // SAMPLES] += 1
