"""MaskNet in plain NumPy, written from the paper's description, one proposal at a time, each decoded whole.

Arrays are (channels, height, width) in float64; `weights` maps MaskNet's parameter names to arrays.
"""

import math

import numpy as np

from tests.oracle import siamese_unet_numpy as siamese


def part(weights, name):
    """The weights of one part of the network, by the names that they have within it."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(name)}


def decode_proposal(scene_layers, target_code, location, weights):
    """Logits of one location (row, column): the matching map is masked to it before it is normalised."""
    height, width = scene_layers[-1].shape[1:]
    masked = np.zeros((len(target_code), height, width))
    row, column = location
    masked[:, row, column] = (target_code * scene_layers[-1][:, row, column]).sum() * target_code
    return siamese.decode(siamese.layer_norm(masked), scene_layers, weights)


def centre_of_mass(mask):
    """(row, column), each floored to a whole pixel."""
    rows, columns = np.nonzero(mask)
    return (int(rows.sum() // len(rows)), int(columns.sum() // len(columns))) if len(rows) else (0, 0)


def near_locations(mask):
    """Floor and ceiling of both coordinates of the centre of mass over 8, the last location at most."""
    last = mask.shape[0] // 8 - 1
    row, column = (coordinate / 8 for coordinate in centre_of_mass(mask))
    return [
        (min(r, last), min(c, last))
        for r in (math.floor(row), math.ceil(row))
        for c in (math.floor(column), math.ceil(column))
    ]


def crop(mask, size=32):
    """A spatial transformer at a scale of one third, pixel by pixel.

    Coordinates run from -1 to 1 over the scene; the centre c of n pixels is at 2 c / (n - 1) - 1, and a
    coordinate x is read at pixel (x + 1) n / 2, between the four pixels around it; outside there is nothing.
    """
    n = mask.shape[0]
    centre = [2 * c / (n - 1) - 1 for c in centre_of_mass(mask)]
    cropped = np.zeros((size, size))
    for i, y in enumerate(np.linspace(-1, 1, size)):
        for j, x in enumerate(np.linspace(-1, 1, size)):
            row, column = ((v / 3 + c + 1) * n / 2 for v, c in zip((y, x), centre, strict=True))
            top, left = math.floor(row), math.floor(column)
            for r in (top, top + 1):
                for c in (left, left + 1):
                    if 0 <= row <= n - 1 and 0 <= column <= n - 1 and r < n and c < n:
                        cropped[i, j] += (1 - abs(row - r)) * (1 - abs(column - c)) * mask[r, c]
    return cropped


def foreground(logits):
    exponentials = np.exp(logits - logits.max(0))
    return exponentials[1] / exponentials.sum(0) > 0.3


def score(mask, target_code, weights, mean, std):
    image = np.repeat(((255 * crop(mask) - mean) / std)[None], 3, axis=0)
    encoder = {f"target_encoder.{key}": value for key, value in part(weights, "discriminator").items()}
    code = siamese.encode(image, encoder, "target_encoder")[-1].ravel()
    return 1 / (1 + math.exp(-(weights["score_weights"] * abs(code - target_code)).sum()))


def discriminator_loss(scores, same, weights):
    true = [-math.log(s + 1e-4) if y else 0.0 for s, y in zip(scores, same, strict=True)]
    false = [-math.log(1 - s + 1e-4) if not y else 0.0 for s, y in zip(scores, same, strict=True)]
    squares = sum(
        (value**2).sum() for key, value in part(weights, "discriminator").items() if key.endswith("weight")
    )
    return np.mean(true) + np.mean(false) + 1e-9 * squares / 2
