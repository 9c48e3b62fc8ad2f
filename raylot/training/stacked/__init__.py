"""The stacked engine: trains several networks at once as one batched computation, to fill a GPU.

A small network leaves most of a GPU idle. So K of them (the tickets of a search) become one network
with a leading dimension of K: each matrix product becomes a batched one, and one fused optimizer
call moves all parameters. On CUDA a step is captured once as a graph and then replayed, so the host
has little to do. On a CPU the same steps run one by one, for tests; that gains nothing.
"""

from raylot.training.stacked.reasons import why_not
from raylot.training.stacked.self_check import why_untrusted
from raylot.training.stacked.training import train_stacked

__all__ = ["train_stacked", "why_not", "why_untrusted"]
