"""Results give what the storage holds: as the analysis writes it, and as the trials left it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import raylot
from raylot import results
from raylot.analysis import correlation
from raylot.analysis.figures import figures, style
from raylot.analysis.figures.style import encoded
from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import density
from raylot.storage import Storage
from raylot.training import evaluate, train
from raylot.trials.artifacts import masks_path, snapshot_path
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.faults.clusters import ObjectStore
from tests.support.tables import assert_same_tables
from tests.unit.analysis.studies import falling, write_study
from tests.unit.trials.runs import finish, run_all, trial_config

ONE = {"seed": 1, "task": 2, "sparsity": 0.5}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds; seed 0 is searched at two sparsities, seed 2 freezes what it prunes."""
    root = tmp_path_factory.mktemp("study")
    for seed in range(3):
        finish(StreamTrial(trial_config(root, seed=seed)))
        for task in (0, 2, 3):
            finish(TicketsTrial(trial_config(root, seed=seed, task=task, random_masks=3)))
    finish(TicketsTrial(trial_config(root, seed=0, task=2, sparsity=0.9, random_masks=3)))
    finish(TicketsTrial(trial_config(root, seed=2, task=2, masked="freeze", random_masks=3)))
    return root


@pytest.fixture
def found(study: Path) -> raylot.Results:
    return raylot.open(study)


@pytest.mark.parametrize("call", [raylot.open, lambda root: raylot.run(raylot.Study(), root)])
def test_a_storage_of_an_older_raylot_is_refused(
    call: Callable[[Path], Any], tmp_path: Path
) -> None:
    row = {"run_id": "abc", "raylot_version": "0.1.9"}
    results.write(Storage(tmp_path), "runs", "abc", [row])
    with pytest.raises(
        raylot.OptionError, match=r"must have been written by raylot .*, not 0\.1\.9:"
    ):
        call(tmp_path)


def test_it_has_a_short_repr(found: raylot.Results, study: Path) -> None:
    assert repr(found) == f"Results('{study}', 14 runs ended)"


def test_tables(found: raylot.Results, study: Path) -> None:
    for name in results.SCHEMAS:
        pd.testing.assert_frame_equal(found.table(name), results.read(study, name))
    pd.testing.assert_frame_equal(found.runs, results.read(study, "runs"))


@pytest.mark.parametrize("pairing", ["same", "previous"])
def test_correlation_and_answer_are_those_of_the_analysis(
    study: Path, found: raylot.Results, pairing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    correlation.main([str(study), "--pairing", pairing])
    name = "correlation" if pairing == "same" else "correlation_pairing_previous"
    written = pd.read_parquet(study / "analysis" / f"{name}.parquet")
    pd.testing.assert_frame_equal(found.correlation(pairing), written, check_dtype=False)
    if pairing == "same":
        printed = " ".join(capsys.readouterr().out.split())
        for text in found.answer().split("\n"):
            assert " ".join(text.split()) in printed


def test_figures_are_those_of_the_analysis(study: Path, found: raylot.Results) -> None:
    figures.main([str(study)])
    drawn = {path.stem: path for path in (study / "analysis/figures").glob("*.svg")}
    assert set(drawn) <= set(found.figures)
    assert len(drawn) > 8
    name = next(name for name in drawn if name.startswith("tickets_vs_plasticity"))
    with style.applied():
        assert encoded(found.figure(name))["svg"] == drawn[name].read_bytes()


def test_the_report_is_written(found: raylot.Results) -> None:
    assert "<html" in Path(found.report()).read_text(encoding="utf-8")


_LOOKING = """
import sys, raylot
found = raylot.open(sys.argv[1])
found.network(seed=1, task=2)
found.network(seed=1, task=2, sparsity=0.5, ticket=0)
found.tickets(seed=1, task=2, sparsity=0.5)
print("ray" in sys.modules)
"""


def test_looking_at_snapshots_and_tickets_imports_no_ray(study: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOKING, study], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_tickets_are_those_of_the_tables(study: Path, found: raylot.Results) -> None:
    tickets = found.tickets(**ONE)
    assert repr(tickets).startswith("Tickets(2, of which ")
    run = TicketsTrial(trial_config(study, **ONE)).run
    files = [Storage(study).read(masks_path(run.run_id, k)) or b"" for k in range(2)]
    saved = tensors_from_bytes(files[0]) | tensors_from_bytes(files[1])
    assert len(saved) == 2 * 2
    assert list(tickets.masks[0]) == ["hidden1.weight", "output.weight"]
    for name, mask in saved.items():
        ticket, _, weight = name.partition("/")
        assert torch.equal(tickets.masks[int(ticket)][weight], mask)
    (row,) = found.table("snapshots").query("run_id == @run.run_id").to_dict("records")
    summary = tickets.summary()
    assert summary == pytest.approx({name: row[name] for name in summary}, rel=0, nan_ok=True)
    rows = found.table("tickets").query("run_id == @run.run_id")
    last = rows[rows["wins"].notna()]
    assert [density(masks) for masks in tickets.masks] == last["density"].tolist()
    assert tickets.wins == last["wins"].tolist()
    assert len(tickets.rows) == len(rows)


def test_a_ticket_trains_to_the_accuracy_that_was_recorded(found: raylot.Results) -> None:
    run = TicketsTrial(trial_config("unused", **ONE)).run
    tickets = found.tickets(**ONE)
    for ticket, recorded in enumerate(tickets.accuracies):
        network = found.network(**ONE, ticket=ticket)
        trained = train(
            network,
            found.task(seed=1, task=2),
            epochs=1,
            batch_size=256,
            optimizer=OptimizerOptions(lr=0.01),
            key=RandomKey((1, "tickets", 2)).child("ticket", ticket, "round", run.rounds),
            masks=tickets.masks[ticket],
        )
        assert trained.test_accuracy == recorded


def test_a_snapshot_is_the_network_before_its_task(found: raylot.Results) -> None:
    network = found.network(seed=1, task=3)
    after = found.table("tasks").query("seed == 1 and task == 2")["test_accuracy"]
    assert [evaluate(network, found.task(seed=1, task=2)).accuracy] == after.tolist()


def test_a_ticket_s_pruned_weights_are_zero_or_frozen(found: raylot.Results) -> None:
    for masked, is_pruned in (("zero", True), ("freeze", False)):
        which = {"seed": 2, "task": 2, "masked": masked}
        tickets, ticket = found.tickets(**which), found.network(**which, ticket=1)
        snapshot = found.network(seed=2, task=2)
        for name, mask in tickets.masks[1].items():
            weight, before = ticket.get_parameter(name), snapshot.get_parameter(name)
            assert torch.equal(weight[mask], before[mask])
            assert bool((weight[~mask] == 0).all()) == is_pruned


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.tickets(), "^seed, task, sparsity, masked: must be given, as 11 runs match"),
        (lambda r: r.tickets(seed=0, task=2), r"sparsity: .* \(sparsity: one of 0.5, 0.9\)"),
        (lambda r: r.tickets(seed=7), "seed=7: must be one of 0, 1, 2$"),
        (lambda r: r.tickets(sead=0), "sead=0: unknown option; did you mean seed"),
        (lambda r: r.tickets(hidden=[6, 6]), r"hidden=\[6, 6\]: must be one of 6"),
        (lambda r: r.network(seed=0, task=1), "task=1: must be one of the snapshots 0, 2, 3"),
        (lambda r: r.network(seed=0, task=0, sparsity=0.5), "sparsity: must go with ticket, the"),
        (lambda r: r.network(seed=0, task=0, ticket=2), r"ticket=2: must lie in \[0, 2\)"),
        (lambda r: r.network(seed=0, task=0, ticket="0"), "ticket='0': must be a whole number"),
        (lambda r: r.network(seed=0, task=2.0), "task=2.0: must be a whole number from 0"),
        (lambda r: r.tickets(seed="0"), "seed='0': must be one of 0, 1, 2"),
        (lambda r: r.tickets(seed=[0]), r"seed=\[0\]: must be one of 0, 1, 2"),
        (lambda r: r.task(seed=0, task=-1), "task=-1: must be a whole number from 0"),
        (lambda r: r.table(["runs"]), r"table=\['runs'\]: must be one of runs, tasks"),
        (lambda r: r.table("ticket"), "table=ticket: must be one of runs, tasks"),
        (lambda r: r.correlation("next"), "pairing=next: must be one of same, previous"),
        (lambda r: r.figure("along"), "figure=along: must be one of "),
    ],
)
def test_a_mistake_is_one_line(
    found: raylot.Results, ask: Callable[[raylot.Results], object], message: str
) -> None:
    with pytest.raises(raylot.OptionError, match=f"^{message}") as refused:
        ask(found)
    assert "\n" not in str(refused.value)


def test_a_task_may_be_a_number_of_a_table(found: raylot.Results) -> None:
    task = found.table("snapshots")["task"].unique()[0]  # numpy's
    ours, own = (found.task(seed=0, task=t) for t in (task, int(task)))
    assert ours.train_inputs.equal(own.train_inputs)


def test_a_list_names_a_run_as_well_as_its_text(found: raylot.Results) -> None:
    assert repr(found.network(seed=0, task=2, hidden=[6])) == repr(
        found.network(seed=0, task=2, hidden="6", intervention="none", plugins=None)
    )


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    run_all(tmp_path)
    found, run = raylot.open(tmp_path), StreamTrial(trial_config(tmp_path)).run
    path = snapshot_path(run.run_id, 2)
    Storage(tmp_path).write(path, (Storage(tmp_path).read(path) or b"")[:-1])
    with pytest.raises(raylot.OptionError, match=f"^storage=.*{path}: damaged .*; `raylot check"):
        found.network(task=2)
    Storage(tmp_path).delete_file(path)
    with pytest.raises(raylot.OptionError, match=f"^storage=.*{path} is not there; `raylot check"):
        found.tickets()


def test_a_storage_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(raylot.OptionError, match=r"^storage=.*: must be the folder or URI of a"):
        raylot.open(tmp_path / "nothing")
    (tmp_path / "tables").mkdir()
    empty = raylot.open(tmp_path)
    assert empty.runs.empty
    for ask in (empty.tickets, empty.answer, empty.report, lambda: empty.network(task=0, seed=0)):
        with pytest.raises(raylot.OptionError):
            ask()


def test_results_in_an_object_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ObjectStore() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        run_all("s3://bucket/study")
        run_all(tmp_path)
        away, here = raylot.open("s3://bucket/study"), raylot.open(tmp_path)
        assert repr(away) == "Results('s3://bucket/study', 6 runs ended)"
        assert_same_tables(away.root, here.root)
        assert repr(away.tickets()) == repr(here.tickets())
        states = [each.network(task=2, ticket=1).state_dict() for each in (away, here)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
        assert away.report() == "s3://bucket/study/analysis/report.html"
        assert Storage("s3://bucket/study").exists("analysis/report.html")


def test_of_options_that_go_together_one_is_named(tmp_path: Path) -> None:
    write_study(tmp_path, falling, shifts=("permuted_pixels", "stationary"), sparsities=(0.8,))
    found = raylot.open(tmp_path)
    assert len({"fraction", "period"} & {*found.runs}) == 2
    with pytest.raises(raylot.OptionError) as told:
        found.tickets(seed=0, task=10)
    assert str(told.value) == (
        "shift: must be given, as 2 runs match (shift: one of permuted_pixels, stationary)"
    )
