"""The fast engine: compiled training of ReLU MLPs on the CPU.

``kernels`` holds the compiled loops, ``inputs`` the nonzero pixels that they walk, ``layout`` where
they find a network's parameters, ``state`` those parameters with moments and masks, ``engine``
what drives them, ``vectors`` their innermost loop, ``compilation`` the cache.
"""

from raylot.training.fast.engine import train, why_not

__all__ = ["train", "why_not"]
