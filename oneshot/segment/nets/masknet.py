"""MaskNet: segments what lies at each location of a scene, and answers with what looks most like the target.

Source: Michaelis, Bethge, Ecker, One-Shot Segmentation in Clutter (ICML 2018), section 4;
github.com/michaelisc/cluttered-omniglot at 0cd38ba.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from oneshot.segment.nets.siamese_unet import (
    NORM_EPSILON,
    UPSAMPLED_STEPS,
    Block,
    Blocks,
    Decoder,
    Encoder,
    SiameseUNet,
    correlate,
    layer_norm,
)
from oneshot.training.initial_weights import fill_uniform

# Results of a convolution, up to which it is done phase by phase: a transposed one writes every pixel in its
# place, but with two results takes 2.5 times as long (two CPU cores, 24 feature maps).
FEW_CHANNELS = 4


class MaskNet(Blocks):
    """A Siamese-U-Net that decodes one location at a time, and a discriminator of the masks that come of it.

    4,208,402 parameters at the published 24 feature maps. All weights are NaN until `start_from` is called or
    weights are loaded.
    """

    # One after another, each with its loss, by name: losses import networks.
    trainings: ClassVar = {
        "proposals": "oneshot.segment.masknet_losses.ProposalLoss",
        "discriminator": "oneshot.segment.masknet_losses.DiscriminatorLoss",
    }

    chooses = True  # among proposals

    def __init__(self, feature_maps: int = 24) -> None:
        super().__init__()
        self.feature_maps = feature_maps
        self.siamese = SiameseUNet(feature_maps)
        self.discriminator = Encoder(feature_maps, n_pools=5, dilation=1)
        self.score_weights = nn.Parameter(torch.full((16 * feature_maps,), torch.nan))

    def start_from(self, siamese: SiameseUNet, generator: np.random.Generator) -> "MaskNet":
        """Take over the weights of a trained Siamese-U-Net of the same size; draw those of the score.

        Source: TensorFlow 1, contrib.layers.fully_connected: uniform within sqrt(6 / (fan-in + fan-out)).
        """
        self.siamese.load_state_dict(siamese.state_dict())
        reach = math.sqrt(6 / (len(self.score_weights) + 1))
        fill_uniform(self.score_weights, reach, generator)
        self.discriminator.load_state_dict(self.siamese.target_encoder.state_dict())
        return self

    def encode(
        self, scenes: Float[Tensor, "b 3 h w"], targets: Float[Tensor, "b 3 32 32"]
    ) -> tuple[Float[Tensor, "b c"], list[Float[Tensor, "b _ _ _"]]]:
        """Give the targets' codes, and the outputs of the scene encoder's six layers."""
        return self.siamese.encode_target(targets), self.siamese.encode_scene(scenes)

    def score(
        self, crops: Float[Tensor, "n 3 32 32"], target_codes: Float[Tensor, "n c"]
    ) -> Float[Tensor, " n"]:
        """Score how much every crop looks like its target, in 0..1.

        Quirk: without a bias, so that 0.5 is what two equal codes get.
        """
        codes = self.discriminator(crops)[-1].flatten(1)
        differences = (whole(codes) - whole(target_codes)).abs()
        return torch.sigmoid((differences * self.score_weights).sum(1))


def whole(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert to single precision at least, where the network runs in something shorter."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class SharedSteps:
    """Results that all proposals of a scene share: nothing of them depends on the location.

    `skips`: of each of the decoder's six steps, what its convolution makes of the scene encoder's layer.
    `correlation`: of the target's code with every location. `spread_code`: what the first step makes of the
    target's code at a location, `background` of the constant that normalisation adds everywhere; both for a
    map of deviation 1. `variance`: of the matched map for a correlation of 1 at one location.
    """

    skips: list[Float[Tensor, "b _ _ _"]]
    correlation: Float[Tensor, "b h w"]
    spread_code: Float[Tensor, "b c"]
    background: Float[Tensor, "b c"]
    variance: Float[Tensor, " b"]


def convolve_with(
    layer: Block, x: Float[Tensor, "n n_in h w"], weight: Float[Tensor, "n_out n_in k k"]
) -> Float[Tensor, "n n_out h w"]:
    """Apply a block's convolution with some of its weights."""
    if layer.extra:
        x = F.pad(x, (0, layer.extra, 0, layer.extra))
    return F.conv2d(x, weight, padding=layer.padding, dilation=layer.dilation)


def share_steps(
    decoder: Decoder, target_codes: Float[Tensor, "b c"], skips: list[Float[Tensor, "b _ _ _"]]
) -> SharedSteps:
    """Compute, once for a scene and its target, what does not depend on the number of proposals."""
    layers = decoder.blocks()
    convolved = [
        convolve_with(layer, skip, layer.weight[:, layer.weight.shape[1] - skip.shape[1] :])
        for layer, skip in zip(layers, reversed(skips), strict=True)
    ]
    correlation = whole(correlate(target_codes, skips[-1]))
    codes = whole(target_codes)
    n_locations = correlation.shape[1] * correlation.shape[2]
    # The map is the code at one location and zero elsewhere: its mean and variance need no map.
    mean = codes.mean(1) / n_locations
    variance = codes.square().mean(1) / n_locations - mean.square()
    first = whole(layers[0].weight[:, : codes.shape[1], 0, 0])
    with torch.autocast(codes.device.type, enabled=False):
        spread_code = codes @ first.T
    background = mean[:, None] * first.sum(1)
    return SharedSteps(convolved, correlation, spread_code, background, variance)


def first_step(
    layer: Block, shared: SharedSteps, locations: Int[Tensor, "b k"]
) -> Float[Tensor, "b*k n_out h w"]:
    """Apply the decoder's first block, of one location each: the matched map itself is never made.

    Masked to a location p, the correlation times the target's code is m_p * t at p and 0 elsewhere; then
    layer norm (no scale, no shift) divides by its deviation and subtracts its mean. A 1 x 1 convolution turns
    this into a constant, plus a multiple of what it makes of t, at p.
    """
    h, w = shared.skips[0].shape[2:]
    matched = shared.correlation.flatten(1).gather(1, locations)
    # Nearly the same for all locations: only the epsilon, and a correlation of zero, tell them apart.
    scale = matched * (matched.square() * shared.variance[:, None] + NORM_EPSILON).rsqrt()
    everywhere = scale[..., None] * shared.background[:, None]
    convolved = whole(shared.skips[0])[:, None] - everywhere[..., None, None]
    at_location = F.one_hot(locations, h * w).view(*locations.shape, 1, h, w)
    there = scale[..., None] * shared.spread_code[:, None]
    convolved = convolved + at_location * there[..., None, None]
    return finish_block(layer, convolved.flatten(0, 1), shared.skips[0].dtype)


def finish_block(
    layer: Block, convolved: Float[Tensor, "n c h w"], dtype: torch.dtype
) -> Float[Tensor, "n c h w"]:
    """Normalise, shift, rectify: what a block does after its convolution."""
    y = layer_norm(convolved, layer.shift)
    return F.relu(y).to(dtype) if layer.relu else y


def convolve_doubled(
    x: Float[Tensor, "n n_in h w"], weight: Float[Tensor, "n_out n_in 3 3"]
) -> Float[Tensor, "n n_out 2*h 2*w"]:
    """Convolve the map, each pixel doubled each way, by 3 x 3 (SAME padding) at 4/9 of the cost.

    Of the three rows that the kernel meets, two are copies of one: it acts as four 2 x 2 kernels on the map
    itself, one for even and odd rows and columns each.
    """
    if len(weight) > FEW_CHANNELS:
        return F.conv_transpose2d(x, transposed_kernel(weight), stride=2, padding=1)
    n, _, h, w = x.shape
    phases = F.conv2d(x, phase_kernels(weight), padding=1).unflatten(1, (2, 2, -1))
    rows = [torch.stack([phases[:, i, j, :, i : i + h, j : j + w] for j in (0, 1)], -1) for i in (0, 1)]
    return torch.stack(rows, 3).reshape(n, -1, 2 * h, 2 * w)


def transposed_kernel(weight: Float[Tensor, "n_out n_in 3 3"]) -> Float[Tensor, "n_in n_out 4 4"]:
    """Make all four kernels one of a transposed convolution of stride 2."""
    for axis in (2, 3):
        before, here, after = weight.unbind(axis)
        weight = torch.stack([after, here + after, before + here, before], axis)
    return weight.transpose(0, 1)


def phase_kernels(weight: Float[Tensor, "n_out n_in 3 3"]) -> Float[Tensor, "4*n_out n_in 2 2"]:
    """Make the four kernels, one by one: even rows and columns first, even rows and odd columns next."""
    kernels = []
    for rows in halves(weight, 2):
        kernels += halves(rows, 3)
    return torch.cat(kernels)


def halves(weight: Float[Tensor, "*shape"], axis: int) -> list[Float[Tensor, "*half"]]:
    """Turn three taps along an axis into those for even and for odd pixels: two taps each."""
    before, here, after = weight.unbind(axis)
    return [torch.stack([before, here + after], axis), torch.stack([before + here, after], axis)]


def decode_proposals(
    decoder: Decoder, shared: SharedSteps, locations: Int[Tensor, "b k"]
) -> Float[Tensor, "b k 2 height width"]:
    """Give logits of the masks of whatever lies at each of k locations (row * 12 + column) of every scene.

    Equal, but for rounding, to decoding the matched map with its correlation masked to that location.
    """
    layers = decoder.blocks()
    b, k = locations.shape
    x = first_step(layers[0], shared, locations)
    for step, (layer, skip) in enumerate(zip(layers[1:], shared.skips[1:], strict=True), start=1):
        weight = layer.weight[:, : x.shape[1]]
        doubled = step - 1 in UPSAMPLED_STEPS
        own = convolve_doubled(x, weight) if doubled else convolve_with(layer, x, weight)
        convolved = (own.unflatten(0, (b, k)) + skip[:, None]).flatten(0, 1)
        x = finish_block(layer, convolved, skip.dtype)
    return x.unflatten(0, (b, k))
