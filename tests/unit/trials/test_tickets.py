"""The tickets trial: its tables, its controls, plastic parameters, and what may go wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raylot import plugins, results
from raylot.storage import Storage
from raylot.tasks import make_probe_task
from raylot.tickets import TicketSearch
from raylot.trials.artifacts import masks_path, snapshot_path
from raylot.trials.state import RunState, tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import finish, run_all, trial_config


def test_tables_of_a_finished_run(tmp_path: Path) -> None:
    run_all(tmp_path)
    assert not list((tmp_path / "state").rglob("*.safetensors"))
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert set(runs["status"]) == {"finished"}
    assert runs["stream_run_id"].nunique() == 1
    assert runs["stream_run_id"]["stream"] == runs["run_id"]["stream"]
    # 1437 examples in batches of 256: 6 steps per epoch; 4 tasks; 3 networks on a probe task; 2
    # tickets in 3 rounds, an untrained and 2 random masks
    steps = {"stream": 24, "probes": 18, "measurement": 0, "tickets": 54}
    assert runs["training_steps"].to_dict() == steps
    assert results.read(tmp_path, "tasks")["task"].tolist() == [0, 1, 2, 3]
    tickets = results.read(tmp_path, "tickets")
    assert (
        tickets["control"].tolist()
        == ["dense"] * 2 + ["ticket"] * 4 + ["untrained"] + ["random"] * 2
    )
    assert tickets["wins"].isna().all()
    assert set(tickets["test_examples"]) == {360}
    overlaps = results.read(tmp_path, "overlaps")
    assert overlaps["layer"].tolist() == ["all", "hidden1.weight", "output.weight"] * 3
    assert overlaps["compared_with"].tolist() == ["ticket"] * 3 + ["untrained"] * 6
    assert overlaps["ticket_b"].tolist() == [1] * 3 + [0] * 3 + [1] * 3
    assert overlaps["chance_untrained"].notna().tolist() == [True] * 3 + [False] * 6
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    assert snapshot["overlap_mean"] == overlaps["jaccard"][0]
    assert overlaps["jaccard_matched"].notna().tolist() == [True] + [False] * 8
    assert snapshot["overlap_matched"] == overlaps["jaccard_matched"][0] >= overlaps["jaccard"][0]
    assert snapshot["overlap_untrained"] == overlaps["jaccard"][[3, 6]].mean()
    assert snapshot["overlap_beyond_untrained"] == overlaps["beyond_untrained"][0]
    assert 1 <= snapshot["ticket_count"] <= 2
    assert snapshot["test_examples"] == 360
    for name in ("winning_tickets", "winning_ticket_count"):
        assert math.isnan(snapshot[name]), "two random masks are too few to judge"
    paths = [masks_path(runs["run_id"]["tickets"], ticket) for ticket in range(2)]
    first, second = (tensors_from_bytes(Storage(tmp_path).read(path) or b"") for path in paths)
    # 64 x 6 and 6 x 10 weights, half of them kept
    assert int(first["0/hidden1.weight"].sum()) == 192
    assert int(second["1/output.weight"].sum()) == 30


def test_tickets_at_all_sparsities_share_their_dense_control(tmp_path: Path) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    for sparsity in (0.5, 0.9):
        finish(TicketsTrial(trial_config(tmp_path, task=2, sparsity=sparsity)))
    tickets = results.read(tmp_path, "tickets").query("control == 'dense'")
    by_ticket = tickets.groupby("ticket")["test_accuracy"].nunique()
    assert by_ticket.tolist() == [1, 1]


_CRITERIA = """
from raylot import plugins

@plugins.criterion("own_taylor", gradients=True)
def own_taylor(context):
    return {name: mean.abs() for name, mean in context.gradients.products.items()}

@plugins.criterion("short")
def short(context):
    return {name: weight[0] for name, weight in context.weights.items()}

@plugins.criterion("raising")
def raising(context):
    return {name: 1 / 0 for name in context.masks}
"""


@pytest.fixture
def own_criteria(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "own.py").write_text(_CRITERIA)
    plugins.load(tmp_path / "own.py")
    yield
    plugins.forget()


@pytest.mark.usefixtures("own_criteria")
@pytest.mark.parametrize("criterion", ["magnitude", "own_taylor", "taylor", "snip"])
def test_divergence_is_data(tmp_path: Path, criterion: str) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["status"] == "diverged"
    tasks = results.read(tmp_path, "tasks")
    assert len(tasks) <= 2
    assert math.isnan(tasks["test_accuracy"].iloc[-1])
    diverging = trial_config(tmp_path, task=0, criterion=criterion, **options)
    finish(TicketsTrial(diverging))
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert runs["status"]["tickets"] == "diverged"
    assert math.isnan(results.read(tmp_path, "tickets")["test_accuracy"].iloc[-1])


@pytest.mark.parametrize(("criterion", "of_scores"), [("snip", 0), ("edge_popup", 2 * 4)])
def test_a_criterion_that_scores_before_training_costs_one_training(
    criterion: str, of_scores: int, tmp_path: Path
) -> None:
    """The search grows from one ticket to two, and equals the one for two at once."""
    few = {"tickets": 1, "untrained_masks": 1, "random_masks": 1}
    steps: tuple[dict[str, Any], ...] = (few, {"tickets": 2, "supermasks": 2})
    for folder, asked in (("grown", steps), ("whole", steps[1:])):
        finish(StreamTrial(trial_config(tmp_path / folder)))
        for extent in asked:
            settings = trial_config(
                tmp_path / folder, task=2, criterion=criterion, rounds=4, **extent
            )
            while not TicketsTrial(settings).step()["done"]:
                pass  # each step by a trial of its own
    tables = []
    for folder in ("grown", "whole"):
        run = results.read(tmp_path / folder, "runs").set_index("kind").loc["tickets"]
        # 6 steps each: 2 dense networks, 2 tickets, 1 untrained mask and 2 random ones; scores of
        # 2 tickets in 4 rounds
        assert (run["training_steps"], run["rounds"]) == ((7 + of_scores) * 6, 4)
        assert run["training_steps"] == TicketsTrial(settings).run.training_steps
        tables.append(results.read(tmp_path / folder, "tickets"))
    assert tables[0].equals(tables[1])
    rows = tables[0][tables[0]["control"] == "ticket"]
    assert rows["round"].tolist() == [4, 4]
    assert rows["density"].tolist() == [0.5, 0.5]
    assert (tables[0]["control"] == "supermask").sum() == 2


def test_steps_that_an_early_stop_saves_are_not_counted(tmp_path: Path) -> None:
    options = {"epochs": 6, "early_bird": 0.3, "early_bird_epochs": 2}
    finish(StreamTrial(trial_config(tmp_path, epochs=6)))
    trial = TicketsTrial(trial_config(tmp_path, task=2, **options))
    finish(trial)
    run = results.read(tmp_path, "runs").set_index("kind").loc["tickets"]
    assert run["status"] == "finished"
    # 9 trainings of 6 epochs of 6 steps, of which the first rounds of 2 tickets may stop
    assert trial.run.training_steps == 9 * 6 * 6
    assert 7 * 6 * 6 + 2 * 2 * 6 <= run["training_steps"] <= 7 * 6 * 6 + 2 * 5 * 6


@pytest.mark.usefixtures("own_criteria")
def test_a_search_by_a_plugins_criterion_says_so_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    for folder, interrupt in (("whole", False), ("steps", True)):
        run_all(tmp_path / folder, criterion="own_taylor", interrupt=interrupt)
    whole, steps = (
        results.read(tmp_path / folder, "runs").set_index("kind").loc["tickets"]
        for folder in ("whole", "steps")
    )
    assert whole["plugins"].startswith("criterion:own_taylor:")
    assert whole["engine_used"] == "fast"
    assert whole["criterion"] == "own_taylor"
    assert (whole["run_id"], whole["protocol"]) == (steps["run_id"], steps["protocol"])
    for ticket in range(2):
        path = masks_path(whole["run_id"], ticket)
        assert Storage(tmp_path / "whole").read(path) == Storage(tmp_path / "steps").read(path)


@pytest.mark.usefixtures("own_criteria")
@pytest.mark.parametrize(
    ("criterion", "error"),
    [
        ("short", "criterion short: must return scores of hidden1.weight in its shape (6, 64), not "
         "(64,) (at "),
        ("raising", "ZeroDivisionError: division by zero (at own.py:14)"),
    ],
)  # fmt: skip
def test_a_criterion_that_fails_ends_its_run_with_one_reason(
    criterion: str, error: str, tmp_path: Path
) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    finish(TicketsTrial(trial_config(tmp_path, task=0, criterion=criterion)))
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert runs["status"].to_dict() == {"stream": "finished", "tickets": "failed"}
    assert runs["error"]["tickets"].startswith(error)


@pytest.mark.parametrize("length", [0, 7, 500, -1])
def test_a_damaged_snapshot_is_no_data_and_its_stream_is_named(tmp_path: Path, length: int) -> None:
    stream = StreamTrial(trial_config(tmp_path))
    finish(stream)
    path = snapshot_path(stream.run.run_id, 2)
    whole = Storage(tmp_path).read(path)
    assert whole
    Storage(tmp_path).write(path, whole[:length])
    (report,) = finish(TicketsTrial(trial_config(tmp_path, task=2)))
    assert report["lost_run"] == stream.run.run_id
    assert report["lost"].startswith(f"{path}: damaged (")
    assert results.read(tmp_path, "runs")["kind"].tolist() == ["stream"]


def test_controls_have_their_rows_and_means(tmp_path: Path) -> None:
    run_all(
        tmp_path, tickets=3, untrained_masks=2, random_masks=3, rewired_masks=2, reinit_tickets=3
    )
    tickets = results.read(tmp_path, "tickets")
    controls = tickets[~tickets["control"].isin(["ticket", "dense"])]
    assert (
        controls["control"].tolist()
        == ["untrained"] * 2 + ["random"] * 3 + ["rewired"] * 2 + ["reinit"] * 3
    )
    assert set(controls["round"]) == {2}
    assert controls["wins"].isna().all()
    is_last = (tickets["control"] == "ticket") & (tickets["round"] == 2)
    assert (tickets["wins"].notna() == is_last).all()
    assert set(controls["density"]) == set(tickets[tickets["round"] == 2]["density"])
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    assert snapshot["winning_tickets"] == tickets["wins"].sum()
    for control, accuracies in controls.groupby("control")["test_accuracy"]:
        assert snapshot[f"{control}_accuracy"] == pytest.approx(accuracies.mean())


@pytest.mark.parametrize(("random_masks", "is_judged"), [(2, False), (3, True)])
def test_what_is_not_judged_is_not_reported(
    tmp_path: Path, random_masks: int, is_judged: bool
) -> None:
    """Loggers take numbers only."""
    run_all(tmp_path, random_masks=random_masks)
    (*_, last) = finish(TicketsTrial(trial_config(tmp_path, task=3, random_masks=random_masks)))
    for name in ("winning_tickets", "winning_ticket_count"):
        assert (name in last["measures"]) is is_judged
    assert all(isinstance(value, int | float) for value in last["measures"].values())


@pytest.mark.parametrize(
    ("options", "steps"),
    # 6 steps each: 2 tickets trained densely, twice more, and 3 controls; one apart
    [({}, 9 * 6), ({"plastic_task": "unshifted"}, 10 * 6), ({"plastic_scaling": "unit"}, 10 * 6)],
)
def test_plastic_parameters_are_compared_with_three_selections(
    tmp_path: Path, options: dict[str, Any], steps: int
) -> None:
    run_all(tmp_path, **options)
    plastic = results.read(tmp_path, "plastic_parameters")
    layers = ["all", "hidden1.weight", "output.weight"]
    places = list(zip(plastic["selection"], plastic["layer"], strict=True))
    assert places == [(s, layer) for s in ("first", "union", "intersection") for layer in layers]
    assert plastic["density"].tolist() == [0.5] * 9
    shares = plastic.set_index(["layer", "selection"])["selection_density"]["all"]
    assert shares["intersection"] < shares["first"] == 0.5 < shares["union"]
    # how much two tickets have in common is the same seen from either side
    overlap = results.read(tmp_path, "overlaps")["jaccard"][0]
    assert shares["intersection"] / shares["union"] == pytest.approx(overlap)
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert runs["training_steps"]["tickets"] == steps


def test_where_plastic_parameters_are_measured_decides_which_they_are(tmp_path: Path) -> None:
    measured = {}
    for name, options in {
        "same": {},
        "unshifted": {"plastic_task": "unshifted"},
        "scaled": {"plastic_scaling": "standardize"},
    }.items():
        run_all(tmp_path / name, **options)
        measured[name] = results.read(tmp_path / name, "plastic_parameters")["jaccard"].tolist()
    assert len({tuple(values) for values in measured.values()}) == 3


def test_what_plastic_parameters_are_measured_on(tmp_path: Path) -> None:
    trial = TicketsTrial(
        trial_config(tmp_path, task=2, plastic_task="unshifted", plastic_scaling="unit")
    )
    finish(StreamTrial(trial_config(tmp_path)))
    trial.step()
    task = trial._plastic_task()
    assert task.train_inputs.equal(trial._dataset.train_inputs)
    assert (task.offset, task.divisor) == (0, 16)
    shifted = TicketsTrial(trial_config(tmp_path, task=2, plastic_scaling="unit"))
    shifted.step()
    assert shifted._plastic_task().train_inputs.equal(shifted._search._task.train_inputs)
    assert not shifted._plastic_task().train_inputs.equal(task.train_inputs)


def test_a_resumed_search_knows_which_layer_is_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of tensors keeps no order, and with its own rate the output layer is pruned less."""
    finish(StreamTrial(trial_config(tmp_path, hidden="6,5")))
    settings = trial_config(tmp_path, task=2, hidden="6,5", sparsity=0.75, output_rate=0.5)
    TicketsTrial(settings).step()
    load = RunState.from_bytes

    def disordered(data: bytes) -> RunState:
        state = load(data)
        state.tensors = {name: state.tensors[name] for name in sorted(state.tensors, reverse=True)}
        return state

    monkeypatch.setattr(RunState, "from_bytes", disordered)
    trial = TicketsTrial(settings)
    finish(trial)
    # per round 1 - sqrt(0.25) = 50% of 64 x 6 and 6 x 5 weights, 25% of the output's 5 x 10
    assert {n: int(m.sum()) for n, m in trial._search.masks[0].items()} == {
        "hidden1.weight": 96,
        "hidden2.weight": 8,
        "output.weight": 28,
    }


def test_a_diverging_control_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tickets are found and can be compared, whatever a control does."""
    train_control = TicketSearch.train_control

    def diverging(search: TicketSearch, control: str, indices: range) -> list[Any]:
        return [({**row, "test_accuracy": math.nan}, result)
                for row, result in train_control(search, control, indices)]  # fmt: skip

    monkeypatch.setattr(TicketSearch, "train_control", diverging)
    run_all(tmp_path)
    assert set(results.read(tmp_path, "runs")["status"]) == {"finished"}
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    assert math.isnan(snapshot["random_accuracy"])
    assert snapshot["ticket_count"] >= 1


def test_streams_of_a_seed_search_the_same_probe_task_in_the_same_orders(tmp_path: Path) -> None:
    """The snapshot before task 0 is the same network in both, so they find the same."""
    found = {}
    for shift in ("permuted_pixels", "stationary"):
        options = {"shift": shift, "task": 0, "probe_shift": "rotation", "snapshots": "0"}
        finish(StreamTrial(trial_config(tmp_path, shift=shift, snapshots="0")))
        for search_task in ("own", "probe"):
            trial = TicketsTrial(trial_config(tmp_path, search_task=search_task, **options))
            finish(trial)
            rows = results.read(tmp_path, "tickets")
            own = rows[rows["run_id"] == trial.run.run_id]
            assert set(own["search_task"]) == {search_task}
            found[shift, search_task] = own["test_loss"].tolist()
    assert found["permuted_pixels", "probe"] == found["stationary", "probe"]
    assert found["permuted_pixels", "own"] != found["stationary", "own"]
    assert found["permuted_pixels", "own"] != found["permuted_pixels", "probe"]
    snapshots = results.read(tmp_path, "snapshots")
    assert snapshots.groupby("search_task")["protocol"].nunique().to_dict() == {
        "own": 1, "probe": 1
    }  # fmt: skip
    assert snapshots["protocol"].nunique() == 2


def test_the_probe_task_of_a_search_is_the_first_of_its_seed(tmp_path: Path) -> None:
    finish(StreamTrial(trial_config(tmp_path)))
    trial = TicketsTrial(trial_config(tmp_path, task=2, search_task="probe"))
    trial.begin()
    expected = make_probe_task(trial.dataset(), "permuted_pixels", 2, 0, 0)
    assert torch.equal(trial._search._task.train_inputs, expected.train_inputs)
    # A probe task with fewer classes leaves the network as it is.
    split = {"task": 2, "search_task": "probe", "probe_shift": "class_split"}
    for classes in (2, 5):
        trial = TicketsTrial(trial_config(tmp_path, **split, classes_per_task=classes))
        trial.begin()
        assert trial._search.network.state_dict()["output.weight"].shape[0] == 10
        assert int(trial._search._task.train_labels.max()) == classes - 1
