"""Best rates of a device, and the work of a training step."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from oneshot.segment.batches import Batch
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets.siamese_unet import Block, SiameseUNet

REPEATS = 10
# Over every layer's result, from the matching step's own arithmetic: written by the convolution, read for its
# statistics, read and written when normalised, read by the next convolution; on the way back the gradient
# and the convolution's result twice each, the new gradient written once and read twice, the input read once.
PASSES = 5 + 8


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def median_seconds(work: Callable[[], object], device: str, repeats: int = REPEATS) -> float:
    """Time one call, after three to warm up."""
    seconds = []
    for repeat in range(3 + repeats):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        if repeat >= 3:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def matrix_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Measure floating-point operations a second of a square matrix product of random numbers."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: a @ b, device)


def copy_rate(device: str, n_bytes: int) -> float:
    """Measure bytes read and written a second when memory is copied."""
    source = torch.randint(255, (n_bytes,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * n_bytes / median_seconds(lambda: target.copy_(source), device)


def measure_rates(device: str) -> dict[str, float]:
    if not device.startswith("cuda"):
        return {"float32": matrix_rate(device, torch.float32, 1024), "copy": copy_rate(device, 2**28)}
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    rates = {
        "bfloat16": matrix_rate(device, torch.bfloat16, 8192),
        "float32": matrix_rate(device, torch.float32, 8192),
        "copy": copy_rate(device, 2**31),
    }
    torch.set_float32_matmul_precision(before)
    return rates


def random_batch(n: int, size: int = 96) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, 3, size, size, generator=generator)
    targets = torch.randn(n, 3, 32, 32, generator=generator)
    return Batch(images, targets, images[:, 0] > 1, torch.zeros(n), torch.ones(n))


def operations(feature_maps: int) -> tuple[int, int]:
    """Count floating-point operations a scene of the forward pass, and of forward and backward together."""
    loss = SegmentationLoss(SiameseUNet(feature_maps).initialise(np.random.default_rng(0)))
    counts = []
    for train in (False, True):
        with FlopCounterMode(display=False) as counter:
            value = loss(random_batch(1))
            if train:
                value.backward()
        counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def memory_traffic(feature_maps: int, n_bytes: int = 2) -> int:
    """Estimate the least bytes a scene and training step: every layer's result, `PASSES` times."""
    net = SiameseUNet(feature_maps).initialise(np.random.default_rng(0))
    sizes: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(output.numel())

    for module in net.modules():
        if isinstance(module, Block):
            module.register_forward_hook(count)
    batch = random_batch(1)
    with torch.no_grad():
        net(batch.images, batch.targets)
    return PASSES * n_bytes * sum(sizes)
