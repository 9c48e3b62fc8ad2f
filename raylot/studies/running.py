"""Runs a study from Python and returns its results."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pyarrow as pa

from raylot import config
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line, safe
from raylot.storage import Storage
from raylot.studies.results import Results
from raylot.sweep import Space, study_spaces
from raylot.sweep.outcome import Outcome
from raylot.sweep.ray_start import is_ray_started
from raylot.sweep.seeds import add_seeds, may_grow
from raylot.sweep.space import spaces_of
from raylot.sweep.sweep import Sweep


def run(
    study: config.Study,
    storage: str | Path | None = None,
    *,
    spaces: Callable[[config.Study], tuple[Space, Space, Space]] = study_spaces,
    retry_failed: bool = False,
) -> Results:
    """Computes what a study asks for and the storage lacks, on Ray, and shows the progress.

    Calling it again continues what was interrupted, and computes only what a wider study adds.
    A Ray that has been started already is used; otherwise one is started, and stopped at the end.

    Args:
        study: what to compute.
        storage: folder or URI for all results. None: the study's option ``storage``, else
            ``results/NAME`` with the study's option ``name``, else ``results/study``.
        spaces: returns the search spaces of streams, tickets and ticket streams, in Ray Tune's
            terms, for options that the study itself does not vary.
        retry_failed: whether to compute runs again that ended with an error in an earlier call.

    Returns:
        The storage's results. A warning says if some runs failed or are missing.

    Raises:
        OptionError: in one line, something asked for cannot be had.
        OSError: the storage stayed out of reach for longer than the option ``storage_patience``.
        KeyboardInterrupt: the user interrupted it, with Ctrl-C or a notebook's stop button. What
            was saved is kept.
    """
    if not isinstance(study, config.Study):
        raise OptionError(f"study: must be a raylot.Study, not a {type(study).__name__}")
    place = storage if storage is not None else study.storage or f"results/{study.name or 'study'}"
    opened = Storage(place, study.storage_patience)
    sweep = Sweep(study, opened, *spaces_of(study, spaces))
    is_users_ray = is_ray_started()
    try:
        growth = may_grow(sweep, spaces)
        outcome = sweep.finished(retry_failed=retry_failed)
        remarks = [] if outcome else [*sweep.check(), *growth]
    except (OSError, pa.ArrowException) as error:
        raise opened.unusable(error) from None
    for remark in remarks:
        print(safe(remark))
    again = ", retry_failed=True" * retry_failed
    call = f"raylot.run({study!r}, {str(place)!r}{again})"

    def compute(sweep: Sweep) -> Outcome:
        if is_users_ray:  # it goes on
            from raylot.sweep.cluster import room_given_back

            leaving: AbstractContextManager[None] = room_given_back()
        else:
            leaving = nullcontext()
        with leaving:
            return sweep.run(retry_failed=retry_failed, command=call, may_end_process=False)

    outcome = add_seeds(
        sweep,
        outcome or compute(sweep),
        spaces,
        lambda more: more.finished(retry_failed=retry_failed) or compute(more),
        lambda line: print(safe(line)),
        call,
    )
    if outcome.interrupted:
        raise KeyboardInterrupt("what was saved is kept; the same call continues")
    if outcome.failures or outcome.missing:
        first = next(iter([*outcome.failures, *outcome.lost]), "")
        warnings.warn(
            f"{len(outcome.failures)} runs failed and {outcome.missing} are missing"
            + f" (the first: {one_line(first)})" * bool(first)
            + ". `results.runs` lists all errors; `retry_failed=True` tries failed runs again.",
            stacklevel=2,
        )
    return Results(Storage.again(opened.root))
