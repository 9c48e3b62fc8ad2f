"""The fast engine: compiled training of ReLU MLPs on the CPU.

``kernels`` holds the compiled loops, ``inputs`` the nonzero pixels that they walk, ``layout`` where
they find a network's parameters, ``engine`` what drives them, ``compilation`` the cache.
"""

from raylot.training.fast.engine import train, why_not

__all__ = ["train", "why_not"]
