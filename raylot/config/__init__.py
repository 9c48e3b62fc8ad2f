"""Validated configuration: one pydantic model per concept, and the runs and studies made of them.

Every option has one name everywhere: as a field here, as a ``--command-line-option``, as a key of
a YAML file, as a key of a Ray Tune search space and as a column of the ``runs`` table.
"""

from raylot.config.barrier_options import BarrierOptions as BarrierOptions
from raylot.config.data_options import DataOptions as DataOptions
from raylot.config.intervention_options import InterventionOptions as InterventionOptions
from raylot.config.measurement_run import MeasurementRun as MeasurementRun
from raylot.config.network_options import NetworkOptions as NetworkOptions
from raylot.config.plasticity_options import PlasticityOptions as PlasticityOptions
from raylot.config.plasticity_options import PlasticParameterOptions as PlasticParameterOptions
from raylot.config.presets import PRESETS as PRESETS
from raylot.config.probe_run import ProbeRun as ProbeRun
from raylot.config.retraining_run import RetrainingRun as RetrainingRun
from raylot.config.runs import SeedOptions as SeedOptions
from raylot.config.runs import StreamRun as StreamRun
from raylot.config.shift_options import ShiftOptions as ShiftOptions
from raylot.config.study import Study as Study
from raylot.config.study import SweepOptions as SweepOptions
from raylot.config.ticket_options import TicketSearchOptions as TicketSearchOptions
from raylot.config.ticket_options import customary_rounds as customary_rounds
from raylot.config.ticket_runs import PROTOCOL_EXCLUDES as PROTOCOL_EXCLUDES
from raylot.config.ticket_runs import TicketBarrierRun as TicketBarrierRun
from raylot.config.ticket_runs import TicketMeasurementRun as TicketMeasurementRun
from raylot.config.ticket_runs import TicketsRun as TicketsRun
from raylot.config.ticket_runs import TicketStreamRun as TicketStreamRun
from raylot.config.training_options import OptimizerOptions as OptimizerOptions
from raylot.config.training_options import TrainingOptions as TrainingOptions

#: Every kind of run, each after those that it stands on.
RUNS: tuple[type[StreamRun], ...] = (
    StreamRun,
    ProbeRun,
    RetrainingRun,
    MeasurementRun,
    TicketsRun,
    TicketBarrierRun,
    TicketStreamRun,
    TicketMeasurementRun,
)
