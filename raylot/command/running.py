"""Runs what a command line asks for: the plan alone, or the sweep and then its analyses."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raylot.analysis.command import BROKEN_PIPE_STATUS, stop_printing
from raylot.command.analyses import data_fingerprint, run_analysis
from raylot.command.arguments import Command
from raylot.config.parser import dashed
from raylot.foundation.errors import OptionError
from raylot.foundation.interruption import exits_on_ctrl_c
from raylot.foundation.text import safe, say_progress
from raylot.results import finished_runs
from raylot.storage import Storage
from raylot.sweep.interrupt_guard import INTERRUPTED_STATUS
from raylot.sweep.outcome import CONTINUE, Outcome
from raylot.sweep.seeds import add_seeds, may_grow
from raylot.sweep.space import Spaces, spaces_of
from raylot.sweep.sweep import Sweep

#: Ray unpacks the files of a submitted job below a folder of this name, and deletes them after it.
_UNPACKED = "runtime_resources"


def run(
    command: Command,
    spaces: Spaces,
    analyses: Mapping[str, str],
    typed: Sequence[str],
    *,
    only: Collection[str] | None = None,
    then: Callable[[Sweep], None] | None = None,
) -> int:
    """Does what a command line asks for, and then runs the user's ``--on-end``.

    See `raylot.command.studies.run_study`. After a dry run or a mistake, nothing has ended.

    Args:
        command: what the command line asks for.
        spaces: the search spaces of a study.
        analyses: what to run on the tables -> the stage whose results it needs.
        typed: all words of the command line, which the storage keeps.
        only: names of the stages that are computed; None: all.
        then: what follows the analyses, if any run has finished.
    """
    return ended(command, _run(command, spaces, analyses, typed, only, then))


def ended(command: Command, status: int) -> int:
    """Runs the user's ``--on-end``, if there is one, and returns the status."""
    if command.on_end is not None and not command.dry_run:
        told = {"RAYLOT_STATUS": str(status), "RAYLOT_STORAGE": command.storage}
        try:
            done = subprocess.run(command.on_end, shell=True, check=False, env=os.environ | told)
        except KeyboardInterrupt:
            print("\nInterrupted.")
            return INTERRUPTED_STATUS
        if done.returncode:
            print(f"--on-end ended with status {done.returncode}.", file=sys.stderr)
    return status


def _run(
    command: Command,
    spaces: Spaces,
    analyses: Mapping[str, str],
    typed: Sequence[str],
    only: Collection[str] | None,
    then: Callable[[Sweep], None] | None,
) -> int:
    patience = 0.0 if command.dry_run else command.study.storage_patience
    try:
        with exits_on_ctrl_c():
            storage = Storage(command.storage, patience)
        if storage.is_local and _UNPACKED in Path(storage.root).parts:
            raise OptionError(
                f"storage={storage.root}: must be a folder that all nodes see, with its whole "
                "path, or a URI; a submitted job's own folder is deleted"
            )
    except OptionError as error:
        command.refuse(error)

    def work(reached: Reached) -> int:
        with exits_on_ctrl_c():
            sweep = Sweep(command.study, storage, *spaces_of(command.study, spaces), only=only)
            if command.dry_run:
                remarks = [] if sweep.study.download else sweep.check_inputs(say_progress)
                plan = sweep.plan()  # refuses a storage that an older raylot has written
                growth = may_grow(sweep, spaces)
                tell(remarks)
                print(plan, flush=True)
                print(sweep.prediction(say_progress))
                tell(growth)
                return 0
            growth = may_grow(sweep, spaces)
            outcome = sweep.finished(retry_failed=command.retry_failed)
            if outcome is None:
                tell([*sweep.check(then_runs=True, say=say_progress), *growth])
        reached.is_there = True
        kept = shlex.join(without("share", without("on_end", typed)))

        def compute(sweep: Sweep) -> Outcome:
            return sweep.run(retry_failed=command.retry_failed, command=kept)

        outcome = add_seeds(
            sweep,
            outcome or compute(sweep),
            spaces,
            lambda more: more.finished(retry_failed=command.retry_failed) or compute(more),
            lambda line: tell([line]),
            kept,
        )
        print(outcome.summary(), flush=True)
        if outcome.interrupted:
            return INTERRUPTED_STATUS
        complete = not (outcome.failures or outcome.missing)
        if sweep.share is not None:
            tell([_after_this_share(storage, outcome)])
            return 0 if complete else 1
        data = data_fingerprint(storage) if outcome.finished else ""
        for name in analyses if outcome.finished else ():
            stage = analyses[name]
            print()
            if stage not in outcome.finished_stages:
                print(f"left out  {name}: none of the {stage} has finished", flush=True)
                continue
            complete &= run_analysis(name, storage, data)
        if then is not None and outcome.finished:
            print()
            then(sweep)
        return 0 if complete else 1

    return carried_out(work, command, storage)


@dataclass
class Reached:
    """Whether a command has found its storage: if it goes away later, that is no user's mistake."""

    is_there: bool = False


def carried_out(work: Callable[[Reached], int], command: Command, storage: Storage) -> int:
    """Does a command's work and returns its exit status; tells errors in one line.

    Args:
        work: returns the status; it notes when the storage has been found.
        command: what the user asked for.
        storage: where the results go.

    Raises:
        SystemExit: with status 2, after a user's mistake.
    """
    reached = Reached()
    try:
        return work(reached)
    except OptionError as error:
        command.refuse(error)
    except BrokenPipeError:
        stop_printing()
        return BROKEN_PIPE_STATUS
    except (OSError, pa.ArrowException) as error:
        if not reached.is_there:
            command.refuse(storage.unusable(error))
        away = OptionError(f"storage={storage.root}: is out of reach ({error})")
        print(f"error: {away}. {CONTINUE}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. {CONTINUE}" if reached.is_there else "\nInterrupted.")
        return INTERRUPTED_STATUS


def without(option: str, words: Sequence[str]) -> list[str]:
    """Leaves an option and its value out of the words that the storage keeps.

    ``on_end`` is the user's own command: it computes nothing, and may hold a secret address.
    ``share`` would make the commands of one study as many as it has shares.
    """
    flag = dashed(option)
    before = ["", *words]
    return [
        word
        for last, word in zip(before, words, strict=False)
        if flag not in (last, word) and not word.startswith(f"{flag}=")
    ]


def _after_this_share(storage: Storage, outcome: Outcome) -> str:
    """Says whether a share is done, and what analyses a study that several commands compute.

    How far the others are is not known: to plan their runs may take many times as long.
    """
    left = outcome.missing - outcome.blocked
    ended = len(finished_runs(Storage.again(storage.root)))
    return (
        f"{left or 'Nothing'} {'are' if left > 1 else 'is'} left to compute in this share; once "
        f"{'it and ' if left else ''}the other shares have ended, the same command without --share "
        f"analyses them. raylot analyse {shlex.quote(storage.root)} does so at any time with what "
        f"is there: {ended:,} ended runs."
    )


def tell(remarks: Iterable[str]) -> None:
    """Prints lines, with what a terminal would obey taken out."""
    for remark in remarks:
        print(safe(remark), flush=True)  # names of layers are a plugin's
