"""The run that trains copies of a stream's snapshots in several data orders."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from raylot.config.barrier_options import RetrainingOptions
from raylot.config.options import option
from raylot.config.runs import RunOnSnapshots, StreamRun, short_hash
from raylot.config.ticket_options import Sparsity
from raylot.foundation.science import versions_of


class RetrainingRun(RunOnSnapshots, RetrainingOptions):
    """Pairs of copies of each snapshot of a stream, trained on the snapshot's own next task.

    Pair p depends on p alone, so that more can be added later. ``sparsities`` decide the masks
    whose distances are measured, in both scopes; copies are trained again for a sparsity that is
    added.
    """

    kind: ClassVar[str] = "retrainings"
    growing: ClassVar[frozenset[str]] = frozenset({"snapshots", "retraining_pairs", "sparsities"})

    sparsities: Annotated[tuple[Sparsity, ...], Field(min_length=1)] = option(
        (0.8, 0.9), "fractions of weights that the masks remove", role="extent"
    )

    @model_validator(mode="after")
    def _masks_are_drawn_after_each_epoch(self) -> Self:
        if self.engine == "stacked":
            raise ValueError(
                "engine=stacked: must be auto, generic or fast with retraining_pairs, which look "
                "at masks after each epoch"
            )
        return self

    @functools.cached_property
    def run_id(self) -> str:
        own = self.identity({"barrier_points"})
        if version := versions_of([("measurement", self.kind)]):
            own["versions"] = version
        return short_hash({"kind": self.kind, "stream": self.stream.run_id, **own})

    @property
    def unused_options(self) -> set[str]:
        return super().unused_options - self.growing

    @property
    def training_steps(self) -> int:
        pairs = len(self.snapshots) * self.retraining_pairs
        return 2 * pairs * self.training_steps_per_task

    def _steps_again(
        self, extent: Mapping[str, Any], wanted: Mapping[str, Any], has_latest: bool
    ) -> int:
        """Training steps of the pairs that are there, once more for sparsities that are new."""
        is_new = not set(extent["sparsities"]).issuperset(wanted["sparsities"])
        return is_new * self.model_copy(update=dict(extent)).training_steps


def retrainings(
    stream: StreamRun, options: RetrainingOptions, sparsities: tuple[float, ...]
) -> list[RetrainingRun]:
    """Returns the run that trains pairs of copies of a stream's snapshots, if there are any.

    Args:
        stream: whose snapshots.
        options: say how many pairs, and where errors are evaluated.
        sparsities: of the masks whose distances are measured.

    Raises:
        OptionError: the options do not fit the stream.
    """
    if not options.retraining_pairs:
        return []
    chosen = {name: getattr(options, name) for name in RetrainingOptions.model_fields}
    own = {**chosen, "sparsities": sparsities}
    run = RetrainingRun.checked(**{**stream.model_dump(exclude={"plugins"}), **own})
    run.__dict__["stream"] = stream  # so that its identity is computed once for all
    return [run]
