"""Verification: whether two images show the same class, asked of networks that give a logit for a pair."""

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from oneshot.classify.pairs import Pairs
from oneshot.classify.scorers import SiameseScorer
from oneshot.omniglot.drawings import unpack_rows

BATCH_IMAGES = 1024  # unpacked at a time


@torch.no_grad()
def verify(
    scorer: SiameseScorer, bits: UInt8[np.ndarray, "n 105 14"], pairs: Pairs
) -> Bool[np.ndarray, " pairs"]:
    """Whether each pair is judged rightly: the same class at a probability above one half.

    bits: packed images that the pairs' numbers count; each that occurs is encoded once.
    Source: Koch et al. 2015, section 4.2.
    """
    numbers, places = np.unique(pairs.drawings, return_inverse=True)
    parts = [numbers[start : start + BATCH_IMAGES] for start in range(0, len(numbers), BATCH_IMAGES)]
    codes = torch.cat([scorer.encode(unpack_rows(bits[part])) for part in parts])
    first, second = torch.from_numpy(places.reshape(-1, 2)).to(codes.device).T
    logits = [
        scorer.output(codes[a], codes[b])
        for a, b in zip(first.split(BATCH_IMAGES), second.split(BATCH_IMAGES), strict=True)
    ]
    return (torch.cat(logits) > 0).cpu().numpy() == pairs.same
