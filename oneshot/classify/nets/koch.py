"""Koch's siamese network: says whether two drawings are the same character.

Source: Koch, Zemel, Salakhutdinov, Siamese Neural Networks for One-shot Image Recognition (2015), section 3.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.classify.nets.ink_box import crop_to_ink
from oneshot.classify.nets.network import Network, one_channel
from oneshot.omniglot.drawings import SIDE
from oneshot.training.initial_weights import fill_he, fill_normal

KERNELS = (10, 7, 4, 4)
MAP_SIDE = 6  # of the last convolution's maps, for drawings of 105 x 105
# Standard deviations of initial weights; biases are drawn around 0.5.
CONVOLUTION_SIGMA = 0.01
CONNECTED_SIGMA = 0.2
BIAS_MEAN, BIAS_SIGMA = 0.5, 0.01
SMALLEST = 1e-6  # a unit (or logit) that varies less is not scaled


class WeightedDistance(nn.Module):
    """One linear unit on the componentwise |h1 - h2|, in float32; NaN until initialised or loaded."""

    def __init__(self, n_code: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_code,), torch.nan))
        self.bias = nn.Parameter(torch.full((1,), torch.nan))

    def forward(self, first: Float[Tensor, "*#b c"], second: Float[Tensor, "*#b c"]) -> Float[Tensor, "..."]:
        return ((first - second).abs() * self.weight).sum(-1) + self.bias


Layer = nn.Conv2d | nn.Linear | WeightedDistance


def initialise_layer(layer: Layer, sigma: float, generator: np.random.Generator) -> None:
    fill_normal(layer.weight, sigma, generator)
    assert layer.bias is not None
    fill_normal(layer.bias, BIAS_SIGMA, generator, BIAS_MEAN)


class KochBase(nn.Module):
    """105 x 105 drawings, ink 1, to codes in 0..1, one each; weights are NaN until initialised or loaded.

    normalised: a drawing is first cropped to the box around its ink, and resampled to 105 x 105.
    """

    memory_format = torch.contiguous_format  # of what convolutions read; see set_order

    def __init__(self, channels: Sequence[int], n_code: int, normalised: bool = False) -> None:
        super().__init__()
        self.n_code, self.normalised = n_code, normalised
        widths = (1, *channels)
        sizes = zip(pairwise(widths), KERNELS, strict=True)
        convolutions = [nn.utils.skip_init(nn.Conv2d, *ends, kernel) for ends, kernel in sizes]
        self.convolutions = nn.ModuleList(convolutions)
        self.connected = nn.utils.skip_init(nn.Linear, channels[-1] * MAP_SIDE**2, n_code)
        for parameter in self.parameters():
            nn.init.constant_(parameter, torch.nan)

    def initialise(self, generator: np.random.Generator) -> "KochBase":
        """Draw convolutions from N(0, 0.01), the connected layer from N(0, 0.2), biases from N(0.5, 0.01)."""
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            initialise_layer(convolution, CONVOLUTION_SIGMA, generator)
        initialise_layer(self.connected, CONNECTED_SIGMA, generator)
        return self

    def forward(self, images: Float[Tensor, "b 105 105"]) -> Float[Tensor, "b n_code"]:
        cropped = crop_to_ink(images, SIDE) if self.normalised else images
        x = one_channel(cropped, self.memory_format)
        for place, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if place < len(KERNELS) - 1:
                x = F.max_pool2d(x, 2)
            x = F.relu(x)  # after the pool it gives the same, on a quarter of the numbers
        # In float32: near 0 and 1 bfloat16 would lose the differences that are to be weighed.
        return torch.sigmoid(self.connected(x.flatten(1)).float())


class SiamesePair(Network):
    """Any base twice, and the distance of its codes; a network is one with a base of its own.

    A base turns drawings into codes; it has n_code and initialise(generator).
    """

    judges_pairs = True
    score_name = "probability of the same class"

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        self.n_code = base.n_code
        self.output = WeightedDistance(base.n_code)

    def initialise(self, generator: np.random.Generator) -> "SiamesePair":
        self.base.initialise(generator)
        initialise_layer(self.output, CONNECTED_SIGMA, generator)
        return self

    @property
    def encoder(self) -> nn.Module:
        return self.base

    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        return self.output(queries[:, None], supports[None])

    def present(self, scores: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Give the probability that two images are of the same class: half of a pair set's are."""
        return torch.sigmoid(scores)

    def judge(self, first: Float[Tensor, "b c"], second: Float[Tensor, "b c"]) -> Float[Tensor, " b"]:
        return self.output(first, second)

    def forward(self, first: Float[Tensor, "b h w"], second: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
        """Give logits: positive for the same character."""
        codes = self.base(torch.cat([first, second]))
        return self.judge(*codes.chunk(2))


class Koch(SiamesePair):
    """The published network: 38,951,745 parameters; `normalised` is ours, see `KochBase`."""

    def __init__(
        self, channels: Sequence[int] = (64, 128, 128, 256), n_code: int = 4096, normalised: bool = False
    ) -> None:
        super().__init__(KochBase(channels, n_code, normalised))
        self.settings = {"channels": list(channels), "n_code": n_code, "normalised": normalised}


class KochSmall(Koch):
    """The same shape with few channels, for laptops and tests."""

    def __init__(
        self, channels: Sequence[int] = (16, 32, 32, 64), n_code: int = 256, normalised: bool = False
    ) -> None:
        super().__init__(channels, n_code, normalised)


@torch.no_grad()
def initialise_scaled(
    net: SiamesePair, images: Float[Tensor, "b h w"], generator: np.random.Generator
) -> SiamesePair:
    """Scale every convolution's and linear unit's sum to mean 0 and deviation 1 over these images.

    With the published weights all codes are nearly alike, or at 0 and 1: learning starts late.
    The output starts as the nearest neighbour in codes: all weights the same and negative, so that over pairs
    of images the logit has mean 0 and deviation 1. Some hundred drawings do; without them it is not defined.

    Source: Salimans, Kingma, Weight Normalization (NeurIPS 2016), section 3, without its normalised weights.
    """
    net.base.initialise(generator)
    hooks = []
    for layer in net.base.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fill_he(layer.weight, generator)
            hooks.append(layer.register_forward_hook(standardise))
    codes = net.base(images)
    for hook in hooks:
        hook.remove()
    distances = torch.stack([(codes - codes.roll(k, 0)).abs().sum(1) for k in range(1, len(codes))])
    deviation = distances.std().item()
    scale = 1 / deviation if deviation > SMALLEST else 1.0
    nn.init.constant_(net.output.weight, -scale)
    nn.init.constant_(net.output.bias, scale * distances.mean().item())
    return net


def standardise(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Change the layer, as a forward hook, so that this very output has mean 0, deviation 1 in each unit."""
    axes = [axis for axis in range(output.ndim) if axis != 1]
    deviation, mean = torch.std_mean(output, axes, keepdim=True)
    deviation = torch.where(deviation > SMALLEST, deviation, 1)
    layer.weight /= deviation.reshape(-1, *[1] * (layer.weight.ndim - 1))
    assert layer.bias is not None
    layer.bias.copy_((layer.bias - mean.flatten()) / deviation.flatten())
    return (output - mean) / deviation
