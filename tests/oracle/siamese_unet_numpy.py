"""Siamese-U-Net and its losses in plain NumPy, written from the paper's description, one scene at a time.

Arrays are (channels, height, width) in float64; `weights` maps the network's parameter names to arrays.
"""

import math

import numpy as np

ENCODER_POOLS = {"target_encoder": (0, 1, 2, 3, 4), "scene_encoder": (0, 1, 2)}


def same_convolution(x, weight, dilation=1):
    """TensorFlow's SAME padding at stride 1, from its own formula, and a convolution pixel by pixel."""
    n_out, _, kernel, _ = weight.shape
    _, height, width = x.shape
    reach = (kernel - 1) * dilation + 1
    pad_height = max((height - 1) + reach - height, 0)
    pad_width = max((width - 1) + reach - width, 0)
    top, left = pad_height // 2, pad_width // 2
    padded = np.pad(x, ((0, 0), (top, pad_height - top), (left, pad_width - left)))
    y = np.zeros((n_out, height, width))
    for row in range(height):
        for column in range(width):
            seen = padded[:, row : row + reach : dilation, column : column + reach : dilation]
            y[:, row, column] = (weight * seen).sum((1, 2, 3))
    return y


def layer_norm(x, shift=None):
    y = (x - x.mean()) / np.sqrt(x.var() + 1e-12)
    return y if shift is None else y + shift[:, None, None]


def average_pool(x, size=2):
    channels, height, width = x.shape
    y = np.zeros((channels, height // size, width // size))
    for row in range(height // size):
        for column in range(width // size):
            y[:, row, column] = x[
                :, size * row : size * row + size, size * column : size * column + size
            ].mean((1, 2))
    return y


def upsample(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def block(x, weights, name, dilation=1, relu=True):
    y = layer_norm(same_convolution(x, weights[f"{name}.weight"], dilation), weights[f"{name}.shift"])
    return np.maximum(y, 0) if relu else y


def encode(x, weights, encoder):
    outputs = []
    for step in range(6):
        dilation = 2 if encoder == "scene_encoder" and step == 4 else 1
        y = block(x, weights, f"{encoder}.layers.{step}", dilation)
        outputs.append(y)
        x = average_pool(y) if step in ENCODER_POOLS[encoder] else y
    return outputs


def match(target_code, scene_code):
    matched = np.zeros_like(scene_code)
    for row in range(scene_code.shape[1]):
        for column in range(scene_code.shape[2]):
            matched[:, row, column] = (target_code @ scene_code[:, row, column]) * target_code
    return layer_norm(matched)


def decode(matched, skips, weights):
    x = matched
    for step in range(6):
        x = np.concatenate([x, skips[5 - step]])
        x = block(x, weights, f"decoder.layers.{step}", relu=step != 5)
        if step in (2, 3, 4):
            x = upsample(x)
    return x


def forward(scene, target, weights):
    skips = encode(scene, weights, "scene_encoder")
    target_code = encode(target, weights, "target_encoder")[-1][:, 0, 0]
    return decode(match(target_code, skips[-1]), skips, weights)


def softmax(x, axis):
    exponentials = np.exp(x - x.max(axis, keepdims=True))
    return exponentials / exponentials.sum(axis, keepdims=True)


def cross_entropy(logits, mask):
    """Mean over the pixels of one scene."""
    probabilities = softmax(logits, 0)
    losses = [-math.log(probabilities[int(mask[place]), *place]) for place in np.ndindex(*mask.shape)]
    return sum(losses) / len(losses)


def matching_loss(target_codes, scene_codes, visible, log_scale):
    """target_codes (scenes, characters, channels), scene_codes (scenes, channels, h, w), visible maps."""
    n_scenes, n_characters, n_channels = target_codes.shape
    losses = []
    for scene in range(n_scenes):
        for character in range(n_characters):
            if visible[scene, character].sum() == 0:
                continue
            goal = np.zeros((n_scenes, *visible.shape[2:]))
            goal[scene] = visible[scene, character] / visible[scene, character].sum()
            scores = np.einsum("c,schw->shw", target_codes[scene, character], scene_codes)
            scores = scores * math.exp(log_scale) / math.sqrt(n_channels)
            shares = softmax(scores.reshape(-1), 0)
            losses.append(-(goal.reshape(-1) * np.log(shares)).sum())
    return sum(losses) / len(losses)
