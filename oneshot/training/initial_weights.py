"""Initial weights, drawn by NumPy: a seed means the same in every version of PyTorch and on every device."""

import math

import numpy as np
import torch
from torch import Tensor

DRAWN_BY = "numpy"  # what a recorded run says of its initial weights


@torch.no_grad()
def fill_normal(parameter: Tensor, sigma: float, generator: np.random.Generator, mean: float = 0.0) -> None:
    """Fill a parameter with normal numbers."""
    values = generator.standard_normal(tuple(parameter.shape), dtype=np.float32)
    parameter.copy_(torch.from_numpy(values).mul_(sigma).add_(mean))


def fill_he(weight: Tensor, generator: np.random.Generator) -> None:
    """Fill the weight of a convolution or linear layer with normal numbers of variance 2 / fan-in.

    Source: He, Zhang, Ren, Sun, Delving Deep into Rectifiers (ICCV 2015), equation 10.
    """
    fill_normal(weight, math.sqrt(2 / weight[0].numel()), generator)


@torch.no_grad()
def fill_truncated_normal(parameter: Tensor, sigma: float, generator: np.random.Generator) -> None:
    """Fill a parameter with normal numbers; those beyond two sigma are drawn again."""
    values = generator.standard_normal(tuple(parameter.shape), dtype=np.float32)
    while (outside := np.abs(values) > 2).any():
        values[outside] = generator.standard_normal(np.count_nonzero(outside), dtype=np.float32)
    parameter.copy_(torch.from_numpy(values).mul_(sigma))


@torch.no_grad()
def fill_uniform(parameter: Tensor, reach: float, generator: np.random.Generator) -> None:
    """Fill a parameter with even numbers from -reach to reach."""
    values = generator.random(tuple(parameter.shape), dtype=np.float32)
    parameter.copy_(torch.from_numpy(values).mul_(2 * reach).sub_(reach))
