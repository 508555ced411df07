"""Muon for convolution weights: momentum whose singular values are all brought near one.

Source: Keller Jordan, kellerjordan.github.io/posts/muon; the rate's scaling: Liu et al., Muon is Scalable for
LLM Training (arXiv 2502.16982), section 2.2.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = 0.95  # Nesterov's
NEWTON_SCHULZ_STEPS = 5
NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
UPDATE_RMS = 0.2  # what Adam's updates measure: one learning rate means the same to both
SMALLEST_NORM = 1e-7


def orthogonalised(matrices: Float[Tensor, "*n rows columns"]) -> Float[Tensor, "*n rows columns"]:
    """Bring the singular values of a matrix, or several at once, to about 0.7..1.2: five Newton-Schulz steps.

    Quirk: in float32, where torch.optim.Muon always takes bfloat16: on a CPU without units for it (AMD Zen 3,
    2 cores, busy) its whole step took 225 ms for Siamese-U-Net at 8 feature maps, and ours 23 ms.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    multiply_add = torch.addmm if matrices.ndim == 2 else torch.baddbmm
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=SMALLEST_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = multiply_add(x, multiply_add(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def orthogonalised_together(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """Do all those with as many rows in one go, narrower ones filled up with zeros, which stay zeros.

    More arithmetic, and a sixth of the kernels to launch, which is what a GPU spends the time on.
    """
    batches = defaultdict(list)
    for index, matrix in enumerate(matrices):
        batches[matrix.shape[0]].append(index)
    turned = list(matrices)
    for batch in batches.values():
        widths = [matrices[index].shape[1] for index in batch]
        padded = [F.pad(matrices[index], (0, max(widths) - matrices[index].shape[1])) for index in batch]
        for index, width, wide in zip(batch, widths, orthogonalised(torch.stack(padded)), strict=True):
            turned[index] = wide[:, :width]
    return turned


class Muon(Optimizer):
    """Takes weights of any shape and treats each as a matrix: (out channels, all the rest)."""

    def __init__(self, weights: Iterable[Tensor], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            # Float32 also where the loss is computed in something shorter.
            with torch.autocast(weights[0].device.type, enabled=False):
                updates = self.updates(weights)
            torch._foreach_add_(weights, updates, alpha=-group["lr"])

    def updates(self, weights: list[Tensor]) -> list[Tensor]:
        """Give what the rate is to be multiplied with, once the gradients have entered the momenta."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        momenta = [self.state[weight]["momentum"] for weight in weights]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        matrices = [update.flatten(1) for update in torch._foreach_lerp(gradients, momenta, MOMENTUM)]
        if weights[0].is_cuda:
            turned = orthogonalised_together(matrices)
        else:
            turned = [orthogonalised(matrix) for matrix in matrices]
        torch._foreach_mul_(turned, [UPDATE_RMS * math.sqrt(max(update.shape)) for update in turned])
        return [update.reshape(weight.shape) for update, weight in zip(turned, weights, strict=True)]
