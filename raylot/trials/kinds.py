"""The kinds of runs, and what computes each."""

from __future__ import annotations

from raylot.trials.base import RunTrial
from raylot.trials.measurement import MeasurementTrial, TicketMeasurementTrial
from raylot.trials.probes import ProbeTrial
from raylot.trials.retrainings import RetrainingTrial
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_barriers import TicketBarrierTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial

#: Kind of run -> what computes it.
TRIALS: dict[str, type[RunTrial]] = {
    trial.run_model.kind: trial
    for trial in (
        StreamTrial,
        ProbeTrial,
        RetrainingTrial,
        MeasurementTrial,
        TicketsTrial,
        TicketBarrierTrial,
        TicketStreamTrial,
        TicketMeasurementTrial,
    )
}
