"""What N-way trials ask of a trained network: every image's code once, then queries against supports.

A scorer has `encode` (images to codes) and `compare` (codes to scores, higher for more alike).
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from oneshot.classify.nets.koch import SiamesePair, set_order
from oneshot.classify.nets.protonet import ProtoNet, squared_distances
from oneshot.training.speed import Speed

BATCH_IMAGES = 128
COMPARED_AT_ONCE = 2**24  # numbers: 64 MB


class Encoder:
    """Codes of images in batches, on the device that `speed` names; the network's mode is put back."""

    def __init__(self, net: nn.Module, encoder: nn.Module, speed: Speed | None = None) -> None:
        self.net = net
        self.speed = speed or Speed()
        set_order(encoder, self.speed.memory_format)
        self.encoder = self.speed.compile(self.speed.place(encoder))

    @torch.no_grad()
    def encode(self, images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n c"]:
        """Ink 1, paper 0. The codes stay on the device."""
        training = self.net.training
        self.net.eval()
        with self.speed.running():
            codes = [
                self.encode_batch(images[start : start + BATCH_IMAGES])
                for start in range(0, len(images), BATCH_IMAGES)
            ]
        self.net.train(training)
        return torch.cat(codes)

    def encode_batch(self, images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n c"]:
        n = len(images)
        if self.speed.compiled and n < BATCH_IMAGES:  # for one size it is compiled once
            images = np.concatenate([images, np.zeros((BATCH_IMAGES - n, *images.shape[1:]), np.uint8)])
        self.speed.begin_step()
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.speed.device)
        # A copy: replayed CUDA graphs write the next codes over these.
        return self.encoder(batch.float())[:n].float().clone()


class SiameseScorer(Encoder):
    """The logit that query and support are the same character."""

    def __init__(self, net: SiamesePair, speed: Speed | None = None) -> None:
        super().__init__(net, net.base, speed)
        self.output = self.speed.place(net.output)

    @torch.no_grad()
    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        n_rows = max(1, COMPARED_AT_ONCE // supports.numel())
        rows = [self.output(some[:, None], supports[None]) for some in queries.split(n_rows)]
        return torch.cat(rows)


class ProtoScorer(Encoder):
    """Minus the squared Euclidean distance; a class's prototype is the mean of its supports' codes."""

    def __init__(self, net: ProtoNet, speed: Speed | None = None) -> None:
        super().__init__(net, net, speed)

    @torch.no_grad()
    def compare(self, queries: Float[Tensor, "q c"], supports: Float[Tensor, "s c"]) -> Float[Tensor, "q s"]:
        return -squared_distances(queries, supports)
