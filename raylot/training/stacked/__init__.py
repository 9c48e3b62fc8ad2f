"""Training of several networks at once as one batched computation, which is how to fill a GPU.

Where a small network leaves most of a GPU idle, K of them (the tickets of a search, replicates of
a stream) are one network with a leading dimension of K: each matrix product becomes a batched one,
and one fused optimizer call moves all parameters. On CUDA a step is captured once as a graph and
then replayed, so that the host has next to nothing to do. On a CPU the same steps run one by one;
that gains nothing, but is how they are tested.
"""

from raylot.training.stacked.reasons import why_not
from raylot.training.stacked.training import train_stacked

__all__ = ["train_stacked", "why_not"]
