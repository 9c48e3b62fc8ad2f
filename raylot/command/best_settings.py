"""Runs a search for good settings: tries them, writes the best, reports them on other seeds."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from raylot.command.analyses import data_fingerprint, run_analysis
from raylot.command.arguments import Command
from raylot.command.running import Reached, carried_out, ended, tell, without
from raylot.config import PRESETS, StreamRun, Study
from raylot.config.distributions import as_text
from raylot.config.options import role_of
from raylot.config.parameters import kind_with, options_used
from raylot.config.search_axes import INTERVENTION, UNUSED, zipped
from raylot.config.settings_search import SettingsSearch
from raylot.foundation.errors import OptionError
from raylot.foundation.interruption import exits_on_ctrl_c
from raylot.foundation.text import one_line, say_progress
from raylot.results.settings import Standing, best, write_chosen
from raylot.results.tables import check_version
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep.choosing import Choosing, check_installed
from raylot.sweep.clock import spent
from raylot.sweep.interrupt_guard import INTERRUPTED_STATUS
from raylot.sweep.outcome import CONTINUE
from raylot.sweep.sweep import Sweep

#: Where the best settings lie in a storage, as a file for ``--config``.
BEST = "best.yaml"


def run(command: Command, _spaces: Any, analyses: Mapping[str, str], typed: Sequence[str]) -> int:
    """Does what a command line asks for, as `raylot.command.running.run`."""
    return ended(command, _run(command, analyses, shlex.join(without("on_end", typed))))


def _run(command: Command, analyses: Mapping[str, str], typed: str) -> int:
    asked = command.study
    assert isinstance(asked, SettingsSearch)
    try:
        with exits_on_ctrl_c():
            check_installed()
            patience = 0.0 if command.dry_run else command.study.storage_patience
            storage = Storage(command.storage, patience)
    except OptionError as error:
        command.refuse(error)

    def work(reached: Reached) -> int:
        with exits_on_ctrl_c():
            check_version(storage)
            choosing = Choosing(asked, storage, {}, {})
            if command.dry_run:
                tell([] if asked.download else choosing.check_inputs(say_progress))
                print(choosing.plan())
                return 0
            is_done = choosing.is_done() and not command.retry_failed
            if not is_done:
                tell(choosing.check(then_runs=True, say=say_progress))
        reached.is_there = True
        lost: Sequence[str] = ()
        if not is_done:
            tried = choosing.run(retry_failed=command.retry_failed, command=typed)
            if tried.interrupted:
                print(f"Interrupted. {CONTINUE}")
                return INTERRUPTED_STATUS
            lost = tried.lost
            tell([f"  given up: {one_line(error)}" for error in lost[:5]])
        found = choosing.standings()
        chosen = best(found)
        lacking = [name for name in asked.interventions if name not in chosen]
        tell(
            f"{name}: no setting has finished all {asked.tasks} tasks; a larger --budget, "
            "or more --trials, goes on"
            for name in lacking
        )
        if not chosen:
            return 1
        options = options_of(asked, chosen)
        storage.write(BEST, _as_yaml(options, lacking).encode())
        write_chosen(storage, [one.setting for one in chosen.values()])
        study = Study.checked(**_where(asked), **options)
        sweep = Sweep(study, storage, *study_spaces(study), only=["streams"])
        outcome = sweep.finished(retry_failed=command.retry_failed)
        if outcome is None:
            with exits_on_ctrl_c():
                sweep.check(then_runs=True, say=say_progress)
            outcome = sweep.run(retry_failed=command.retry_failed, command=typed)
        print(outcome.summary(), flush=True)
        if outcome.interrupted:
            return INTERRUPTED_STATUS
        complete = not (outcome.failures or outcome.missing or lacking or lost)
        data = data_fingerprint(storage)
        for name in analyses if outcome.finished else ():
            print()
            complete &= run_analysis(name, storage, data)
        print(f"\nBest settings, for another study: --config {storage.root.rstrip('/')}/{BEST}")
        print(summary(asked, storage, found))
        return 0 if complete else 1

    return carried_out(work, command, storage)


def options_of(study: SettingsSearch, chosen: Mapping[str, Standing]) -> dict[str, Any]:
    """Returns the options with which another study trains the best settings, on the same tasks.

    Args:
        study: the search.
        chosen: the best setting of each intervention.
    """
    names = list(dict.fromkeys(n for one in chosen.values() for n in one.setting.options))
    rows = []
    for intervention in filter(chosen.__contains__, study.interventions):
        used = options_used(INTERVENTION, intervention)
        unused = {n for n in names if kind_with(n) == INTERVENTION and n not in used}
        known = {name: UNUSED if name in unused else getattr(study, name) for name in names}
        rows.append([intervention, *(known | chosen[intervention].setting.options).values()])
    fixed = {
        name: value
        for name, field in StreamRun.model_fields.items()
        if role_of(field) == "training" and name in Study.model_fields and name not in names
        and ((value := getattr(study, name)) != field.default or name in PRESETS["default"])
    }  # fmt: skip
    fixed |= {name: getattr(study, name) for name in ("seeds", "shifts", "tasks", "snapshots")}
    return {**fixed, "search": {zipped([INTERVENTION, *names]): rows}}


def _as_yaml(options: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Returns the text of a file for ``--config``.

    Args:
        options: see `options_of`.
        without: interventions that it lacks, as none of their settings has finished.
    """
    lacking = "".join(f"# Without {name}: none of its settings has finished.\n" for name in without)
    ((axis, rows),) = options["search"].items()
    plain = {
        name: as_text(value)[1:-1] if isinstance(value, tuple) else value
        for name, value in options.items()
        if name != "search"
    }
    told = {axis: ",".join(as_text(tuple(row)) for row in rows)}
    return (
        "# The best setting of each intervention, on the seeds on which it was not chosen.\n"
        "# raylot sweep ticket-count-vs-plasticity --config THIS_FILE\n"
        + lacking
        + yaml.safe_dump({**plain, "search": told}, sort_keys=False, width=10_000)
    )


def _where(study: Study) -> dict[str, Any]:
    """Returns the options that say where a study runs, and on what."""
    return {
        name: getattr(study, name)
        for name, field in Study.model_fields.items()
        if role_of(field) == "where"
    }


def summary(study: SettingsSearch, storage: Storage, found: Sequence[Standing]) -> str:
    """Says what was spent, how many streams ASHA stopped, and which share of the training steps
    of all settings that saved."""
    streams = len(study.shifts) * len(study.choosing_seeds)
    stopped = [one for one in found if one.status == "stopped"]
    planned = sum(len(one.setting.runs) * one.setting.tasks for one in found if one.has_ended)
    saved = sum(len(o.setting.runs) * o.setting.tasks - o.tasks_done for o in stopped)
    time = f"{sum(spent(storage).values()):,.0f} s"
    of = "" if study.budget is None else f" of {study.budget:,.0f} s"
    return (
        f"Choosing took {time}{of}: {len(found)} settings tried on {streams} streams each; ASHA "
        f"stopped {len(stopped) * streams} of {len(found) * streams} streams, which saved "
        f"{saved / max(planned, 1):.0%} of the training steps."
    )
