"""Validated configuration: one pydantic model per concept, and the runs and studies made of them.

Every option has one name everywhere: as a field here, as a ``--command-line-option``, as a key of
a YAML file, as a key of a Ray Tune search space and as a column of the ``runs`` table.
"""

from raylot.config.concepts import (
    DataOptions,
    InterventionOptions,
    NetworkOptions,
    OptimizerOptions,
    PlasticityOptions,
    PlasticParameterOptions,
    ShiftOptions,
    TicketSearchOptions,
    TrainingOptions,
    customary_rounds,
)
from raylot.config.presets import PRESETS
from raylot.config.runs import (
    CLASS_SIZES,
    PROTOCOL_EXCLUDES,
    TRAINING_EXAMPLES,
    SeedOptions,
    StreamRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.config.study import Study, SweepOptions

__all__ = [
    "CLASS_SIZES",
    "PRESETS",
    "PROTOCOL_EXCLUDES",
    "TRAINING_EXAMPLES",
    "DataOptions",
    "InterventionOptions",
    "NetworkOptions",
    "OptimizerOptions",
    "PlasticParameterOptions",
    "PlasticityOptions",
    "SeedOptions",
    "ShiftOptions",
    "StreamRun",
    "Study",
    "SweepOptions",
    "TicketSearchOptions",
    "TicketStreamRun",
    "TicketsRun",
    "TrainingOptions",
    "customary_rounds",
]
