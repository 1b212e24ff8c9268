"""Networks: the text encoder with its head, and the fusion networks of the research wing."""

from trivalent.lab.networks.base import FusionNetwork, FusionOutput, functional_output
from trivalent.lab.networks.presence import drop_modalities
from trivalent.lab.networks.registry import NETWORKS, build_network, network_options

__all__ = [
    "NETWORKS",
    "FusionNetwork",
    "FusionOutput",
    "build_network",
    "drop_modalities",
    "functional_output",
    "network_options",
]
