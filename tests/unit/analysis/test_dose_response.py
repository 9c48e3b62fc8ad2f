"""Doses compared on written tables: links that are there, and links that must not be claimed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from raylot.analysis import command, dose_response
from raylot.analysis.doses import mixed_model
from raylot.analysis.doses.answer import answer, not_testable
from raylot.analysis.doses.comparison import DoseComparison
from raylot.analysis.doses.cross_lagged import cross_lagged
from raylot.analysis.doses.dose_link import link_doses
from raylot.analysis.doses.trajectories import Trajectories, compared_settings, dose_order
from raylot.analysis.figures import figures
from raylot.analysis.tables.measures import PRIMARY_PLASTICITY, PRIMARY_TICKETS
from raylot.analysis.tables.observations import SETTING, Observations, Setting
from raylot.analysis.words import figure
from raylot.config import Study
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from tests.unit.analysis.studies import finish, read_analysis, write_rows

DOSES = [
    "none", "l2_init(1e-4)", "l2_init(1e-3)", "l2_init(1e-2)", "reset", "shrink_and_perturb(0.6)",
    "shrink_and_perturb(0.8)",
]  # fmt: skip
#: How much plasticity each dose loses.
LOST = dict(zip(DOSES, (0.24, 0.08, 0.06, 0.03, 0.0, 0.1, 0.15), strict=True))

#: Two doses of each of seven methods, enough for a claim.
MANY = [f"method{index}({strength})" for index in range(7) for strength in (1, 2)]
LOST |= {dose: 0.02 + 0.015 * place for place, dose in enumerate(MANY)}

#: Measures of (dose, what is lost by it, seed, task): columns of the observations.
Values = Callable[[str, float, np.random.Generator, int], dict[str, float]]


def following(dose: str, lost: float, draw: np.random.Generator, task: int) -> dict[str, float]:
    """Tickets follow the loss of plasticity; the norm grows for reasons of its own."""
    gap, noise, size = 0.01 * draw.normal(size=3)
    return {
        "probe_online_gap": task / 30 * lost + gap,
        "advantage_over_random": 0.05 - 1.5 * task / 30 * lost + noise,
        "overlap_corrected": 0.5 + 1.5 * task / 30 * lost - noise,
        "weight_norm": 5 + task / 10 + 10 * abs(size),
    }


def unrelated(dose: str, lost: float, draw: np.random.Generator, task: int) -> dict[str, float]:
    """Each dose has an effect of its own on tickets, unrelated to what it lost."""
    own = np.random.default_rng(list(dose.encode())).normal()
    other = following(dose, lost, draw, task)
    return {**other, "advantage_over_random": 0.1 * own * (task > 0) + 0.01 * draw.normal()}


def observed(
    values: Values = following,
    *,
    doses: list[str] = DOSES,
    seeds: int = 5,
    snapshots: tuple[int, ...] = (0, 10, 20, 30),
) -> pd.DataFrame:
    """Returns observations of one protocol, shift and search."""
    rows: list[dict[str, Any]] = []
    for dose in doses:
        for seed in range(seeds):
            draw = np.random.default_rng([*dose.encode(), seed])
            for task in snapshots:
                place = {
                    "protocol": "p", "dataset": "digits", "network": "mlp", "intervention": dose,
                    "shift": "permuted_pixels", "sparsity": 0.8, "rounds": 3, "seed": seed,
                    "task": task, "stream_run_id": f"{dose} {seed}",
                }  # fmt: skip
                rows.append({**place, **values(dose, LOST[dose], draw, task)})
    return pd.DataFrame(rows)


def compared(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, **options: Any
) -> DoseComparison:
    """Compares the declared pair, unless options name others."""
    names = {"plasticity": PRIMARY_PLASTICITY, "tickets": PRIMARY_TICKETS, **options}
    setting = Setting(frame, ended() if runs is None else runs, "", "", "")
    ((_, found),) = dose_response.compare_all(setting, **names)
    return found


def ended(dose: str = "none", seeds: tuple[int, ...] = (), status: str = "diverged") -> Any:
    """Returns runs: the streams of a dose and these seeds."""
    rows = [
        {"run_id": f"{dose} {seed}", "kind": "stream", "status": status, "seed": seed,
         "stream_run_id": f"{dose} {seed}", "protocol": "p", "dataset": "digits", "network": "mlp",
         "intervention": dose, "shift": "permuted_pixels"}
        for seed in seeds
    ]  # fmt: skip
    columns = ["run_id", "kind", "status", "stream_run_id", *SETTING, "shift", "seed"]
    return pd.DataFrame(rows, columns=columns)


# ------------------------------------------------------------------ what each seed's value is


def test_a_seeds_value_is_the_mean_over_its_later_snapshots() -> None:
    """Task 0, before which no method has acted, is left out."""
    frame = observed(lambda dose, lost, draw, task: {"value": float(task)}, seeds=2)
    own = Trajectories.of(frame)
    assert own.snapshots == [10, 20, 30]
    assert own.means("value").to_numpy() == pytest.approx(np.full((2, 7), 20.0))


def test_a_stream_that_lacks_a_later_snapshot_has_no_value() -> None:
    """Its early snapshots would make it look plastic."""
    frame = observed()
    gone = (frame["seed"] == 1) & (frame["intervention"] == "none") & (frame["task"] == 30)
    found = compared(frame[~gone])
    assert found.trajectories.snapshots == [10, 20, 30]
    means = found.trajectories.means("probe_online_gap")
    assert [tuple(place) for place in np.argwhere(means.isna())] == [(1, 0)]
    assert found.link.seeds == [0, 2, 3, 4]
    said = "Seeds that lack a value of none (1 of 5 seeds) are left out, which leaves 4 whole seeds"
    assert f"{said}." in answer(found)


def test_what_diverged_has_lost_the_most_and_its_tickets_are_unknown() -> None:
    """An infinite gap becomes the worst that was seen, and so do snapshots that are not there."""
    frame = observed()
    infinite = (frame["seed"] == 2) & (frame["intervention"] == "reset") & (frame["task"] == 20)
    gone = (frame["seed"] == 1) & (frame["intervention"] == "none") & (frame["task"] > 10)
    worst = frame.loc[~infinite & ~gone, "probe_online_gap"].max()
    frame.loc[infinite, "probe_online_gap"] = np.inf
    found = compared(frame[~gone], ended(seeds=(1,)))
    own = found.trajectories
    assert own.at("probe_online_gap", 20).loc[2, "reset"] == worst
    assert [own.at("probe_online_gap", task).loc[1, "none"] for task in (20, 30)] == [worst] * 2
    assert own.at("probe_online_gap", 10).loc[1, "none"] < worst
    assert np.isnan(own.at("advantage_over_random", 30).loc[1, "none"])
    assert found.link.seeds == [0, 2, 3, 4], "reset's tickets are known, none's are not"
    assert "none (1 of 5 seeds, 1 diverged)" in answer(found)


def test_the_strongest_loss_does_not_leave_without_a_name() -> None:
    """No method diverges in most seeds; another dose fails before it has left a snapshot."""
    frame = observed()
    gone = (frame["seed"] < 3) & (frame["intervention"] == "none") & (frame["task"] > 10)
    runs = [ended(seeds=(0, 1, 2)), ended("l2(1)", (0, 1, 2, 3, 4), "failed")]
    found = compared(frame[~gone], pd.concat(runs))
    assert "none" not in found.link.doses
    assert found.means("probe_online_gap")["none"].mean > 0.15
    assert (
        "Too few seeds have values at all snapshots of none (3 of 5 seeds, 3 diverged) and l2(1) "
        "(5 of 5 seeds, 5 failed), left out; where a stream diverged, it has lost the most and its "
        "tickets are unknown."
    ) in answer(found)


def test_a_dose_that_left_no_snapshot_is_known_from_the_runs() -> None:
    """Its runs belong to the setting in which all interventions stand together."""
    frame = observed().assign(run_id="")
    kept = frame[frame["intervention"] != "none"]
    runs = pd.concat([ended("reset", (0,), "finished"), ended(seeds=(0, 1))], ignore_index=True)
    [setting] = compared_settings(Observations(kept, [], [], {}, runs))
    assert list(setting.runs["intervention"]) == ["reset", "none", "none"]
    found = compared(setting.frame, setting.runs)
    assert found.incomplete == {"none": "5 of 5 seeds, 2 diverged"}
    assert found.trajectories.means("probe_online_gap")["none"].notna().sum() == 2


def test_doses_stand_in_the_order_of_their_strengths() -> None:
    mixed = [
        "redo(100)",
        "reset",
        "redo(20)",
        "none",
        "l2(0.01)",
        "l2(1e-3)",
        "redo(redo_interval=3)",
    ]
    assert sorted(mixed, key=dose_order) == [
        "none", "l2(1e-3)", "l2(0.01)", "redo(20)", "redo(100)", "redo(redo_interval=3)", "reset",
    ]  # fmt: skip


# ------------------------------------------------------------------ the link over doses


def test_the_link_by_hand() -> None:
    """Four doses; the seeds' correlations are 0.8 and 0.6, and 0.4 after a swap."""
    doses = ["none", "a", "b", "c"]
    x = pd.DataFrame([[1.0, 2, 3, 4]] * 3, columns=doses)
    y = pd.DataFrame([[1.0, 3, 2, 4], [2, 1, 4, 3], [1, 4, 2, 3]], columns=doses)
    found = link_doses(x, y)
    z = np.arctanh([0.8, 0.6, 0.4])
    half = 4.302653 * z.std(ddof=1) / np.sqrt(3)
    assert found.correlation is not None
    assert found.correlation.mean == pytest.approx(np.tanh(z.mean()))
    assert found.correlation.high == pytest.approx(np.tanh(z.mean() + half))
    assert found.without == dict.fromkeys(doses), "three doses are too few"
    assert found.ranks == pytest.approx(0.9486833)


def test_doses_of_a_method_are_not_taken_for_as_many_methods() -> None:
    found = compared(observed()).link
    assert list(found.strengths.products) == ["l2_init", "shrink_and_perturb"]
    assert found.strengths.p == 0.5, "two signs agree by chance"
    assert found.methods == ["none", "l2_init", "reset", "shrink_and_perturb"]


def test_a_link_of_few_methods_is_described_and_not_claimed() -> None:
    """The study's four methods, of which two have several doses, cannot tell more."""
    found = compared(observed())
    text = answer(found)
    assert text.startswith(
        "At equal training steps, these doses show a smaller advantage of tickets over random "
        "masks where more plasticity was lost (the correlation of probe gap and ticket minus "
        "random accuracy over 7 doses of 4 methods is -.9"
    )
    assert (
        "5 seeds). That describes these doses; whether tickets follow plasticity cannot be told: "
        "to part plasticity from a method's strength takes 6 methods of several doses, here are 2."
    ) in text
    [_, table, caveats] = text.split("\n\n")
    assert len(table.splitlines()) == 4
    assert caveats.count(".") <= 3
    given = found.models["model given weight norm"].terms["plasticity"]
    assert given.high is not None
    assert given.high < -0.5


def test_a_link_of_enough_methods_is_claimed() -> None:
    assert answer(compared(observed(doses=MANY))).startswith(
        "Tickets go with plasticity over the doses, and over the strengths of each method: at "
        "equal training steps, a smaller advantage of tickets over random masks where more "
        "plasticity was lost (the correlation of probe gap and ticket minus random accuracy over "
        "14 doses of 7 methods is -.9"
    )


def by_strength(dose: str, lost: float, draw: np.random.Generator, task: int) -> dict[str, float]:
    """Tickets follow methods; their strengths move tickets up in one, down in the next."""
    index, strength = int(dose[6]), int(dose[8])
    own = 0.05 * index + 0.02 * strength * (-1) ** index
    other = following(dose, lost, draw, task)
    return {**other, "advantage_over_random": 0.3 - own + 0.003 * draw.normal()}


def test_strengths_that_disagree_are_no_link() -> None:
    text = answer(compared(observed(by_strength, doses=MANY)))
    assert text.startswith("At equal training steps, these doses show a smaller advantage of")
    assert "methods whose strength moves tickets up or down would often agree as well" in text


def test_a_reverse_within_methods_is_named() -> None:
    """Over methods tickets fall with what is lost, over the doses of each they rise."""

    def reverse(dose: str, lost: float, draw: Any, task: int) -> dict[str, float]:
        own = -0.05 * int(dose[6]) + 0.03 * int(dose[8]) + 0.003 * draw.normal()
        return {**following(dose, lost, draw, task), "advantage_over_random": own}

    found = compared(observed(reverse, doses=MANY))
    assert found.link.strengths.p == pytest.approx(2 / 2**7)
    assert "cannot be told: over the doses of each method it is the reverse" in answer(found)


def test_a_model_without_plasticity_in_it_is_a_doubt() -> None:
    """All methods agree, but the untrained mask explains the tickets, plasticity nothing beside."""
    draw = np.random.default_rng(2)

    def through_mask(frame: pd.DataFrame) -> pd.DataFrame:
        mask = 0.3 + frame["probe_online_gap"] + 0.03 * draw.normal(size=len(frame))
        tickets = 0.3 - mask + 0.002 * draw.normal(size=len(frame))
        return frame.assign(overlap_untrained=mask, advantage_over_random=tickets)

    found = compared(through_mask(observed(doses=MANY)))
    own = found.models["model with untrained mask"].terms["plasticity"]
    assert own.direction == 0
    said = answer(found).partition("\n")[0]
    assert said.startswith("At equal training steps, these doses show a smaller")
    assert f"cannot be told: the model with untrained mask gives {figure(own, '+z.2f')}." in said


def test_with_the_other_orientation_the_words_turn_round() -> None:
    frame = observed().assign(ticket_count=lambda rows: 3 - 2 * rows["overlap_corrected"])
    text = answer(compared(frame, tickets="ticket_count"))
    assert "a smaller variety of tickets where more plasticity was lost" in text
    assert "is -.9" in text
    text = answer(compared(frame, tickets="overlap_corrected"))
    assert "a smaller variety of tickets where more plasticity was lost" in text
    assert "is +.9" in text


def test_effects_of_methods_that_are_unrelated_are_no_link() -> None:
    """Every seed agrees on the correlation of these doses; that is no link with plasticity."""
    found = compared(observed(unrelated, seeds=10))
    assert found.link.correlation is not None
    assert found.link.correlation.direction != 0
    text = answer(found)
    assert "cannot be told" in text.partition("\n")[0]
    assert "no evidence" not in text.lower()


def test_a_link_that_rests_on_one_method_names_it() -> None:
    def all_but_none(dose: str, lost: float, draw: Any, task: int) -> dict[str, float]:
        values = following(dose, lost, draw, task)
        return (
            values
            if dose == "none"
            else {**values, "advantage_over_random": 0.05 + 0.01 * draw.normal()}
        )

    text = answer(compared(observed(all_but_none, seeds=10)))
    assert text.startswith("At equal training steps, these doses show a smaller advantage")
    assert "; without none it is " in text


def test_seeds_that_disagree_cannot_tell() -> None:
    def noise(dose: str, lost: float, draw: Any, task: int) -> dict[str, float]:
        return {**following(dose, lost, draw, task), "advantage_over_random": draw.normal()}

    text = answer(compared(observed(noise)))
    assert text.startswith("It cannot be told whether tickets follow plasticity over the doses")


# ------------------------------------------------------------------ what cannot be tested


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (observed(doses=DOSES[1:4]), "l2_init is all that has values"),
        (observed(doses=DOSES[:3]), "none, l2_init(1e-4) and l2_init(1e-3) are 3 doses"),
        (observed(seeds=2), "2 seeds with values at all of 7 doses"),
        (observed(snapshots=(0,)), "there is no snapshot after task 0"),
        (
            observed().drop(columns="probe_online_gap"),
            "has no values of probe_online_gap; the same",
        ),
        (
            observed().rename(columns={"probe_online_gap": "probe_online_gap(probe_shift=noise)"}),
            "has no values of probe_online_gap; name one of probe_online_gap(probe_shift=noise)",
        ),
        (
            observed().assign(advantage_over_random=np.nan),
            "has no values of advantage_over_random",
        ),
        (observed().assign(advantage_over_random=0.1), "ticket minus random accuracy does not"),
        (observed().assign(probe_online_gap=0.1), "the doses do not clearly differ in probe gap"),
    ],
)
def test_what_is_not_testable_says_why(frame: pd.DataFrame, reason: str) -> None:
    found = compared(frame)
    assert answer(found).startswith(
        f"Not testable: the storage {reason}"
        if reason.startswith("has")
        else f"Not testable: {reason}"
    )
    assert "left out" not in answer(found), "what nothing has, no dose lacks"
    assert list(dose_response.link_rows(found))


def test_tickets_that_follow_noise_in_plasticity_follow_no_dose() -> None:
    """Seeds agree that both go together, but methods make no difference to plasticity."""

    def shared(dose: str, lost: float, draw: Any, task: int) -> dict[str, float]:
        gap = 0.1 + 0.02 * draw.normal()
        return {
            **following(dose, 0.0, draw, task),
            "probe_online_gap": gap,
            "advantage_over_random": gap,
        }

    found = compared(observed(shared))
    assert found.link.correlation is not None
    assert found.link.correlation.direction == 1
    assert not_testable(found).startswith("the doses do not clearly differ in probe gap (Fri")


# ------------------------------------------------------------------ the models


def rows_of(seeds: int = 5, **terms: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    seed, task = np.repeat(np.arange(seeds), 12), np.tile(np.arange(12) % 3, seeds)
    rows = pd.DataFrame({"seed": seed, "task": task, "plasticity": draw.normal(size=len(seed))})
    rows["size"] = rows["plasticity"] + draw.normal(size=len(rows))
    rows["tickets"] = rows["plasticity"] + rows["seed"] + 0.3 * draw.normal(size=len(rows))
    return rows.assign(**terms)


def test_the_model_parts_plasticity_from_what_goes_with_it() -> None:
    model = mixed_model.fit(rows_of())
    assert model.problem == ""
    plasticity, size = model.terms["plasticity"], model.terms["size"]
    assert (plasticity.direction, size.direction) == (1, 0)
    rows = rows_of()
    assert plasticity.mean == pytest.approx(
        rows["plasticity"].std() / rows["tickets"].std(), abs=0.05
    )


def test_a_seed_that_does_not_differ_from_others_is_no_failure() -> None:
    rows = rows_of()
    rows["tickets"] -= rows.groupby("seed")["tickets"].transform("mean")
    assert mixed_model.fit(rows).problem == ""


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (rows_of().assign(size=lambda rows: 2 * rows["plasticity"]), "it is singular"),
        (rows_of().assign(size=1.0), "size does not vary"),
        (rows_of(2), "fewer than 3 seeds"),
        (rows_of().assign(size=np.nan), "fewer than 3 seeds"),
        (rows_of().groupby("seed").head(1), "5 rows are too few"),
    ],
)
def test_a_model_that_cannot_be_fitted_is_one_line(rows: pd.DataFrame, problem: str) -> None:
    model = mixed_model.fit(rows)
    assert model.problem.startswith(problem)
    assert not model.terms


def _singular(*given: Any, **how: Any) -> Any:
    raise np.linalg.LinAlgError("Singular matrix")


def _stuck(*given: Any, **how: Any) -> Any:
    return SimpleNamespace(converged=False, fe_params=np.zeros(5))


@pytest.mark.parametrize(
    ("fit", "problem"),
    [(_singular, "its fit failed (Singular matrix)"), (_stuck, "its fit did not converge")],
)
def test_a_fit_that_fails_is_one_line_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, fit: Any, problem: str
) -> None:
    monkeypatch.setattr("statsmodels.regression.mixed_linear_model.MixedLM.fit", fit)
    found = compared(observed())
    assert found.models["model given weight norm"].problem == problem
    [line] = [line for line in answer(found).splitlines() if problem in line]
    assert line.startswith("  model given weight norm ")


def test_the_untrained_mask_stands_in_the_model_if_it_is_there() -> None:
    without = compared(observed()).models["model with untrained mask"]
    assert without.problem == "no values of overlap_untrained"
    draw = np.random.default_rng(1)
    frame = observed().assign(overlap_untrained=lambda rows: draw.uniform(size=len(rows)))
    model = compared(frame).models["model with untrained mask"]
    assert list(model.terms) == ["plasticity", "log weight norm", "overlap_untrained"]
    assert not model.collinear


def test_terms_that_go_together_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two terms with a correlation of r the inflation is 1 / (1 - r^2)."""
    rows = rows_of()
    rows["size"] = rows["plasticity"] + 0.4 * (rows["size"] - rows["plasticity"])
    model = mixed_model.fit(rows)
    factor = 1 / (1 - rows["plasticity"].corr(rows["size"]) ** 2)
    assert model.collinear == pytest.approx({"plasticity": factor, "size": factor})
    frame = observed()
    frame["overlap_untrained"] = frame["probe_online_gap"] + 0.01 * np.sin(frame.index)
    found = compared(frame)
    dose_response.show(Console(width=200), "here", found)
    printed = capsys.readouterr().out
    terms = printed.partition("model with untrained mask: plasticity ")[2].splitlines()
    assert "; log weight norm " in terms[0]
    assert "; overlap_untrained " in terms[0]
    assert terms[1].startswith("  note: variance inflation above 5: plasticity (")
    assert "sd per sd, collinear" in answer(found)


def test_the_models_interval_counts_seeds_and_not_snapshots() -> None:
    """Both measures wander along each stream with no link; the jackknife holds its level."""
    draw, claims, studies = np.random.default_rng(3), 0, 60
    seed, _, task = (
        own.ravel() for own in np.meshgrid(range(6), range(5), range(4), indexing="ij")
    )
    for _ in range(studies):
        x, y = (draw.normal(size=(6, 5, 4)).cumsum(axis=-1).ravel() for _ in range(2))
        found = mixed_model.fit(
            pd.DataFrame({"seed": seed, "task": task, "tickets": y, "plasticity": x})
        )
        claims += found.terms["plasticity"].direction != 0
    assert claims <= studies * 0.05 + 2.6 * np.sqrt(studies * 0.05 * 0.95)


# ------------------------------------------------------------------ which comes first


def panel(draw: np.random.Generator, lead: float, seeds: int = 6, snapshots: int = 10) -> Any:
    """Plasticity and tickets with common noise and a common trend of each dose; plasticity leads
    tickets by so much."""
    noise = draw.normal(size=(2, seeds, 7, snapshots + 5))
    noise[1] = 0.6 * noise[0] + 0.8 * noise[1]
    found = np.zeros_like(noise)
    for t in range(1, snapshots + 5):
        found[..., t] = 0.5 * found[..., t - 1] + noise[..., t]
        found[1, ..., t] += lead * found[0, ..., t - 1]
    trend = np.linspace(0, 5, 7)[:, None] * np.sqrt(np.arange(snapshots))
    return found[..., 5:] + trend


def test_what_leads_is_found() -> None:
    found = cross_lagged(*panel(np.random.default_rng(0), 0.5), range(10))
    leads, follows = found.terms.values()
    assert (leads.direction, follows.direction) == (1, 0)


def test_shared_trends_and_shared_noise_lead_to_nothing() -> None:
    draw, studies = np.random.default_rng(1), 60
    each = [cross_lagged(*panel(draw, 0.0), range(10)).terms.values() for _ in range(studies)]
    claims = np.sum([[mean.direction != 0 for mean in terms] for terms in each], axis=0)
    assert (claims <= studies * 0.05 + 2.6 * np.sqrt(studies * 0.05 * 0.95)).all()


def test_few_snapshots_say_how_many_are_needed() -> None:
    assert compared(observed()).order.problem == "8 snapshots after task 0 are needed, here are 3"
    assert compared(observed(snapshots=tuple(range(0, 30, 3)), seeds=3)).order.terms


def test_snapshots_that_are_not_evenly_spaced_have_no_lag() -> None:
    order = compared(observed(snapshots=(0, 1, 2, 3, 5, 10, 15, 20, 30), seeds=3)).order
    assert not order.terms
    assert order.problem == (
        "snapshots must be evenly spaced, these are 1, 2, 5 and 10 tasks apart"
    )


# ------------------------------------------------------------------ the command


def write(
    root: Path,
    *,
    with_probes: bool = True,
    lr: float = 0.001,
    shift: str = "permuted_pixels",
    less_lost: str = "none",
) -> Path:
    """A small storage: none, two strengths of l2_init, reset; 3 seeds, tasks 0 and 2. Under
    another shift all have the same values, but one dose, which loses less."""
    for dose, options in (
        ("none", {}), ("l2_init(1e-4)", {"l2_strength": 1e-4}),
        ("l2_init(1e-2)", {"l2_strength": 1e-2}), ("reset", {}),
    ):  # fmt: skip
        study = Study.checked(tasks=3, snapshots="0,2", rounds=3, lr=lr, **options)
        for seed in range(3):
            place = {
                "shift": shift,
                "seed": seed,
                "intervention": dose.partition("(")[0],
            }
            stream = study.stream_run(**place)
            finish(root, stream)
            draw = np.random.default_rng([*dose.encode(), seed])
            for task in (0, 2):
                is_less = dose == less_lost and shift != "permuted_pixels"
                values = following(dose, LOST[dose] - 0.1 * is_less, draw, 15 * task)
                run = study.tickets_run(**place, task=task, sparsity=0.8)
                row = {"task": task, "sparsity": 0.8, "protocol": run.protocol, "rounds": 3}
                advantage = values["advantage_over_random"]
                row |= {"ticket_accuracy": 0.4 + advantage, "random_accuracy": 0.4}
                write_rows(root, "snapshots", run, [row])
                finish(root, run)
                if with_probes and task:
                    learned = {"fresh": 0.9, "snapshot": 0.9 - values["probe_online_gap"]}
                    of_probe = {"probe_shift": "permuted_pixels", "probe_task": 0}
                    rows = [
                        {**of_probe, "task": task, "trained": trained, "online_accuracy": value}
                        for trained, value in learned.items()
                    ]
                    write_rows(root, "probes", *study.probe_runs(stream), rows)
    return root


def run(root: Path, *arguments: str) -> int:
    return command.run(lambda: dose_response.main([str(root), *arguments]))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("doses"))


def test_the_command_prints_the_answer_and_writes_both_tables(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(storage) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.split("All of it")[0].splitlines())) <= 80
    order = [
        printed.index(f"\n{dose} ") for dose in ("none", "l2_init(1e-4)", "l2_init(0.01)", "reset")
    ]
    assert order == sorted(order), "what has lost most comes first"
    assert "Answer:\n" in printed
    assert re.search(r"\nreset +-?0\.\d{3} ±0\.\d{3} ", printed), "0.002 ±0.00 says nothing"
    doses = read_analysis(storage, "dose_response")
    found = doses[doses["snapshot"].isna() & (doses["measure"] == "probe_online_gap")]
    assert found["intervention"].to_list() == ["none", "l2_init(1e-4)", "l2_init(0.01)", "reset"]
    assert found["mean"].to_numpy() == pytest.approx([0.24, 0.08, 0.03, 0.0], abs=0.02)
    assert set(doses["snapshot"].dropna()) == {0, 2}
    links = read_analysis(storage, "dose_response_links").set_index("link")
    assert links.loc["correlation over doses", "estimate"] < -0.9
    assert links.loc["without none", "note"] == "too few doses are left"
    assert links.loc["cross-lagged", "note"].startswith("8 snapshots")


def test_two_protocols_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for lr in (0.001, 0.01):
        write(tmp_path, lr=lr)
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed.count("Answer: digits, mlp, protocol") == 2
    assert "lr=0.01\n" in printed


def test_without_probe_tasks_the_answer_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write(tmp_path, with_probes=False)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Not testable: the storage has no values of probe_online_gap; the same sweep with" in said
    )
    nothing = (
        "cannot be drawn, fewer than two doses have values of probe gap and ticket minus random"
    )
    with pytest.raises(OptionError, match=nothing):
        figures.draw(Storage(tmp_path), "dose_response")


@pytest.mark.parametrize(
    ("name", "value"), [("measure", "beauty"), ("tickets", "beauty"), ("confidence", "2")]
)
def test_a_mistake_is_one_line(
    storage: Path, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    assert run(storage, f"--{name}", value) == 2
    assert capsys.readouterr().err.startswith(f"error: --{name}={value}: must be ")


def test_the_figure_has_a_large_point_per_dose_and_a_small_one_per_seed(storage: Path) -> None:
    figure = figures.draw(Storage(storage), "dose_response")
    [axes] = figure.axes
    small = [line for line in axes.get_lines() if line.get_alpha()]
    assert [len(line.get_xdata()) for line in small] == [3] * 4
    large = [line for line in axes.get_lines() if line.get_markersize() > 6]
    means = [float(line.get_xdata()[0]) for line in large]
    assert sorted(means) == pytest.approx([0.0, 0.03, 0.08, 0.24], abs=0.02)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["none", "l2_init(1e-4)", "l2_init(0.01)", "reset"]


def test_panels_side_by_side_have_the_same_axes(tmp_path: Path) -> None:
    for shift in ("permuted_pixels", "random_labels"):
        write(tmp_path, shift=shift)
    figure = figures.draw(Storage(tmp_path), "dose_response")
    one, other = figure.axes
    assert one.get_xlim() == other.get_xlim()
    assert one.get_ylim() == other.get_ylim()
    for axes in (one, other):
        for line in axes.get_lines():
            for limits, values in ((axes.get_xlim(), line.get_xdata()),
                                   (axes.get_ylim(), line.get_ydata())):  # fmt: skip
                assert limits[0] <= min(values) <= max(values) <= limits[1]
    assert "reset are fresh networks, so they are the same" in note_of(figure)


def test_reset_is_not_called_the_same_where_it_is_not(tmp_path: Path) -> None:
    for shift in ("permuted_pixels", "random_labels"):
        write(tmp_path, shift=shift, less_lost="reset")
    figure = figures.draw(Storage(tmp_path), "dose_response")
    assert len(figure.axes) == 2
    assert "reset are fresh" not in note_of(figure)


def note_of(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")
