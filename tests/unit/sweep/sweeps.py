"""Tiny sweeps for tests on a real Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raylot.config import Study
from raylot.results.integrity import ended_runs
from raylot.storage import Storage
from raylot.sweep.space import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials.kinds import TRIALS
from tests.unit.trials.runs import finish, run_config

TINY = {
    "hidden": "6", "tasks": 3, "snapshots": "0,2", "epochs": 1, "batch_size": 256, "lr": 0.01,
    "tickets": 2, "rounds": 1, "probe_size": 20, "ntk_examples": 0, "sharpness_iterations": 0,
    "save_interval": 0, "max_concurrent": 1, "probe_tasks": 1,
}  # fmt: skip


def sweep_of(root: Path, seeds: list[int], sparsities: list[float], **options: Any) -> Sweep:
    """Returns a sweep under permuted pixels, of `TINY` and further options."""
    compared = {"shifts": "permuted_pixels", "seeds": seeds, "sparsities": sparsities}
    study = Study.checked(**{**TINY, **compared, **options})
    return Sweep(study, Storage(root), *study_spaces(study))


def computed_here(sweep: Sweep, *stages: int) -> None:
    """Computes the runs of some stages one by one, without Tune, as far as they are missing."""
    for stage in (sweep.stages[index] for index in stages):
        for run in stage.ready(ended_runs(sweep.storage), sweep.storage):
            finish(TRIALS[run.kind](run_config(run, sweep.storage.root)))
