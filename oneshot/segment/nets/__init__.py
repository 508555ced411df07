"""The networks for segmentation, by the name that parameters and weight files use: a line for each."""

from torch import nn

from oneshot.segment.nets.colour_matcher import (
    ColourMatcher,
    ColourMatcherWithoutBoxes,
    ColourMatcherWithoutOthers,
)
from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet

NETS: dict[str, type[nn.Module]] = {
    "siamese_unet": SiameseUNet,
    "masknet": MaskNet,
    "colour_matcher": ColourMatcher,
    "colour_matcher_covered": ColourMatcher,  # the same, trained on covered targets, too
    "colour_matcher_without_others": ColourMatcherWithoutOthers,
    "colour_matcher_without_boxes": ColourMatcherWithoutBoxes,
}


def is_choosing(net: str) -> bool:
    """Say if a network chooses among whole masks: rounding can turn its answer into quite another one."""
    return getattr(NETS[net], "chooses", False)
