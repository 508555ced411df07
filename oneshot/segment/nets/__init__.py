"""The networks for segmentation, by the name that parameters and weight files use: a line for each."""

from torch import nn

from oneshot.segment.nets.masknet import MaskNet
from oneshot.segment.nets.siamese_unet import SiameseUNet

NETS: dict[str, type[nn.Module]] = {
    "siamese_unet": SiameseUNet,
    "masknet": MaskNet,
}
