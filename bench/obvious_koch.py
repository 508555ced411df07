"""Koch's network as one would first write it in PyTorch: the baseline of ``python -m bench.koch``.

A Dataset that picks two drawings of a raw array and distorts each with Pillow, a DataLoader, Adam.
"""

import math
import random

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

MIDDLE = np.array([52.5, 52.5])  # in Pillow's coordinates pixels have their middles at one half


class ObviousKoch(nn.Module):
    def __init__(self, channels, n_code):
        super().__init__()
        a, b, c, d = channels
        self.base = nn.Sequential(
            nn.Conv2d(1, a, 10), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(a, b, 7), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(b, c, 4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(c, d, 4), nn.ReLU(), nn.Flatten(),
            nn.Linear(d * 36, n_code), nn.Sigmoid(),
        )  # fmt: skip
        self.output = nn.Linear(n_code, 1)

    def forward(self, first, second):
        return self.output(torch.abs(self.base(first) - self.base(second)))[:, 0]


def with_weights_of(net) -> ObviousKoch:
    """Build the same network as ours, with the same weights."""
    ours = net.base
    obvious = ObviousKoch(ours.settings["channels"], ours.n_code)
    layers = [*ours.convolutions, ours.connected]
    theirs = [module for module in obvious.base if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer, mine in zip(theirs, layers, strict=True):
        layer.load_state_dict(mine.state_dict())
    state = net.output.state_dict()
    obvious.output.load_state_dict({"weight": state["weight"][None], "bias": state["bias"]})
    return obvious


def distort(image):
    """Distort one drawing by Pillow: rotation, shear, scale, translation, each present half the time."""

    def drawn(reach):
        return random.uniform(-reach, reach) if random.random() < 0.5 else 0.0

    angle, k, l = drawn(math.radians(10)), math.tan(drawn(0.3)), math.tan(drawn(0.3))
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = np.array([[cosine, -sine], [sine, cosine]]) @ [[1, k], [l, 1]]
    inverse = np.linalg.inv(turned @ np.diag([1 + drawn(0.2), 1 + drawn(0.2)]))
    move = MIDDLE - inverse @ (MIDDLE + np.array([drawn(2.0), drawn(2.0)]))
    data = (*inverse[0], move[0], *inverse[1], move[1])
    whole = Image.fromarray(255 * image)
    return np.array(whole.transform(whole.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR))


class PairsOfDrawings(Dataset):
    def __init__(self, drawings, characters, n_pairs):
        self.drawings, self.characters, self.n_pairs = drawings, characters, n_pairs

    def __len__(self):
        return self.n_pairs

    def __getitem__(self, index):
        first = second = random.choice(self.characters)
        while index % 2 and first == second:
            second = random.choice(self.characters)
        images = [distort(self.drawings[c, random.randrange(12)]) for c in (first, second)]
        tensors = [torch.from_numpy(image)[None].float() / 255 for image in images]
        return *tensors, torch.tensor(float(first == second))


def batches(drawings, characters, batch_size, n_workers):
    """Yield batches without end."""
    data = PairsOfDrawings(drawings, characters, 10**6)
    while True:
        yield from DataLoader(data, batch_size=batch_size, num_workers=n_workers, shuffle=True)


@torch.no_grad()
def score(net, queries, supports):
    """Score every query beside every support, encoded anew for each pair."""
    rows = []
    for query in queries:
        rows.append(net(query.expand(len(supports), 1, 105, 105), supports[:, None]))
    return torch.stack(rows)
