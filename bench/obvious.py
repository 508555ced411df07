"""Siamese-U-Net as one would first write it in PyTorch: the baseline of ``python -m bench.training``.

Eager, channels first, float32 as PyTorch sets it up (on GPUs: TF32 in convolutions), Adam as it comes, a
DataLoader with workers over raw arrays on disk. It learns and gives the same as ours, on the same weights.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from oneshot.clutter.scenes import Scenes
from oneshot.segment.batches import PixelStatistics
from oneshot.segment.nets.siamese_unet import SiameseUNet

LR = 5e-4
WEIGHT_DECAY = 1e-9
THRESHOLD = 0.3


class Block(nn.Module):
    def __init__(self, n_in, n_out, kernel, dilation=1, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, padding="same", dilation=dilation, bias=False)
        self.shift = nn.Parameter(torch.zeros(n_out))
        self.relu = relu

    def forward(self, x):
        x = self.conv(x)
        x = F.layer_norm(x, x.shape[1:], eps=1e-12) + self.shift[:, None, None]
        return F.relu(x) if self.relu else x


class Encoder(nn.Module):
    def __init__(self, f, n_pools, dilation):
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                Block(3, 2 * f, 3),
                Block(2 * f, 4 * f, 3),
                Block(4 * f, 8 * f, 3),
                Block(8 * f, 8 * f, 3),
                Block(8 * f, 16 * f, 2, dilation),
                Block(16 * f, 16 * f, 1),
            ]
        )
        self.n_pools = n_pools

    def forward(self, x):
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            outputs.append(x)
            if i < self.n_pools:
                x = F.avg_pool2d(x, 2)
        return outputs


class ObviousSiameseUNet(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.target_encoder = Encoder(f, 5, 1)
        self.scene_encoder = Encoder(f, 3, 2)
        self.decoder = nn.ModuleList(
            [
                Block(32 * f, 8 * f, 1),
                Block(24 * f, 8 * f, 2),
                Block(16 * f, 4 * f, 3),
                Block(12 * f, 4 * f, 3),
                Block(8 * f, 2 * f, 3),
                Block(4 * f, 2, 3, relu=False),
            ]
        )

    def forward(self, scenes, targets):
        codes = self.target_encoder(targets)[-1]  # b x c x 1 x 1
        skips = self.scene_encoder(scenes)
        matched = (codes * skips[-1]).sum(1, keepdim=True) * codes
        x = F.layer_norm(matched, matched.shape[1:], eps=1e-12)
        for i, block in enumerate(self.decoder):
            x = block(torch.cat([x, skips[5 - i]], dim=1))
            if i in (2, 3, 4):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x


def with_weights_of(ours: SiameseUNet) -> ObviousSiameseUNet:
    net = ObviousSiameseUNet(ours.feature_maps)
    blocks = [*net.target_encoder.blocks, *net.scene_encoder.blocks, *net.decoder]
    with torch.no_grad():
        for block, our_block in zip(blocks, ours.blocks(), strict=True):
            block.conv.weight.copy_(our_block.weight)
            block.shift.copy_(our_block.shift)
    return net


class RawScenes(Dataset):
    """Images, masks and targets as they would lie on disk, one array each."""

    def __init__(self, folder: Path, statistics: PixelStatistics) -> None:
        self.images, self.masks, self.targets = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "masks", "targets")
        )
        self.statistics = statistics

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        return (
            self.normalised(self.images[i]),
            self.normalised(self.targets[i]),
            torch.from_numpy(self.masks[i].astype(np.int64)),
        )

    def normalised(self, pixels: np.ndarray) -> Tensor:
        floats = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))
        return (floats - self.statistics.mean) / self.statistics.std


def write_raw(folder: Path, scenes: Scenes) -> None:
    np.save(folder / "images.npy", scenes.images())
    np.save(folder / "masks.npy", scenes.masks)
    np.save(folder / "targets.npy", scenes.targets())


def load(
    folder: Path, statistics: PixelStatistics, batch_size: int, device: str, shuffle: bool
) -> DataLoader:
    """Load scenes by workers: one a core beside a GPU, at most 16; one beside a CPU's own work."""
    cuda = device.startswith("cuda")
    return DataLoader(
        RawScenes(folder, statistics), batch_size, shuffle=shuffle, drop_last=shuffle, pin_memory=cuda,
        num_workers=min(16, os.cpu_count() or 1) if cuda else 1, persistent_workers=True,
    )  # fmt: skip


def epochs(loader: DataLoader) -> Iterator[list[Tensor]]:
    while True:
        yield from loader


class Trainer:
    """Obvious training loop that can be interrupted, so that its readings alternate with ours."""

    def __init__(self, net: ObviousSiameseUNet, loader: DataLoader, device: str) -> None:
        self.net, self.device = net.to(device), device
        self.optimizer = torch.optim.Adam(net.parameters(), lr=LR)
        self.batches = epochs(loader)
        self.seconds_waited = 0.0

    def step(self) -> Tensor:
        started = time.perf_counter()
        scenes, targets, masks = (tensor.to(self.device, non_blocking=True) for tensor in next(self.batches))
        self.seconds_waited += time.perf_counter() - started
        loss = F.cross_entropy(self.net(scenes, targets), masks)
        convolutions = [module for module in self.net.modules() if isinstance(module, nn.Conv2d)]
        loss = loss + WEIGHT_DECAY / 2 * sum(conv.weight.pow(2).sum() for conv in convolutions)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


@torch.no_grad()
def evaluate(net: ObviousSiameseUNet, loader: DataLoader, device: str) -> np.ndarray:
    """Compute the intersection over union of every scene."""
    net.to(device).eval()
    ious = []
    for scenes, targets, masks in loader:
        foreground = F.softmax(net(scenes.to(device), targets.to(device)), dim=1)[:, 1]
        for predicted, true in zip((foreground > THRESHOLD).cpu().numpy(), masks.numpy() > 0, strict=True):
            union = (predicted | true).sum()
            ious.append((predicted & true).sum() / union if union else 1.0)
    return np.array(ious)
