"""Siamese-U-Net: segments, in a cluttered scene, the one character that a target image shows.

Source: Michaelis, Bethge, Ecker, One-Shot Segmentation in Clutter (ICML 2018), section 4;
github.com/michaelisc/cluttered-omniglot at 0cd38ba.
"""

import math
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.training.initial_weights import fill_truncated_normal

NORM_EPSILON = 1e-12
WEIGHT_DECAY = 1e-9
UPSAMPLED_STEPS = (2, 3, 4)  # of the decoder's six steps: from 12 x 12 to 24, 48, 96


def layer_norm(
    x: Float[Tensor, "b c h w"], shift: Float[Tensor, " c"] | None = None
) -> Float[Tensor, "b c h w"]:
    """Normalise every sample over channels, height and width together, then shift its channels.

    Quirk: no learned scale, and a tiny epsilon, as published (TensorFlow's contrib.layers.layer_norm).
    """
    if x.is_cuda and not x.is_contiguous():
        return pixelwise_layer_norm(x, shift)
    # A group norm with one group is the same thing, in one kernel. torch 2.13 cannot differentiate a shift
    # without a scale on a CPU, so the scale is one.
    scale = None if shift is None else torch.ones_like(shift)
    return F.group_norm(x, 1, scale, shift, NORM_EPSILON)


def pixelwise_layer_norm(
    x: Float[Tensor, "b c h w"], shift: Float[Tensor, " c"] | None = None
) -> Float[Tensor, "b c h w"]:
    """Do the same for channels that lie side by side, and stay so; the result is float32.

    PyTorch's own kernel for GPUs gives back whole channels one after the other, in which order all layers
    after the first would then compute. Compiled, this takes as few passes over memory.
    """
    pixels = x.permute(0, 2, 3, 1)
    values = pixels.flatten(1).float()
    variance, mean = torch.var_mean(values, 1, correction=0, keepdim=True)
    normed = ((values - mean) * (variance + NORM_EPSILON).rsqrt()).view(pixels.shape)
    if shift is not None:
        normed = normed + shift
    return normed.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Convolution without bias, layer norm, a learned shift per channel, ReLU; the size stays.

    Weights are NaN until initialised or loaded, so that forgetting either shows at once.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, *, dilation: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((n_out, n_in, kernel, kernel), torch.nan))
        self.shift = nn.Parameter(torch.zeros(n_out))
        self.dilation = dilation
        self.relu = relu
        # TensorFlow's SAME: what cannot be shared evenly goes to the bottom and to the right.
        reach = dilation * (kernel - 1)
        self.padding = reach // 2
        self.extra = reach % 2

    def initialise(self, generator: np.random.Generator) -> None:
        """Draw weights from a normal cut at two sigma = sqrt(1.3 * 2 / mean of fan-in and fan-out).

        Source: TensorFlow 1, contrib.layers.variance_scaling_initializer(mode="FAN_AVG").
        Quirk: sigma is the deviation before the cut; 1.3 makes up for what the cut takes away.
        """
        n_out, n_in, height, width = self.weight.shape
        sigma = math.sqrt(1.3 * 2 / (height * width * (n_in + n_out) / 2))
        fill_truncated_normal(self.weight, sigma, generator)
        nn.init.zeros_(self.shift)

    def convolve(self, x: Float[Tensor, "b n_in h w"]) -> Float[Tensor, "b n_out h w"]:
        if self.extra:
            x = F.pad(x, (0, self.extra, 0, self.extra))
        return F.conv2d(x, self.weight, padding=self.padding, dilation=self.dilation)

    def forward(self, x: Float[Tensor, "b n_in h w"]) -> Float[Tensor, "b n_out h w"]:
        convolved = self.convolve(x)
        y = layer_norm(convolved, self.shift)
        # Normalised in float32 whatever is asked for; the next layer reads what convolutions give. Not so the
        # logits, which would lose what tells a probability of 0.3 from its neighbours.
        return F.relu(y).to(convolved.dtype) if self.relu else y


class Blocks(nn.Module):
    """Network, or part of one, that is made of blocks."""

    def blocks(self) -> list[Block]:
        return [module for module in self.modules() if isinstance(module, Block)]


class Encoder(Blocks):
    """Six blocks, the first `n_pools` of them followed by a 2 x 2 average pool."""

    def __init__(self, feature_maps: int, *, n_pools: int, dilation: int) -> None:
        super().__init__()
        f = feature_maps
        self.n_pools = n_pools
        self.layers = nn.ModuleList(
            [
                Block(3, 2 * f, 3),
                Block(2 * f, 4 * f, 3),
                Block(4 * f, 8 * f, 3),
                Block(8 * f, 8 * f, 3),
                Block(8 * f, 16 * f, 2, dilation=dilation),
                Block(16 * f, 16 * f, 1),
            ]
        )

    def pool(self, step: int, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return F.avg_pool2d(x, 2) if step < self.n_pools else x

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Give the outputs of all six blocks, before pooling; the last one is the code."""
        outputs: list[Tensor] = []
        for step, layer in enumerate(self.layers):
            outputs.append(layer(x))
            x = self.pool(step, outputs[-1])
        return outputs


class Decoder(Blocks):
    """Six blocks, each on the current map and the scene encoder's output of the same level."""

    def __init__(self, feature_maps: int) -> None:
        super().__init__()
        f = feature_maps
        self.layers = nn.ModuleList(
            [
                Block(16 * f + 16 * f, 8 * f, 1),
                Block(8 * f + 16 * f, 8 * f, 2),
                Block(8 * f + 8 * f, 4 * f, 3),
                Block(4 * f + 8 * f, 4 * f, 3),
                Block(4 * f + 4 * f, 2 * f, 3),
                # Quirk: the logits pass the layer norm too.
                Block(2 * f + 2 * f, 2, 3, relu=False),
            ]
        )

    def forward(
        self, matched: Float[Tensor, "b c h w"], skips: list[Float[Tensor, "b _ _ _"]]
    ) -> Float[Tensor, "b 2 8*h 8*w"]:
        x = matched
        for step, (layer, skip) in enumerate(zip(self.layers, reversed(skips), strict=True)):
            x = layer(torch.cat([x, skip], dim=1))
            if step in UPSAMPLED_STEPS:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return x


def correlate(
    target_codes: Float[Tensor, "b c"], scene_codes: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b h w"]:
    """Compute the dot product over channels of a target's code with every location of its scene."""
    return torch.einsum("bc,bchw->bhw", target_codes, scene_codes)


def spread(
    correlation: Float[Tensor, "b h w"], target_codes: Float[Tensor, "b c"]
) -> Float[Tensor, "b c h w"]:
    """Make the matched map: the correlation times the target's code, normalised (no scale, no shift)."""
    # With the channels of a pixel side by side; joined with a scene's codes, their order prevails.
    matched = (correlation[..., None] * target_codes[:, None, None]).permute(0, 3, 1, 2)
    return layer_norm(matched).to(target_codes.dtype)


class SiameseUNet(Blocks):
    """Siamese-U-Net: 3,223,922 parameters at the published 24 feature maps.

    Scenes and targets are normalised pixels (see `segment.batches`); the logits' channels are background and
    foreground. All weights are NaN until `initialise` is called or weights are loaded.
    """

    # One after another, each with its loss, by name: losses import networks.
    trainings: ClassVar = {"segmentation": "oneshot.segment.losses.SegmentationLoss"}

    def __init__(self, feature_maps: int = 24) -> None:
        super().__init__()
        self.feature_maps = feature_maps
        self.target_encoder = Encoder(feature_maps, n_pools=5, dilation=1)
        self.scene_encoder = Encoder(feature_maps, n_pools=3, dilation=2)
        self.decoder = Decoder(feature_maps)

    def initialise(self, generator: np.random.Generator) -> "SiameseUNet":
        for block in self.blocks():
            block.initialise(generator)
        return self

    def start_from(self, other: "SiameseUNet", generator: np.random.Generator) -> "SiameseUNet":
        """Take over the weights of another one of the same size; nothing is drawn."""
        self.load_state_dict(other.state_dict())
        return self

    def encode_target(self, targets: Float[Tensor, "b 3 32 32"]) -> Float[Tensor, "b c"]:
        """Give one code per target, 16 x feature maps long."""
        return self.target_encoder(targets)[-1].flatten(1)

    def encode_scene(self, scenes: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Give the six layers' outputs, for `decode`; the last one holds a code per location (h/8 x w/8)."""
        return self.scene_encoder(scenes)

    def match(
        self, target_codes: Float[Tensor, "b c"], scene_codes: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        return spread(correlate(target_codes, scene_codes), target_codes)

    def decode(
        self, matched: Float[Tensor, "b c h w"], skips: list[Float[Tensor, "b _ _ _"]]
    ) -> Float[Tensor, "b 2 8*h 8*w"]:
        """Give logits of the mask that a matched map asks for, in the scene whose layers are `skips`."""
        return self.decoder(matched, skips)

    def forward(
        self, scenes: Float[Tensor, "b 3 h w"], targets: Float[Tensor, "b 3 32 32"]
    ) -> Float[Tensor, "b 2 h w"]:
        skips = self.encode_scene(scenes)
        return self.decode(self.match(self.encode_target(targets), skips[-1]), skips)


def weight_decay_loss(net: Blocks) -> Float[Tensor, ""]:
    """Compute 1e-9 * sum(w^2) / 2 over the convolution weights; the shifts are left out."""
    weights: list[Tensor] = [block.weight for block in net.blocks()]
    if weights[0].is_cuda:  # in few kernels: a GPU's time goes into launching them
        return WEIGHT_DECAY / 2 * torch.stack(torch._foreach_norm(weights)).square().sum()
    return WEIGHT_DECAY / 2 * torch.stack([weight.square().sum() for weight in weights]).sum()
