"""Architectures, their initialisation, and which of their weights can be pruned."""

from raylot.networks.architectures import NETWORKS
from raylot.networks.architectures.lenet import lenet
from raylot.networks.architectures.mlp import mlp
from raylot.networks.architectures.resnet import resnet
from raylot.networks.architectures.vgg import vgg
from raylot.networks.builder import build, prunable
from raylot.networks.copies import with_state

__all__ = ["NETWORKS", "build", "lenet", "mlp", "prunable", "resnet", "vgg", "with_state"]
