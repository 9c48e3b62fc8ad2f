"""Adds seeds to a sweep until the intervals of the primary pair are narrow: ``--until-width``.

The rule looks at widths, never at verdicts. Still it stops where seeds happen to differ little, so
the analysis counts each p of the primary pair twice, see `raylot.analysis.primary.COUNTS_OF_P`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from raylot.config import Study
from raylot.foundation.errors import OptionError
from raylot.results.commands import record
from raylot.sweep.outcome import Outcome
from raylot.sweep.space import Spaces, spaces_of
from raylot.sweep.sweep import Sweep

if TYPE_CHECKING:  # imports pandas, which a sweep that adds no seeds need not wait for
    from raylot.analysis.widths import Widest

#: Told at the end. The figures are the worst of the rows in docs/method.md.
_INFERENCE = (
    "Widths decided when to stop, never a verdict. As that favours seeds that happen to agree, the "
    "answer counts each p of the primary pair twice and takes its intervals wider: in simulated "
    "studies under this rule they held the truth in at least {held}% of studies, and false claims "
    "of one kind were made in at most {false}% (docs/method.md). Other intervals and p-values, as "
    "in correlation.csv, are not corrected."
)

#: Percent of simulated studies, in the worst row: intervals that hold, and false claims of
#: one kind.
HELD, FALSE = 95.4, 4.0


def may_grow(sweep: Sweep, spaces: Spaces) -> list[str]:
    """Says how large a sweep may become, if it adds seeds: a line, or none.

    Args:
        sweep: of the seeds given.
        spaces: the search spaces of a study.

    Raises:
        OptionError: its runs would be too many, or more seeds would be no more runs.
    """
    study = sweep.study
    if study.until_width is None:
        return []
    largest = _with_seeds(sweep, study.most_seeds, spaces)
    runs = [run for stage in largest.stages for run in stage.runs]
    is_wider = len(runs) > sum(len(stage.runs) for stage in sweep.stages)
    if study.most_seeds > len(study.seeds) and not is_wider:
        raise OptionError(
            f"until_width={study.until_width:g}: must go with search spaces that hold study.seeds, "
            "as otherwise no seeds can be added"
        )
    steps = sum(run.training_steps for run in runs)
    return [
        f"Seeds may grow from {len(study.seeds)} to {study.most_seeds}, {study.seeds_per_step} at "
        f"once, until intervals are at most {study.until_width:g} wide: at most {len(runs):,} runs "
        f"and {steps:,} training steps in all, finished ones included."
    ]


def add_seeds(
    sweep: Sweep,
    outcome: Outcome,
    spaces: Spaces,
    compute: Callable[[Sweep], Outcome],
    say: Callable[[str], None],
    command: str,
) -> Outcome:
    """Computes a sweep with more and more seeds, until intervals are narrow or seeds enough.

    The path depends on the sweep's own runs alone, so that a command that is given again takes the
    same one. A sweep of which runs failed or are missing gets no more seeds.

    Args:
        sweep: of the seeds given.
        outcome: of its runs.
        spaces: the search spaces of a study.
        compute: computes the missing runs of a sweep.
        say: tells the user a line.
        command: that started the sweep, for the record.

    Returns:
        How the runs of the last sweep stand.
    """
    if sweep.study.until_width is None:
        return outcome
    record(sweep.storage, command, adds_seeds=True)
    while not outcome.interrupted:
        seeds, most = len(sweep.study.seeds), sweep.study.most_seeds
        if outcome.failures or outcome.missing > outcome.blocked:
            say(f"No more seeds than {seeds} were tried, as runs failed or are missing.")
            break
        widest = _widest(sweep)
        is_narrow = widest.width <= sweep.study.until_width
        if is_narrow or seeds == most:
            say(_closing(sweep.study, widest, is_narrow))
            break
        more = min(seeds + sweep.study.seeds_per_step, most)
        say(f"{seeds} seeds: {_told(widest)}; {more - seeds} more follow.")
        sweep = _with_seeds(sweep, more, spaces)
        outcome = compute(sweep)
    return outcome


def _with_seeds(sweep: Sweep, number: int, spaces: Spaces) -> Sweep:
    study = sweep.study.with_seeds(number)
    return Sweep(study, sweep.storage, *spaces_of(study, spaces), only=sweep.only)


def _widest(sweep: Sweep) -> Widest:
    from raylot.analysis.widths import widest

    return widest(sweep.storage, {run.run_id for stage in sweep.stages for run in stage.runs})


def _told(widest: Widest) -> str:
    if math.isinf(widest.width):
        return f"the 95% interval of {widest.of} is not known yet"
    return f"the widest 95% interval, of {widest.of}, is {widest.width:.3g} wide"


def _closing(study: Study, widest: Widest, is_narrow: bool) -> str:
    ended = f"every 95% interval is at most {study.until_width:g} wide"
    ended = ended if is_narrow else f"the most allowed; not {ended}"
    inference = _INFERENCE.format(held=HELD, false=FALSE)
    return f"{len(study.seeds)} seeds ({ended}): {_told(widest)}. {inference}"
