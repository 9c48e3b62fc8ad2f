"""Search spaces: the points they stand for, and what runs share."""

from __future__ import annotations

from ray import tune

from raylot.config import Study
from raylot.sweep.space import distinct, resolve, split, study_spaces


def test_a_space_resolves_the_same_way_each_time() -> None:
    space = {
        "seed": tune.grid_search([0, 1]),
        "lr": tune.loguniform(1e-4, 1e-1),
        "epochs": tune.choice([1, 2, 3]),
        "shift": "stationary",
    }
    points = resolve(space, samples=3)
    assert points == resolve(space, samples=3)
    assert [point["seed"] for point in points] == [0, 1] * 3
    assert len({point["lr"] for point in points}) == 6
    assert points != resolve(space, samples=3, seed=1)


def test_a_study_is_the_grid_of_all_it_compares() -> None:
    study = Study.checked(
        seeds="0,3", shifts="stationary,rotation", interventions="none,l2", snapshots="0,20",
        sparsities="0.5,0.8,0.9", subnetworks="ticket,dense",
    )  # fmt: skip
    streams, tickets, ticket_streams = (resolve(space) for space in study_spaces(study))
    assert len(streams) == 2 * 2 * 2
    assert {"seed": 3, "shift": "rotation", "intervention": "l2"} in streams
    assert len(tickets) == 2 * 3
    assert {"task": 20, "sparsity": 0.9} in tickets
    assert ticket_streams == [{"subnetwork": "ticket"}, {"subnetwork": "dense"}]


def test_each_run_is_there_once() -> None:
    study = Study()
    runs = [study.stream_run(seed=seed) for seed in (0, 1, 0)]
    assert [run.seed for run in distinct(runs)] == [0, 1]


def test_what_runs_share_and_what_is_their_own_are_all_their_options() -> None:
    study = Study()
    runs = [
        study.tickets_run(seed=seed, task=10, sparsity=sparsity)
        for seed, sparsity in ((0, 0.8), (1, 0.9))
    ]
    shared, own = split(runs, searched={"task"})
    # rounds follow the sparsity; task is searched, though all have the same
    assert set(own[0]) == {"seed", "sparsity", "rounds", "task"}
    assert [options["rounds"] for options in own] == [7, 10]
    for run, options in zip(runs, own, strict=True):
        assert type(run)(**shared, **options) == run
