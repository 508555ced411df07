"""Initial weights of Koch's network for training of our own: scaled to what the drawings look like.

With the published ones the codes of all drawings are nearly alike, or at 0 and 1, and learning starts late.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from oneshot.classify.nets.koch import SiamesePair

SMALLEST = 1e-6  # a unit (or logit) that varies less is not scaled


@torch.no_grad()
def initialise_scaled(
    net: SiamesePair, images: Float[Tensor, "b h w"], generator: torch.Generator
) -> SiamesePair:
    """Scale every convolution's and linear unit's sum to mean 0 and deviation 1 over these images.

    The output starts as the nearest neighbour in codes: all weights the same and negative, so that over pairs
    of images the logit has mean 0 and deviation 1. Some hundred drawings do; without them it is not defined.

    Source: Salimans, Kingma, Weight Normalization (NeurIPS 2016), section 3, without its normalised weights.
    """
    net.base.initialise(generator)
    hooks = []
    for layer in net.base.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
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
