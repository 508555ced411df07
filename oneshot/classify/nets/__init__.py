"""The networks for classification, by the name that parameters and weight files use: a line for each."""

from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.nets.ensemble import Ensemble
from oneshot.classify.nets.koch import Koch, KochSmall
from oneshot.classify.nets.network import Network
from oneshot.classify.nets.protonet import ProtoNet

NETS: dict[str, type[Network]] = {
    "cosine_net": CosineNet,
    "ensemble": Ensemble,
    "koch": Koch,
    "koch_small": KochSmall,
    "protonet": ProtoNet,
}
