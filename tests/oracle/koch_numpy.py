"""Koch's network and affine distortions in plain NumPy, one drawing and one pixel at a time, in float64."""

import math

import numpy as np

KERNELS = (10, 7, 4, 4)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def valid_convolution(x, weight, bias):
    n_out, _, kernel, _ = weight.shape
    height, width = x.shape[1] - kernel + 1, x.shape[2] - kernel + 1
    y = np.zeros((n_out, height, width))
    for row in range(height):
        for column in range(width):
            seen = x[:, row : row + kernel, column : column + kernel]
            y[:, row, column] = (weight * seen).sum((1, 2, 3)) + bias
    return y


def max_pool(x):
    channels, height, width = x.shape
    y = np.zeros((channels, height // 2, width // 2))
    for row in range(height // 2):
        for column in range(width // 2):
            y[:, row, column] = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max((1, 2))
    return y


def encode(image, weights):
    x = image[None].astype(np.float64)
    for place in range(len(KERNELS)):
        name = f"base.convolutions.{place}"
        x = np.maximum(0, valid_convolution(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
        if place < 3:
            x = max_pool(x)
    return sigmoid(weights["base.connected.weight"] @ x.ravel() + weights["base.connected.bias"])


def logit(first, second, weights):
    difference = abs(encode(first, weights) - encode(second, weights))
    return weights["output.weight"] @ difference + weights["output.bias"][0]


def affine(image, angle, shear_x, shear_y, scale_x, scale_y, move_x, move_y):
    """Ink is scaled, sheared, rotated and moved around the middle; read bilinearly, pixel by pixel."""
    side = len(image)
    middle = (side - 1) / 2
    result = np.zeros((side, side))
    # Rotation after shear, written out.
    a, b = math.cos(angle), math.sin(angle)
    k, l = math.tan(shear_x), math.tan(shear_y)
    xx, xy = scale_x * (a - b * l), scale_y * (a * k - b)
    yx, yy = scale_x * (b + a * l), scale_y * (b * k + a)
    determinant = xx * yy - xy * yx
    for row in range(side):
        for column in range(side):
            x, y = column - middle - move_x, row - middle - move_y
            from_x = (yy * x - xy * y) / determinant + middle
            from_y = (-yx * x + xx * y) / determinant + middle
            result[row, column] = bilinear(image, from_y, from_x)
    return result


def bilinear(image, y, x):
    """Between the four nearest pixels; outside the image all is paper."""
    top, left = math.floor(y), math.floor(x)
    value = 0.0
    for row, column in [(top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)]:
        if 0 <= row < len(image) and 0 <= column < len(image):
            value += (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return value
