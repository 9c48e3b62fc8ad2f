"""Numbers that the original study published, as facts to compare with.

Source: "Loss of Plasticity and Winning Lottery Tickets", a project of ETH Zürich's Deep Learning
course 2024-2025 (GitHub: benny-lo/loss-of-plasticity).
"""

from __future__ import annotations

from dataclasses import dataclass

#: What the numbers are about.
ACCURACY = "test_accuracy"
OVERLAP = "overlap"
TICKETS = "ticket_accuracy"
RANDOM_MASKS = "random_accuracy"
PAIRED = "correlation"
SHIFTED = "correlation_off_by_one"

#: Quantity -> its name in words.
QUANTITIES: dict[str, str] = {
    ACCURACY: "test accuracy after the task",
    OVERLAP: "mean pairwise overlap",
    TICKETS: "accuracy of tickets",
    RANDOM_MASKS: "accuracy of random masks",
    PAIRED: "correlation of overlap and accuracy",
    SHIFTED: "correlation off by one task",
}

#: Probability with which its random masks keep each weight, whatever the tickets' sparsity.
RANDOM_DENSITY = 0.05


@dataclass(frozen=True)
class OriginalNumber:
    """One number that the original study published.

    Attributes:
        quantity: one of `QUANTITIES`.
        value: an accuracy or overlap in [0, 1], or a correlation in [-1, 1].
        task: what it is about; None for a correlation along the stream.
        sparsity: of the tickets, or of the random masks; None for the dense network.
        spread: published behind a plus-minus sign, in the value's unit.
    """

    quantity: str
    value: float
    task: int | None = None
    sparsity: float | None = None
    spread: float | None = None


_ACCURACIES = {
    0: 0.952, 1: 0.943, 2: 0.941, 3: 0.940, 4: 0.937, 50: 0.920, 100: 0.902, 150: 0.878
}  # fmt: skip

# The sparsity that the correlations belong to is not known: they are laid beside each.
PUBLISHED: tuple[OriginalNumber, ...] = (
    *(OriginalNumber(ACCURACY, value, task=task) for task, value in _ACCURACIES.items()),
    OriginalNumber(OVERLAP, 0.261, task=0, sparsity=0.8, spread=0.003),
    OriginalNumber(OVERLAP, 0.953, task=100, sparsity=0.8, spread=0.004),
    OriginalNumber(TICKETS, 0.963, task=0, sparsity=0.95),
    OriginalNumber(RANDOM_MASKS, 0.940, task=0, sparsity=1 - RANDOM_DENSITY),
    *(OriginalNumber(PAIRED, -0.77, sparsity=sparsity) for sparsity in (0.8, 0.9, 0.95)),
    *(OriginalNumber(SHIFTED, -0.5, sparsity=sparsity) for sparsity in (0.8, 0.9, 0.95)),
)
