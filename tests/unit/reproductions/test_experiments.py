"""Every published experiment is an ordinary study whose numbers have a source."""

from __future__ import annotations

import pytest

from raylot.command.reproduce import options_of, runs_of, study_of
from raylot.reproductions import EXPERIMENTS
from raylot.reproductions._experiment import FROM_MEMORY, above, number
from raylot.reproductions._planned import planned


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_a_study_at_both_sizes_and_says_what_it_reduces(name: str) -> None:
    experiment = EXPERIMENTS[name]
    sizes = [study_of(options_of(experiment, is_full=full)) for full in (False, True)]
    assert all(study.seeds for study in sizes)
    assert experiment.full.keys() <= {*type(sizes[0]).model_fields}
    assert experiment.question.endswith("?")
    assert "arXiv" in experiment.source
    assert experiment.reduced
    assert not any(line.endswith(".") for line in experiment.departures())
    full = experiment.departures(is_full=True)
    assert full == [f"Otherwise than published: {experiment.otherwise}"]
    assert len({one.quantity for one in experiment.published}) == len(experiment.published)
    for one in experiment.published:
        assert one.low <= one.high
        assert one.source


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_studys_own_runs_have_rows_for_every_published_number(name: str) -> None:
    """So no reading asks for a task, a sparsity or a setting that the options do not have."""
    experiment = EXPERIMENTS[name]
    for is_full in {False, bool(experiment.full)}:
        study = study_of(options_of(experiment, is_full=is_full))
        study = study.model_copy(update={"seeds": study.seeds[:2]})
        read = planned(runs_of(experiment, study))
        for one in experiment.published:
            assert one.ours(read).index.tolist() == [*study.seeds], one.quantity


def test_numbers_and_claims() -> None:
    one = number("accuracy", lambda read: read("tasks")["x"], 0.9, FROM_MEMORY, spread=0.01)
    assert (one.low, one.high) == (pytest.approx(0.89), pytest.approx(0.91))
    assert not one.is_claim
    claim = above("difference", one.ours, "abstract", bound=0.5)
    assert (claim.low, claim.high, claim.is_claim) == (0.5, float("inf"), True)
