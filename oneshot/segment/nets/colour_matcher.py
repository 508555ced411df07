"""Colour matcher: chooses the target among the groups of a scene's pixels that share one colour.

No network of the paper: it takes for granted that a character has one flat colour. What is left is the choice
that MaskNet's discriminator makes, among the scene's colours in place of 144 learned proposals.
"""

from functools import reduce
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.segment.groups import CROP_SIZE, N_SHAPE, Framing
from oneshot.training.initial_weights import fill_he

FIRST_LOG_SCALE = 2.3
COARSE = 4  # pixels of a crop, each way, that a glance takes together


class ConvolutionStep(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )


class GroupEncoder(nn.Module):
    """Encoder of cropped groups: a code, and one number that is the group's own, whatever the target."""

    def __init__(
        self, pixels: nn.Module, n_pixels: int, sizes: tuple[int, int, int], n_channels: int
    ) -> None:
        """Begin with `pixels`, which gives `n_pixels` features; `sizes`: of the shape's, hidden and code."""
        super().__init__()
        self.n_channels = n_channels
        n_shape, n_hidden, n_code = sizes
        self.pixels = pixels
        self.shapes = nn.Linear(N_SHAPE, n_shape)
        self.hidden = nn.Linear(n_pixels + n_shape, n_hidden)
        self.code = nn.Linear(n_hidden, n_code + 1)

    def forward(
        self, pixels: Float[Tensor, "n 2 size size"], shapes: Float[Tensor, "n 4"]
    ) -> tuple[Float[Tensor, "n n_code"], Float[Tensor, " n"]]:
        """Give codes of length 1, and the groups' own numbers."""
        features = torch.cat([self.pixels(pixels[:, : self.n_channels]), self.shapes(shapes)], 1)
        codes = self.code(F.relu(self.hidden(features))).float()
        return F.normalize(codes[:, :-1], dim=1), codes[:, -1]


def build_encoder(feature_maps: int, n_channels: int) -> GroupEncoder:
    """Build a convolutional encoder of the whole crop."""
    f = feature_maps
    pixels = nn.Sequential(
        ConvolutionStep(n_channels, f, 5, stride=2),
        ConvolutionStep(f, 2 * f, 3),
        nn.MaxPool2d(2),
        ConvolutionStep(2 * f, 4 * f, 3),
        nn.MaxPool2d(2),
        ConvolutionStep(4 * f, 4 * f, 3),
        nn.Flatten(),
    )
    return GroupEncoder(pixels, 4 * f * (CROP_SIZE // 8) ** 2, (64, 256, 128), n_channels)


class CoarseMeans(nn.Module):
    """Means over squares of the crop: an average pool, which on a CPU is slow in channels_last."""

    def forward(self, pixels: Float[Tensor, "n c size size"]) -> Float[Tensor, "n features"]:
        rows = reduce(torch.add, [pixels[..., k::COARSE, :] for k in range(COARSE)])
        sums = reduce(torch.add, [rows[..., k::COARSE] for k in range(COARSE)])
        return (sums / COARSE**2).flatten(1)


def build_coarse_encoder(n_channels: int) -> GroupEncoder:
    """Build one of the crop's means over 4 x 4 pixels, which takes a thirtieth of the time."""
    return GroupEncoder(CoarseMeans(), n_channels * (CROP_SIZE // COARSE) ** 2, (16, 128, 32), n_channels)


class EncoderPair(nn.Module):
    """Encoders of groups and of targets, and the scale of their cosine.

    A group's score for a target: exp(log_scale) * cosine of their codes + the group's own number.
    """

    def __init__(self, groups: GroupEncoder, targets: GroupEncoder) -> None:
        super().__init__()
        self.groups, self.targets = groups, targets
        self.log_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))


class ColourMatcher(nn.Module):
    """Network that scores how much a group of pixels is the target.

    It reads groups and targets as `oneshot.segment.groups` crops them. At a glance, coarsely, it looks at all
    groups of a scene, with `whole` only at those that score best at it. `feature_maps`: of the first layer.
    """

    # One after another, each with its loss, by name: losses import networks.
    trainings: ClassVar = {"segmentation": "oneshot.segment.matcher_losses.MatcherLoss"}
    chooses = True  # among groups
    framing: ClassVar[Framing] = "box"
    n_channels: ClassVar[int] = 2  # of a crop: the group's ink, other groups' ink

    def __init__(self, feature_maps: int = 24) -> None:
        super().__init__()
        self.feature_maps = feature_maps
        n = self.n_channels
        self.glance = EncoderPair(build_coarse_encoder(n), build_coarse_encoder(n))
        self.whole = EncoderPair(build_encoder(feature_maps, n), build_encoder(feature_maps, n))

    def initialise(self, generator: np.random.Generator) -> "ColourMatcher":
        """Draw the initial weights; all randomness comes from the generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fill_he(module.weight, generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        return self

    def start_from(self, other: "ColourMatcher", generator: np.random.Generator) -> "ColourMatcher":
        """Take over the weights of another one of the same size; nothing is drawn."""
        self.load_state_dict(other.state_dict())
        return self


class ColourMatcherWithoutOthers(ColourMatcher):
    """Variant that is not shown where other characters are."""

    n_channels: ClassVar[int] = 1


class ColourMatcherWithoutBoxes(ColourMatcher):
    """Variant whose crops show all groups at one size, around the centre of their boxes."""

    framing: ClassVar[Framing] = "window"
