"""Options of the trainings that are done in pairs, and of the barriers between their networks."""

from __future__ import annotations

from raylot.config.options import Options, option


class PathOptions(Options):
    """The option that says how often raylot evaluates errors between two networks."""

    barrier_points: int = option(
        30, "networks on the straight line between two trained ones, at even distances and both "
        "ends included, at which errors are evaluated (Frankle et al. 2020)", ge=3, le=10_000,
        role="measurement",
    )  # fmt: skip


class RetrainingOptions(PathOptions):
    """How many copies of a snapshot are trained."""

    retraining_pairs: int = option(
        0, "pairs of copies of each snapshot that are trained on its own next task in two data "
        "orders, for the barrier between them and for the distances between their masks; 0: none",
        ge=0, le=1000, role="extent",
    )  # fmt: skip


class TicketBarrierOptions(PathOptions):
    """Between how many tickets barriers are measured."""

    ticket_pairs: int = option(
        0, "pairs of each search's tickets (the first two, the next two, ...) that are trained "
        "once more, for the barrier between them; 0: none", ge=0, le=500, role="extent",
    )  # fmt: skip


class BarrierOptions(RetrainingOptions, TicketBarrierOptions, title="barriers"):
    """Barriers between two trainings from one snapshot, and how far their masks are apart."""
