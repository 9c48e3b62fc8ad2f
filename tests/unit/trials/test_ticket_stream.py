"""The ticket stream trial: pairing, masks over tasks, its snapshots, what it needs."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raylot import networks, plasticity, results
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import zero_pruned
from raylot.storage import Storage
from raylot.tasks import Task
from raylot.training import TrainingResult, train
from raylot.trials import on_tasks
from raylot.trials.artifacts import masks_path, snapshot_path
from raylot.trials.measurement import TicketMeasurementTrial
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import finish, run_all, trial_config

_SUBNETWORKS = ("ticket", "dense", "random", "reinit")


def _trial(root: Path, subnetwork: str, **options: Any) -> TicketStreamTrial:
    return TicketStreamTrial(trial_config(root, task=2, subnetwork=subnetwork, **options))


def _measurement(root: Path, subnetwork: str, **options: Any) -> TicketMeasurementTrial:
    which = {"task": 2, "subnetwork": subnetwork, "measured": "structure"}
    return TicketMeasurementTrial(trial_config(root, **which, **options))


def _snapshot(root: Path, trial: TicketStreamTrial) -> dict[str, Tensor]:
    path = snapshot_path(trial.run.stream.run_id, trial.run.task)
    return tensors_from_bytes(Storage(root).read(path) or b"")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Storages with a stream and its tickets, by what pruned weights are; not to be written to."""
    roots = {masked: tmp_path_factory.mktemp(masked) for masked in ("zero", "freeze")}
    for masked, root in roots.items():
        run_all(root, masked=masked)
    return roots


def test_all_subnetworks_see_the_same_tasks_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[RandomKey, Task]] = []

    def watched(network: torch.nn.Module, task: Task, **options: Any) -> TrainingResult:
        if "ticket stream" in options["key"].path:
            seen.append((options["key"], task))
        return train(network, task, **options)

    monkeypatch.setattr(on_tasks, "train", watched)
    run_all(tmp_path, *_SUBNETWORKS)
    assert len(seen) == 4 * 3
    for step in range(3):
        keys, tasks = zip(*seen[step::3], strict=True)
        assert len(set(keys)) == 1
        assert all(task.train_inputs.equal(tasks[0].train_inputs) for task in tasks)
    assert len({key for key, _ in seen}) == 3
    rows = results.read(tmp_path, "tasks")
    for name, part in rows[rows["snapshot"].notna()].groupby("subnetwork"):
        assert name in _SUBNETWORKS
        assert part["task"].tolist() == [3, 4, 5], "the tasks after the snapshot's"
        assert set(part["snapshot"]) == {2}
        assert part["sparsity"].notna().all() == (name != "dense")
        assert part["ticket"].notna().all() == (name != "dense")


@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("subnetwork", ["ticket", "random", "reinit"])
def test_pruned_weights_stay_where_they_are_over_all_tasks(
    searched: dict[str, Path], subnetwork: str, masked: str
) -> None:
    root = searched[masked]
    trial = _trial(root, subnetwork, masked=masked, save_interval=1000, carry_optimizer=False)
    trial.begin()
    trial._begun = True
    masks = trial._masks
    assert masks is not None
    begun = {name: t.clone() for name, t in trial._network.state_dict().items()}
    snapshot = _snapshot(root, trial)
    if masked == "freeze" and subnetwork != "reinit":
        assert all(torch.equal(begun[name], tensor) for name, tensor in snapshot.items())
    for _ in range(2):
        trial.advance()
        trial.state.steps += 1
        saved = trial.tensors()
        for name, mask in masks.items():
            now = saved[f"network/{name}"]
            assert torch.equal(now[~mask], begun[name][~mask])
            assert masked == "freeze" or not now[~mask].any()
            assert not torch.equal(now[mask], begun[name][mask])


def test_subnetworks_are_what_they_are_called(searched: dict[str, Path]) -> None:
    root = searched["zero"]
    trials = {name: _trial(root, name) for name in _SUBNETWORKS}
    for trial in trials.values():
        trial.begin()
    found = tensors_from_bytes(
        Storage(root).read(masks_path(trials["ticket"].run.search.run_id, 0)) or b""
    )
    snapshot = _snapshot(root, trials["ticket"])
    states = {name: trial._network.state_dict() for name, trial in trials.items()}
    assert trials["dense"]._masks is None
    assert all(torch.equal(states["dense"][n], tensor) for n, tensor in snapshot.items())
    for layer in ("hidden1.weight", "output.weight"):
        masks = {n: t._masks[layer] for n, t in trials.items() if t._masks is not None}
        assert torch.equal(masks["ticket"], found[f"0/{layer}"].bool())
        assert torch.equal(masks["reinit"], masks["ticket"])
        assert not torch.equal(masks["random"], masks["ticket"])
        assert int(masks["random"].sum()) == int(masks["ticket"].sum())
        for name in ("ticket", "random"):
            assert torch.equal(states[name][layer], snapshot[layer] * masks[name])
        alive = masks["reinit"]
        assert not torch.equal(states["reinit"][layer][alive], snapshot[layer][alive])


def test_each_ticket_has_a_stream_of_its_own(tmp_path: Path) -> None:
    run_all(tmp_path, batch_size=32)
    first, second = (_trial(tmp_path, "ticket", ticket=k, batch_size=32) for k in (0, 1))
    first.begin()
    second.begin()
    assert first._masks is not None
    assert second._masks is not None
    assert not torch.equal(first._masks["hidden1.weight"], second._masks["hidden1.weight"])


def test_a_rewound_ticket_goes_on_from_where_it_was_rewound_to(tmp_path: Path) -> None:
    options = {"rewind_steps": 3, "masked": "freeze"}
    run_all(tmp_path, **options)
    ticket, dense = (_trial(tmp_path, name, **options) for name in ("ticket", "dense"))
    for trial in (ticket, dense):
        trial.begin()
    states = [trial._network.state_dict() for trial in (ticket, dense)]
    snapshot = _snapshot(tmp_path, ticket)
    assert all(torch.equal(states[0][name], states[1][name]) for name in snapshot)
    assert not torch.equal(states[0]["output.weight"], snapshot["output.weight"])


@pytest.mark.parametrize(
    ("options", "measured"),
    [({"ticket_tasks": 3}, {3}), ({"ticket_tasks": 10}, {3, 12}),
     ({"ticket_tasks": 3, "ticket_snapshots": "1,2"}, {4, 5})],
)  # fmt: skip
def test_plasticity_is_measured_before_the_tasks_asked_for(
    tmp_path: Path, searched: dict[str, Path], options: dict[str, Any], measured: set[int]
) -> None:
    root = _copied(searched["zero"], tmp_path)
    trial = _trial(root, "ticket", **options)
    finish(trial)
    measurement = _measurement(root, "ticket", **options)
    finish(measurement)
    rows = results.read(root, "plasticity")
    assert trial.run.run_id not in set(rows["run_id"])
    rows = rows[rows["run_id"] == measurement.run.run_id]
    assert set(rows["task"]) == measured
    assert not rows.duplicated(["task", "layer", "metric"]).any()


def test_a_pruned_network_is_measured_pruned(tmp_path: Path, searched: dict[str, Path]) -> None:
    """Its first rows too, before any training has put its pruned weights to zero."""
    root = _copied(searched["zero"], tmp_path)
    finish(_trial(root, "ticket"))
    trial = _measurement(root, "ticket")
    trial.step()
    assert trial._masks is not None
    task = trial.task(3)
    network = networks.build(trial.run, task.input_shape, task.classes, RandomKey((0,)))
    network.load_state_dict(_snapshot(root, trial))
    dense = copy.deepcopy(network)
    zero_pruned(network, trial._masks)
    key = RandomKey((trial.run.seed, "probe"))
    expected, unmasked = (
        plasticity.measure(
            n,
            task,
            trial.run,
            key,
            initial=trial._initial,
            masks=trial._masks,
            built_in=plasticity.GROUPS["structure"],
        )
        for n in (network, dense)
    )
    whose = {"task": 3, "subnetwork": "ticket", "stream_run_id": trial.run.stream.run_id,
             "snapshot": 2, "sparsity": 0.5, "ticket": 0, "setting": trial.run.setting}  # fmt: skip
    assert [{**row, **whose} for row in expected] == trial.state.rows["plasticity"]
    assert expected != unmasked


def test_without_its_tickets_it_names_the_search_that_should_have_left_them(tmp_path: Path) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    trial = _trial(tmp_path, "ticket", ticket=1)
    search = trial.run.search.run_id
    (report,) = finish(trial)
    assert report["lost_run"] == search
    assert report["lost"] == f"tables/runs: has no valid row of {search}"
    finish(TicketsTrial(trial_config(tmp_path, task=2)))
    Storage(tmp_path).delete_file(masks_path(search, 1))
    (report,) = finish(_trial(tmp_path, "ticket", ticket=1))
    assert (report["lost_run"], report["lost"]) == (
        search, f"{masks_path(search, 1)}: is not there"
    )  # fmt: skip
    assert not finish(_trial(tmp_path, "dense"))[-1]["failed"], "it needs its stream alone"


def test_the_dense_network_needs_no_search_and_is_the_same_for_all_of_them(tmp_path: Path) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    one = finish(_trial(tmp_path, "dense", sparsity=0.5))
    again = finish(_trial(tmp_path, "dense", sparsity=0.9, rewired_masks=2))
    assert (len(one), len(again)) == (3, 1)
    assert again[0]["run_id"] == one[0]["run_id"]
    assert again[0]["new_training_steps"] == 0


def test_divergence_is_data(tmp_path: Path, searched: dict[str, Path]) -> None:
    root = _copied(searched["zero"], tmp_path)
    trial = _trial(root, "ticket")
    trial.begin()
    trial._begun = True
    torch.nn.init.constant_(next(trial._network.parameters()), float("inf"))
    assert finish(trial)[-1]["done"]
    runs = results.read(root, "runs").set_index("run_id")
    assert runs["status"][trial.run.run_id] == "diverged"


def _copied(root: Path, target: Path) -> Path:
    return Path(shutil.copytree(root, target / "copy"))
