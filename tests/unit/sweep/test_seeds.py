"""Seeds are added until intervals are narrow: the path, and what is said of it; without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from raylot.config import Study
from raylot.foundation.errors import OptionError
from raylot.results.commands import commands
from raylot.storage import Storage
from raylot.sweep import Space, study_spaces
from raylot.sweep.outcome import Outcome
from raylot.sweep.seeds import FALSE, HELD, add_seeds, may_grow
from raylot.sweep.space import grid
from raylot.sweep.sweep import Sweep
from tests.unit.analysis.studies import write_study

_OPTIONS = {"tasks": 11, "snapshots": "0,10", "rounds": 3, "sparsities": "0.8",
            "shifts": "permuted_pixels"}  # fmt: skip
_ALL_WELL = Outcome(
    finished=1, finished_stages=frozenset({"tickets"}), diverged=0, failures=(), missing=0,
    to_grow=0, blocked=0, measuring_seconds=0.0, lost=(), interrupted=False,
)  # fmt: skip


def _values(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
    """Seeds lose -0.05 and 0.05 of plasticity in turn."""
    gap = 0.05 * (-1) ** seed if task else 0.0
    return {"probe_online_gap": gap, "advantage_over_random": 0.1}


def _sweep(root: Path, **options: object) -> Sweep:
    study = Study.checked(**_OPTIONS | options)
    return Sweep(study, Storage(root), *study_spaces(study))


def _path(
    sweep: Sweep, first: Outcome = _ALL_WELL, later: Outcome = _ALL_WELL
) -> tuple[list[tuple[int, ...]], list[str]]:
    """Returns the seeds of each sweep that is computed, and what is said."""
    path, said = [], []

    def compute(sweep: Sweep) -> Outcome:
        path.append(sweep.study.seeds)
        seeds = sweep.study.seeds
        write_study(Path(sweep.storage.root), _values, tasks=(0, 10), seeds=seeds)
        return later

    compute(sweep)
    add_seeds(sweep, first, study_spaces, compute, said.append, "the command")
    return path, said


def test_seeds_are_added_until_the_widest_interval_is_narrow(tmp_path: Path) -> None:
    # t intervals at 97.5%: with 5 seeds 0.171 wide, with 7 seeds 0.120, with 9 seeds 0.097.
    path, said = _path(_sweep(tmp_path, until_width=0.1, seeds="0-4"))
    assert path == [tuple(range(5)), tuple(range(7)), tuple(range(9))]
    assert [line.split(":")[0] for line in said] == [
        "5 seeds", "7 seeds", "9 seeds (every 95% interval is at most 0.1 wide)",
    ]  # fmt: skip
    assert said[0].endswith(" wide; 2 more follow.")
    assert f"at least {HELD}% of studies" in said[-1]
    assert f"at most {FALSE}%" in said[-1]
    (command,) = commands(Storage(tmp_path))
    assert (command.line, command.adds_seeds) == ("the command", True)


def test_the_same_command_takes_the_same_path_beside_further_seeds(tmp_path: Path) -> None:
    write_study(tmp_path, _values, tasks=(0, 10), seeds=range(20))
    again = _path(_sweep(tmp_path, until_width=0.1, seeds="0-4"))
    assert again == _path(_sweep(tmp_path / "alone", until_width=0.1, seeds="0-4"))


def test_no_more_than_the_most_seeds_are_used(tmp_path: Path) -> None:
    options = {"until_width": 0.01, "seeds": "1,5", "max_seeds": 6, "seeds_per_step": 3}
    path, said = _path(_sweep(tmp_path, **options))
    assert path == [(1, 5), (1, 5, 6, 7, 8), (1, 5, 6, 7, 8, 9)]
    assert "is not known yet; 3 more follow." in said[0]
    assert said[1].endswith("; 1 more follow.")
    assert said[2].startswith(
        "6 seeds (the most allowed; not every 95% interval is at most 0.01 wide): the widest 95%"
    )


def test_nothing_is_added_unless_it_is_asked_for(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path)
    assert _path(sweep) == ([sweep.study.seeds], [])
    assert may_grow(sweep, study_spaces) == []
    assert commands(sweep.storage) == []


@pytest.mark.parametrize(
    "broken",
    [replace(_ALL_WELL, failures=("out of luck",)), replace(_ALL_WELL, missing=3, blocked=2)],
)
def test_a_sweep_that_is_not_whole_gets_no_more_seeds(tmp_path: Path, broken: Outcome) -> None:
    path, said = _path(_sweep(tmp_path, until_width=0.01), later=broken)
    assert len(path) == 2
    assert said[1] == "No more seeds than 7 were tried, as runs failed or are missing."


def test_runs_behind_diverged_streams_are_not_waited_for(tmp_path: Path) -> None:
    diverged = replace(_ALL_WELL, diverged=1, missing=2, blocked=2)
    path, _ = _path(_sweep(tmp_path, until_width=0.01, max_seeds=7), diverged, diverged)
    assert len(path) == 2


def test_an_interrupted_sweep_says_nothing_more(tmp_path: Path) -> None:
    interrupted = replace(_ALL_WELL, interrupted=True, missing=3)
    assert _path(_sweep(tmp_path, until_width=0.01), interrupted)[1] == []


def test_the_plan_says_what_it_may_grow_to(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path, until_width=0.05, seeds="0-4", max_seeds=10)
    (line,) = may_grow(sweep, study_spaces)
    runs = 2 * sum(len(stage.runs) for stage in sweep.stages)
    steps = 2 * sum(run.training_steps for stage in sweep.stages for run in stage.runs)
    assert line == (
        "Seeds may grow from 5 to 10, 2 at once, until intervals are at most 0.05 wide: at most "
        f"{runs} runs and {steps:,} training steps in all, finished ones included."
    )


def test_search_spaces_with_seeds_of_their_own_are_refused(tmp_path: Path) -> None:
    def spaces(study: Study) -> tuple[Space, Space, Space]:
        streams, *others = study_spaces(study)
        return {**streams, "seed": grid([0, 1])}, *others

    study = Study.checked(**_OPTIONS, until_width=0.05)
    sweep = Sweep(study, Storage(tmp_path), *spaces(study))
    with pytest.raises(OptionError, match=r"^until_width=0.05: must go with search spaces that"):
        may_grow(sweep, spaces)


def test_the_figures_that_are_told_are_those_of_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/method.md").read_text()
    assert f"held the truth in at least {HELD}%" in page
    assert f"at most {FALSE}%" in page
