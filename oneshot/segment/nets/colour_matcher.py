"""Colour matcher: chooses the target among the groups of a scene's pixels that share one colour.

No network of the paper: it takes for granted that a character has one flat colour. What is left is the choice
that MaskNet's discriminator makes, among the scene's colours in place of 144 learned proposals.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.segment.groups import CROP_SIZE, N_SHAPE, Framing

N_CODE = 128
FIRST_LOG_SCALE = 2.3


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

    def __init__(self, feature_maps: int, n_channels: int) -> None:
        super().__init__()
        f = feature_maps
        self.n_channels = n_channels
        self.pixels = nn.Sequential(
            ConvolutionStep(n_channels, f, 5, stride=2),
            ConvolutionStep(f, 2 * f, 3),
            nn.MaxPool2d(2),
            ConvolutionStep(2 * f, 4 * f, 3),
            nn.MaxPool2d(2),
            ConvolutionStep(4 * f, 4 * f, 3),
            nn.Flatten(),
        )
        self.shapes = nn.Linear(N_SHAPE, 64)
        self.hidden = nn.Linear(4 * f * (CROP_SIZE // 8) ** 2 + 64, 256)
        self.code = nn.Linear(256, N_CODE + 1)

    def forward(
        self, pixels: Float[Tensor, "n 2 size size"], shapes: Float[Tensor, "n 4"]
    ) -> tuple[Float[Tensor, "n n_code"], Float[Tensor, " n"]]:
        """Give codes of length 1, and the groups' own numbers."""
        features = torch.cat([self.pixels(pixels[:, : self.n_channels]), self.shapes(shapes)], 1)
        codes = self.code(F.relu(self.hidden(features))).float()
        return F.normalize(codes[:, :-1], dim=1), codes[:, -1]


class ColourMatcher(nn.Module):
    """Network that scores how much a group of pixels is the target: exp(learned) * cosine + its own number.

    It reads groups and targets as `oneshot.segment.groups` crops them. `feature_maps`: of the first layer.
    """

    # One after another, each with its loss, by name: losses import networks.
    trainings: ClassVar = {"segmentation": "oneshot.segment.matcher_losses.MatcherLoss"}
    chooses = True  # among groups
    framing: ClassVar[Framing] = "box"
    n_channels: ClassVar[int] = 2  # of a crop: the group's ink, other groups' ink

    def __init__(self, feature_maps: int = 24) -> None:
        super().__init__()
        self.feature_maps = feature_maps
        self.group_encoder = GroupEncoder(feature_maps, self.n_channels)
        self.target_encoder = GroupEncoder(feature_maps, self.n_channels)
        self.log_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))

    def initialise(self, generator: torch.Generator) -> "ColourMatcher":
        """Draw the initial weights; all randomness comes from the generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        return self

    def start_from(self, other: "ColourMatcher", generator: torch.Generator) -> "ColourMatcher":
        """Take over the weights of another one of the same size; nothing is drawn."""
        self.load_state_dict(other.state_dict())
        return self


class ColourMatcherWithoutOthers(ColourMatcher):
    """Variant that is not shown where other characters are."""

    n_channels: ClassVar[int] = 1


class ColourMatcherWithoutBoxes(ColourMatcher):
    """Variant whose crops show all groups at one size, around the centre of their boxes."""

    framing: ClassVar[Framing] = "window"
