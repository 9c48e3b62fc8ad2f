"""The kinds of runs, and what computes each."""

from __future__ import annotations

from raylot.trials.base import RunTrainable
from raylot.trials.measurement import MeasurementTrial, TicketMeasurementTrial
from raylot.trials.probes import ProbeTrial
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial

#: Kind of run -> what computes it.
TRAINABLES: dict[str, type[RunTrainable]] = {
    trainable.run_model.kind: trainable
    for trainable in (
        StreamTrial,
        ProbeTrial,
        MeasurementTrial,
        TicketsTrial,
        TicketStreamTrial,
        TicketMeasurementTrial,
    )
}
