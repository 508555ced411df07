"""Groups of one colour, and their crops, pixel by pixel."""

import numpy as np

SAMPLES = (0.25, 0.75)  # within a pixel of the crop


def colours_of(image: np.ndarray) -> list[tuple[int, ...]]:
    """The colours of an image but black, in the order of their first pixels."""
    found: list[tuple[int, ...]] = []
    for pixel in image.reshape(-1, 3):
        colour = tuple(int(value) for value in pixel)
        if any(colour) and colour not in found:
            found.append(colour)
    return found


def map_of(image: np.ndarray) -> np.ndarray:
    """The number of every pixel's colour, from 1 on; 0 where it is black."""
    colours = colours_of(image)
    numbers = [
        colours.index(tuple(pixel.tolist())) + 1 if pixel.any() else 0 for pixel in image.reshape(-1, 3)
    ]
    return np.array(numbers).reshape(image.shape[:2])


def box_of(group: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the pixels marked; the end excluded."""
    rows, columns = np.nonzero(group)
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def frame_of(group: np.ndarray, framing: str) -> tuple[float, float, float, float]:
    """Top, left, height, width of what a crop shows."""
    top, left, bottom, right = box_of(group)
    height, width = bottom - top, right - left
    if framing == "window":
        return top + height / 2 - 28, left + width / 2 - 28, 56, 56
    return top - 0.1 * height, left - 0.1 * width, 1.2 * height, 1.2 * width


def crop_of(numbers: np.ndarray, number: int, size: int, framing: str) -> np.ndarray:
    """Samples of the group, and of other groups, under every pixel of the crop."""
    top, left, height, width = frame_of(numbers == number, framing)
    crop = np.zeros((2, size, size), np.uint8)
    for i in range(size):
        for j in range(size):
            for down in SAMPLES:
                for right in SAMPLES:
                    y = int(np.floor(top + (i + down) * height / size))
                    x = int(np.floor(left + (j + right) * width / size))
                    if 0 <= y < numbers.shape[0] and 0 <= x < numbers.shape[1] and numbers[y, x]:
                        crop[0 if numbers[y, x] == number else 1, i, j] += 1
    return crop


def shape_of(group: np.ndarray) -> list[float]:
    """Logarithms of area, height, width and the filled share of the box."""
    top, left, bottom, right = box_of(group)
    height, width, area = bottom - top, right - left, group.sum()
    return [np.log(area), np.log(height), np.log(width), np.log(area / (height * width))]
