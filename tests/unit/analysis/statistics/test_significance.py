"""p-values against published worked examples, hand-worked numbers and libraries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats

from raylot.analysis import correlation
from raylot.analysis.statistics.coefficients import STATISTICS, Series
from raylot.analysis.statistics.intervals import seed_resamples
from raylot.analysis.statistics.significance import (
    corrected,
    p_over_seeds,
    repeated_measures_p,
)
from raylot.analysis.tables.observations import observe, settings
from raylot.storage import Storage
from tests.unit.analysis.studies import write_study

#: Benjamini & Hochberg (1995), section 3: 15 tests of a trial of thrombolysis.
PUBLISHED = np.array([
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
])  # fmt: skip


def series(x: Any, y: Any, seed: Any, task: Any) -> Series:
    """One pair of measures."""
    x, y, task = (np.asarray(values, dtype=float) for values in (x, y, task))
    seed = np.asarray(seed, dtype=np.intp)
    return Series(x[:, None], y[:, None], task, seed, seed, np.asarray(task, dtype=np.intp))


def repeated(once: Series) -> Series:
    """Every row three times."""
    return Series(*(np.concatenate([values] * 3) for values in vars(once).values()))


def drawn(seeds: int = 5, tasks: int = 6) -> Series:
    draw = np.random.default_rng(0)
    task = np.tile(np.arange(tasks), seeds)
    x, y = draw.normal(size=(2, seeds * tasks)) - task / 2
    return series(x, y, np.repeat(np.arange(seeds), tasks), task)


# ------------------------------------------------------------------ over seeds


def test_p_over_seeds_by_hand() -> None:
    """Means are 0, so the shares are 1 + 1, 2 + 2 and 0: mean 2, standard error 2 / sqrt(3)."""
    x, y = [1, -1, 1, -1, 0, 0], [1, -1, 2, -2, 5, -5]
    t = 2 / (2 / np.sqrt(3))
    # the t distribution with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2)
    expected = 1 - t / np.sqrt(t**2 + 2)
    p = p_over_seeds(series(x, y, [0, 0, 1, 1, 2, 2], [0, 1] * 3))
    assert p == pytest.approx(np.array([[expected]]))


def test_rows_repeated_within_seeds_do_not_sharpen_p() -> None:
    once = drawn()
    thrice = repeated(once)
    assert p_over_seeds(thrice) == pytest.approx(p_over_seeds(once))
    naive = [stats.pearsonr(s.x[:, 0], s.y[:, 0]).pvalue for s in (once, thrice)]
    assert naive[1] < naive[0] / 10


def test_p_holds_its_level_where_the_textbook_one_does_not() -> None:
    """Independent random walks, 5 seeds: a p below 0.05 must come up in at most 5% of cases."""
    draw = np.random.default_rng(1)
    ours, textbook = [], []
    for _ in range(300):
        x, y = draw.normal(size=(2, 5, 8)).cumsum(axis=2).reshape(2, -1)
        ours.append(p_over_seeds(series(x, y, np.repeat(range(5), 8), list(range(8)) * 5)))
        textbook.append(stats.pearsonr(x, y).pvalue)
    assert np.mean(np.array(ours) < 0.05) < 0.08
    assert np.mean(np.array(textbook) < 0.05) > 0.25


@pytest.mark.parametrize("name", list(STATISTICS))
def test_scores_are_the_figures_own(name: str) -> None:
    """What is tested is what is shown: the scores' Pearson correlation is the estimate."""
    statistic = STATISTICS[name]
    points = statistic.points(drawn())
    scores = statistic.scores(points)
    estimate = statistic.compute(points, np.ones((1, 5)))[0]
    expected = stats.pearsonr(scores.x[:, 0], scores.y[:, 0]).statistic
    assert estimate == pytest.approx(np.array([[expected]]))


def test_pairs_computed_together_are_those_computed_apart() -> None:
    both, other = drawn(), drawn()
    x = np.hstack([both.x, np.round(both.x), both.y**2])  # some ties
    y = np.hstack([other.y, np.abs(other.x)])
    together = replace(both, x=x, y=y)
    draws = seed_resamples(5, 30, 0)
    for statistic in STATISTICS.values():
        points = statistic.points(together)
        found = statistic.compute(points, draws), p_over_seeds(statistic.scores(points))
        assert found[0].shape == (30, 3, 2)
        for i, j in np.ndindex(3, 2):
            one = statistic.points(replace(both, x=x[:, [i]], y=y[:, [j]]))
            alone = statistic.compute(one, draws)[:, 0, 0]
            assert found[0][:, i, j] == pytest.approx(alone, nan_ok=True)
            assert found[1][i, j] == pytest.approx(p_over_seeds(statistic.scores(one))[0, 0])


@pytest.mark.filterwarnings("error")
def test_no_p_of_one_seed_or_of_equal_seeds() -> None:
    one = series([1, 2, 3], [1, 3, 2], [0, 0, 0], [0, 1, 2])
    assert np.isnan(p_over_seeds(one)).all()
    equal = series([1, 2, 3] * 2, [1, 3, 2] * 2, [0, 0, 0, 1, 1, 1], [0, 1, 2] * 2)
    assert np.isnan(p_over_seeds(equal)).all()


# ------------------------------------------------------------------ repeated measures


def test_the_published_example_from_storage_to_output(tmp_path: Path) -> None:
    """Bakdash & Marusich (2017): pH and PacO2 of 8 patients, r(38) = -0.507, p < 0.001."""
    data = pingouin.read_dataset("rm_corr")
    order = data.groupby("Subject").cumcount()
    cells = {
        (int(patient), int(task)): (ph, pressure)
        for patient, task, ph, pressure in zip(
            data["Subject"], order, data["pH"], data["PacO2"], strict=True
        )
    }

    def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        ph, pressure = cells.get((seed, task), (np.nan, np.nan))
        return {"ticket_count": ph, "test_accuracy": pressure / 10}

    patients, tasks = sorted(set(data["Subject"])), range(order.max() + 1)
    write_study(tmp_path, at, seeds=map(int, patients), tasks=tasks)
    (setting,) = settings(observe(Storage(tmp_path)))
    rows = correlation.correlate(
        setting.frame, ["test_accuracy"], tickets=["ticket_count"], resamples=50
    ).set_index("statistic")
    row = rows.loc["repeated_measures"]
    assert row["estimate"] == pytest.approx(-0.50677, abs=5e-6)
    assert (row["n"], row["seeds"], row["rm_dof"]) == (47, 8, 38)
    assert row["rm_p"] == pytest.approx(0.000847, abs=5e-7)
    assert rows["rm_p"].drop("repeated_measures").isna().all()
    # patients are the unit of replication, and there are only 8
    assert row["rm_p"] < row["p"]


@pytest.mark.filterwarnings("error")
def test_repeated_measures_of_little() -> None:
    two = series([1, 2, 3] * 2, [1, 3, 2] * 2, [0] * 3 + [1] * 3, [0, 1, 2] * 2)
    assert repeated_measures_p(two, np.array([[0.5]])) is None
    exact = series(range(9), range(9), np.repeat(range(3), 3), [0, 1, 2] * 3)
    found = repeated_measures_p(exact, np.array([[1.0, np.nan]]))
    assert found is not None
    assert found[0] == 5
    assert found[1] == pytest.approx(np.array([[0, np.nan]]), nan_ok=True)


def test_within_streams_leaves_out_single_snapshots() -> None:
    single = series([5, 1, 2, 3, 3], [9, 1, 2, 4, 6], [0, 1, 1, 2, 2], [0, 0, 1, 0, 1])
    points = single.within_streams()
    assert points.x[:, 0].tolist() == [-0.5, 0.5, 0, 0]
    assert points.y[:, 0].tolist() == [-0.5, 0.5, -1, 1]
    assert points.seed.tolist() == [1, 1, 2, 2]


# ------------------------------------------------------------------ correction


def test_benjamini_hochberg_and_holm_on_the_published_p_values() -> None:
    """Four are rejected at 0.05 by Benjamini & Hochberg, three by Bonferroni's bound and Holm."""
    shuffled = np.random.default_rng(0).permutation(15)
    p = PUBLISHED[shuffled]
    rejected = {m: sorted(p[corrected(p, m) <= 0.05]) for m in ("fdr_bh", "holm")}
    assert rejected == {"fdr_bh": list(PUBLISHED[:4]), "holm": list(PUBLISHED[:3])}
    by_hand = PUBLISHED[:4] * 15 / np.arange(1, 5)
    assert corrected(PUBLISHED, "fdr_bh")[:4] == pytest.approx(by_hand)
    assert corrected(PUBLISHED, "holm")[2] == pytest.approx(0.0019 * 13)


def test_what_has_no_p_is_not_counted() -> None:
    found = corrected(np.array([0.01, np.nan, 0.04]), "holm")
    assert found[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(found[1])
    assert np.isnan(corrected(np.full(2, np.nan), "fdr_bh")).all()


def test_all_settings_are_corrected_together() -> None:
    frames = []
    for protocol, p in (("a", PUBLISHED[:7]), ("b", PUBLISHED[7:])):
        frames.append(pd.DataFrame({"protocol": protocol, "p": p}).reindex(
            columns=list(correlation.COLUMNS)
        ))  # fmt: skip
    table = correlation.completed(frames, "previous")
    assert (table["p_corrected"] <= 0.05).sum() == 4
    assert (table["p_holm"] <= 0.05).sum() == 3
    assert set(table["tests"]) == {15}
    assert set(table["pairing"]) == {"previous"}
