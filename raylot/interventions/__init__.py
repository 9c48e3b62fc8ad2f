"""Methods that are meant to keep a network plastic."""

from raylot.interventions.methods import (
    INTERVENTIONS,
    L2,
    L2Init,
    ReDo,
    Reset,
    ShrinkAndPerturb,
    make,
)

__all__ = ["INTERVENTIONS", "L2", "L2Init", "ReDo", "Reset", "ShrinkAndPerturb", "make"]
