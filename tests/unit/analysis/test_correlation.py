"""The correlations, their intervals over seeds, and the script around them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy import stats

from raylot.analysis import command, correlation, primary_table
from raylot.analysis.statistics.coefficients import Ranking
from raylot.analysis.tables.observations import observe, settings
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, falling_metrics, read_analysis, write_study

SCRIPTS = Path(__file__).parents[3] / "analysis"
PAIR = {"measures": ["test_accuracy"], "tickets": ["ticket_count"]}


def frame_of(
    count: Callable[[int, int], float], accuracy: Callable[[int, int], float], **shape: Any
) -> pd.DataFrame:
    """One setting's observations: (seed, task) -> ticket count and test accuracy."""
    seeds, tasks = shape.get("seeds", range(5)), shape.get("tasks", (0, 10, 20, 30))
    return pd.DataFrame(
        {
            "protocol": "p",
            "dataset": "digits",
            "network": "mlp",
            "intervention": "none",
            "shift": shape.get("shift", "permuted_pixels"),
            "sparsity": 0.8,
            "rounds": pd.array([3] * (len(seeds) * len(tasks)), dtype="Int64"),
            "seed": [seed for seed in seeds for _ in tasks],
            "task": [task for _ in seeds for task in tasks],
            "ticket_count": [count(seed, task) for seed in seeds for task in tasks],
            "test_accuracy": [accuracy(seed, task) for seed in seeds for task in tasks],
        }
    )


def noisy(offset: int) -> Callable[[int, int], float]:
    """Independent draws for each seed and task, on top of a falling trend."""
    return lambda seed, task: (
        float(np.random.default_rng([offset, seed, task]).normal()) - task / 20
    )


def found(
    frame: pd.DataFrame, statistic: str, shift: str = "permuted_pixels", **options: Any
) -> Any:
    rows = correlation.correlate(frame, **PAIR, **options)
    return rows[(rows["statistic"] == statistic) & (rows["shift"] == shift)].iloc[0]


def run(*arguments: str) -> int:
    return command.run(lambda: correlation.main(arguments))


# ------------------------------------------------------------------ figures


def test_estimates_equal_independent_formulas() -> None:
    frame = frame_of(noisy(1), noisy(2))
    x, y = frame["ticket_count"], frame["test_accuracy"]
    rows = correlation.correlate(frame, **PAIR, resamples=20).set_index("statistic")
    assert rows.loc["pearson", "estimate"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert rows.loc["spearman", "estimate"] == pytest.approx(stats.spearmanr(x, y).statistic)
    partial = pingouin.partial_corr(frame, "ticket_count", "test_accuracy", "task")
    assert rows.loc["partial", "estimate"] == pytest.approx(partial["r"].iloc[0])
    changes = frame.groupby("seed")[["ticket_count", "test_accuracy"]].diff().dropna()
    expected = stats.pearsonr(changes["ticket_count"], changes["test_accuracy"]).statistic
    assert rows.loc["first_differences", "estimate"] == pytest.approx(expected)
    own = pingouin.rm_corr(frame, "ticket_count", "test_accuracy", "seed").iloc[0]
    assert rows.loc["repeated_measures", "estimate"] == pytest.approx(own["r"])
    assert rows["n"].to_dict() == {
        "pearson": 20, "spearman": 20, "first_differences": 15, "partial": 20,
        "repeated_measures": 20,
    }  # fmt: skip


HEAVY_TAIL = [3, 50, 200, 1e3, 4e4, 1e14]


def heavy(shuffled: int) -> Callable[[int, int], float]:
    """The six values above, in another order for each seed."""
    return lambda seed, task: (
        HEAVY_TAIL[np.random.default_rng([shuffled, seed]).permutation(6)[task]] + seed / 1000
    )


def test_ranks_of_a_column_with_a_heavy_tail() -> None:
    """The largest value must not make ties of the others: they have six ranks, not two."""
    once = frame_of(lambda s, t: HEAVY_TAIL[t], lambda s, t: t, seeds=(0,), tasks=range(6))
    assert found(once, "spearman", resamples=10).estimate == pytest.approx(1)
    frame = frame_of(heavy(1), heavy(2), seeds=range(4), tasks=range(6))
    x, y = frame["ticket_count"], frame["test_accuracy"]
    row = found(frame, "spearman", resamples=50)
    assert row.estimate == pytest.approx(stats.spearmanr(x, y).statistic)
    figures = []
    for counts in correlation.seed_resamples(4, 50, 0).astype(int):
        rows = np.repeat(np.arange(24), counts[frame["seed"]])
        figures.append(stats.spearmanr(x.iloc[rows], y.iloc[rows]).statistic)
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(figures, [0.025, 0.975])))


@pytest.mark.filterwarnings("error")
def test_infinite_values_have_a_rank_and_no_number() -> None:
    """A stream whose condition number overflows is the worst of all, not unknown."""
    infinite = {(0, 30): np.inf, (1, 30): np.inf, (2, 0): -np.inf}
    frame = frame_of(lambda s, t: infinite.get((s, t), s + t), noisy(1))
    x, y = frame["ticket_count"], frame["test_accuracy"]
    ranked = found(frame, "spearman")
    assert (ranked.n, ranked.estimate) == (20, pytest.approx(stats.spearmanr(x, y).statistic))
    assert "rows" not in ranked.note
    finite = np.isfinite(x)
    plain = found(frame, "pearson")
    assert plain.n == 17
    assert plain.estimate == pytest.approx(stats.pearsonr(x[finite], y[finite]).statistic)
    assert "3 of 20 rows have no number and are left out" in plain.note


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_values_that_differ_by_rounding_are_tied_whatever_their_size(size: float) -> None:
    def level(seed: int, task: int) -> float:
        return float(size * (1 + task // 20) * (1 + 1e-15 * seed))

    frame = frame_of(level, noisy(4))
    frame.loc[0, "ticket_count"] = 1e14
    levels = [1e14, *((1.0 + task // 20) for task in frame["task"][1:])]
    expected = stats.spearmanr(levels, frame["test_accuracy"]).statistic
    assert found(frame, "spearman").estimate == pytest.approx(expected)


def test_ties_do_not_chain() -> None:
    """Each value agrees with the next one, but the last is far from the first."""
    ranking = Ranking(1 + 5e-12 * np.arange(401), np.zeros(401, dtype=np.intp))
    [twice], _ = ranking.centred(np.ones((1, 1), dtype=np.int32))
    assert np.abs(twice / 2 - np.arange(-200, 201)).max() <= 1


def test_ranks_of_values_as_far_apart_as_numbers_can_be() -> None:
    values = [1e-30, 2e-30, 1e300]
    frame = frame_of(lambda s, t: values[t], lambda s, t: t, seeds=range(3), tasks=range(3))
    assert found(frame, "spearman", resamples=10).estimate == pytest.approx(1)


def test_differences_never_span_a_missing_snapshot() -> None:
    frame = frame_of(noisy(1), noisy(2))
    frame.loc[(frame["seed"] == 0) & (frame["task"] == 10), "ticket_count"] = np.nan
    row = found(frame, "first_differences")
    assert row.n == 4 * 3 + 1
    assert row.note.endswith("1 of 20 rows have no number and are left out")


def test_all_shifts_takes_differences_within_a_stream() -> None:
    both = [frame_of(noisy(i), noisy(i + 5), shift=s) for i, s in enumerate(("a", "b"))]
    frame = pd.concat(both)
    changes = frame.groupby(["shift", "seed"])[["ticket_count", "test_accuracy"]].diff().dropna()
    row = found(frame, "first_differences", shift="all")
    assert (row.n, row.seeds) == (30, 5)
    expected = stats.pearsonr(changes["ticket_count"], changes["test_accuracy"]).statistic
    assert row.estimate == pytest.approx(expected)


# ------------------------------------------------------------------ intervals over seeds


def test_rows_repeated_within_seeds_do_not_narrow_the_interval() -> None:
    frame = frame_of(noisy(1), noisy(2))
    once, thrice = (found(f, "pearson") for f in (frame, pd.concat([frame] * 3)))
    assert thrice.n == 3 * once.n
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert once.high - once.low > 0.05


@pytest.mark.parametrize("statistic", list(correlation.STATISTICS))
def test_interval_equals_a_plain_loop_over_resamples(statistic: str) -> None:
    frame = frame_of(noisy(1), noisy(2))
    row = found(frame, statistic, resamples=20, seed=3)
    draws = correlation.seed_resamples(5, 20, 3).astype(int)
    figures = []
    for counts in draws:
        drawn = np.repeat(np.arange(5), counts)
        parts = [frame[frame["seed"] == s].assign(seed=i) for i, s in enumerate(drawn)]
        figures.append(found(pd.concat(parts), statistic, resamples=10).estimate)
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(figures, [0.025, 0.975])))


def test_seed_and_confidence_are_used() -> None:
    frame = frame_of(noisy(1), noisy(2))
    first, again, other = (found(frame, "pearson", seed=s, resamples=99) for s in (1, 1, 2))
    narrow = found(frame, "pearson", seed=1, resamples=99, confidence=0.5)
    assert (first.low, first.high) == (again.low, again.high) != (other.low, other.high)
    assert first.low < narrow.low < narrow.high < first.high


# ------------------------------------------------------------------ degenerate cases


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("frame", "statistic", "note"),
    [
        (frame_of(lambda s, t: 2.0, noisy(1)), "pearson", "the ticket measure is the same"),
        (frame_of(lambda s, t: 2 + 1e-13 * s, noisy(1)), "spearman", "the ticket measure is the"),
        (frame_of(noisy(1), lambda s, t: 0.5), "first_differences", "the plasticity measure"),
        (frame_of(noisy(1), lambda s, t: t), "partial", "a straight line in task"),
        (frame_of(noisy(1), noisy(2), tasks=(0,)), "partial", "all points are of one task"),
        (frame_of(noisy(1), noisy(2), tasks=(0,)), "first_differences", "0 differences: 3 are"),
        (frame_of(noisy(1), noisy(2), seeds=(0, 1), tasks=(0,)), "pearson", "2 points: 3 are"),
        (frame_of(lambda s, t: np.nan, noisy(2)), "pearson", "0 points: 3 are needed; 20 of 20"),
    ],
)
def test_what_cannot_be_computed_says_why(frame: pd.DataFrame, statistic: str, note: str) -> None:
    row = found(frame, statistic)
    assert pd.isna(row.estimate)
    assert pd.isna(row.low)
    assert pd.isna(row.high)
    assert row.note.startswith(note)


@pytest.mark.filterwarnings("error")
def test_one_and_two_seeds() -> None:
    one = found(frame_of(noisy(1), noisy(2), seeds=(0,)), "pearson")
    assert np.isfinite(one.estimate)
    assert pd.isna(one.low)
    assert one.note == "one seed, so no interval and no p-value"
    two = found(frame_of(noisy(1), noisy(2), seeds=(0, 1)), "pearson")
    assert two.low < two.estimate < two.high
    assert "only 2 seeds" in two.note


@pytest.mark.filterwarnings("error")
def test_constant_resamples_are_left_out_and_counted() -> None:
    """Only seed 0 varies, so a resample without it has no correlation: about (2/3)^3 of all."""
    frame = frame_of(lambda s, t: noisy(1)(0, t) if s == 0 else 7, noisy(2), seeds=(0, 1, 2))
    row = found(frame, "first_differences")
    left_out = int(row.note.split(" of 2000 resamples")[0])
    assert left_out == pytest.approx(2000 * 8 / 27, rel=0.1)
    assert np.isfinite([row.low, row.high]).all()


# ------------------------------------------------------------------ the script


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """One shift at one sparsity: the quickest to analyse."""
    return write_study(tmp_path, falling, sparsities=(0.9,), metrics=falling_metrics)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the script; returns what it prints, in one line."""

    def run_it(root: Path | str, *arguments: str) -> str:
        assert run(str(root), *arguments) == 0
        return " ".join(capsys.readouterr().out.split())

    return run_it


@pytest.mark.filterwarnings("error")
def test_files_and_terminal(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(storage)) == 0
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if str(storage) not in line) <= 80
    assert "nan" not in printed.lower()
    assert "\x1b" not in printed
    assert f"{storage}/analysis/ (primary.csv, primary.parquet, correlation.csv" in printed
    table = read_analysis(storage, "correlation")
    assert list(table) == list(correlation.COLUMNS)
    # (2 shifts + all) x 2 sparsities x 5 ticket measures x 7 plasticity measures x 5 statistics
    assert len(table) == 3 * 2 * 5 * 7 * 5
    pair = (table["ticket_measure"] == "advantage_over_random") & (
        table["plasticity_measure"] == "probe_online_gap"
    )
    assert (table["exploratory"] == ~pair).all()
    for _, family in table.groupby("exploratory"):
        assert (family["tests"] == family["p"].notna().sum()).all()
    assert (table["p"] <= table["p_corrected"]).all()
    assert (table["p_corrected"] <= table["p_holm"]).all()
    text = " ".join(printed.split())
    assert f"corrected for {pair.sum()} tests (Benjamini-Hochberg)" in text
    assert "Correlation of ticket minus random accuracy with probe gap" in text
    assert "With 5 seeds a bootstrap interval comes out too narrow" in " ".join(printed.split())
    pd.testing.assert_frame_equal(correlation.table(Storage(storage)), table, check_dtype=False)
    dead = table.query("plasticity_measure == 'dead_fraction' and statistic == 'pearson'")
    assert (dead[dead["shift"] == "permuted_pixels"]["n"] == 20).all()


def test_the_primary_pair_has_a_table_of_its_own(storage: Path) -> None:
    """Whose figures are the same however many other measures there are."""
    assert run(str(storage)) == 0
    table = read_analysis(storage, "primary")
    assert list(table) == list(primary_table.COLUMNS)
    shifting = table[table["shift"] == "permuted_pixels"]
    assert list(zip(shifting["sparsity"], shifting["center"], strict=True)) == [
        (0.8, "mean"), (0.9, "mean"), (0.8, "iqm"), (0.9, "iqm")
    ]  # fmt: skip
    assert set(shifting["plasticity_verdict"]) == {"worse"}
    p, corrected = (shifting[name].to_numpy() for name in ("link_p", "link_p_corrected"))
    assert corrected == pytest.approx(2 * p)
    control = table[table["shift"] == "stationary"]
    assert control["link_p_corrected"].isna().all()
    assert control["link"].notna().all()
    pooled = table[table["shift"] == "all"]
    assert (pooled["snapshots"] == 2 * shifting["snapshots"].iloc[0]).all()


def test_the_answer_does_not_depend_on_other_measures(tmp_path: Path) -> None:
    few = write_study(tmp_path / "few", falling)
    many = write_study(tmp_path / "many", falling, metrics=falling_metrics)
    for root in (few, many):
        assert run(str(root), "--resamples", "10") == 0
    tables = [read_analysis(root, "primary") for root in (few, many)]
    pd.testing.assert_frame_equal(*tables)
    assert len(read_analysis(few, "correlation")) < len(read_analysis(many, "correlation"))


def test_the_margin_of_equivalence_is_an_option(tmp_path: Path, printed: Any) -> None:
    def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        share = 0.7 if shift == "stationary" else 1.0
        noise = 0.002 * noisy(4)(seed, task + len(shift))
        lost = share * task / 100 + noise
        return {
            "probe_online_gap": task / 100, "advantage_over_random": 0.3 - lost,
            "test_accuracy": 0.9,
        }  # fmt: skip

    write_study(tmp_path, at, shifts=("permuted_pixels", "stationary"))
    assert "falls more than in the stationary control" in printed(tmp_path)
    wide = printed(tmp_path, "--equivalence-margin", "0.5")
    assert "falls as far (within 50%) as in the stationary control" in wide


def test_the_answer_comes_last_and_is_short(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(storage)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith(f"All of it: {storage}/analysis/ (primary.csv, ")
    start = lines.index("Answer:")
    assert lines[-2] == ""
    assert 1 < len(lines) - start <= 9
    assert lines[start + 1].startswith("Under permuted_pixels ")
    assert "Pearson" not in " ".join(lines[start:])
    told = " ".join(line.strip() for line in lines[start + 1 : -2])
    assert told.startswith(correlation.answer(Storage(storage))), "a notebook gets the same"


def test_every_setting_is_answered_below_all_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lr in (0.001, 0.002, 0.003, 0.004, 0.005, 0.006):
        write_study(tmp_path, falling, seeds=range(3), tasks=(0, 10), lr=lr)
    assert run(str(tmp_path), "--resamples", "10") == 0
    lines = capsys.readouterr().out.splitlines()
    answers = [line for line in lines if line.startswith("Answer: digits, mlp, protocol ")]
    assert len(set(answers)) == 6
    assert sum(line.startswith("Primary: changes are") for line in lines) == 1
    assert lines.count("Primary (explained above)") == 5
    assert sum(line.startswith("Intervals: ") for line in lines) == 1
    assert max(i for i, line in enumerate(lines) if "Pearson" in line) < lines.index(answers[0])


def started(script: str, root: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, on a terminal that knows ASCII only."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), str(root)], check=False, text=True,
        stderr=subprocess.PIPE, env=environment, **{"stdout": subprocess.PIPE, **options},
    )  # fmt: skip


@pytest.mark.parametrize("script", ["correlation.py", "report.py"])
def test_a_terminal_that_cannot_show_the_path(tmp_path: Path, script: str) -> None:
    root = write_study(tmp_path / "Prüfung", falling, seeds=range(3), tasks=(0, 10))
    done = started(script, root)
    assert done.returncode == 0
    (slow,) = done.stderr.splitlines()
    assert slow.endswith(" ...")
    assert "/Pr\\xfcfung/analysis/" in done.stdout


def test_files_are_written_before_anything_is_printed(small: Path) -> None:
    """As where the terminal, or who reads the output, is gone."""
    with Path("/dev/full").open("w") as full:
        done = started("correlation.py", small, stdout=full)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(pd.read_csv(small / "analysis/correlation.csv")) > 100
    assert (small / "analysis/correlation.parquet").exists()


def test_numbers_of_the_script_are_those_of_the_tables(small: Path) -> None:
    assert run(str(small), "--resamples", "10") == 0
    table = pd.read_parquet(small / "analysis/correlation.parquet")
    cells = [(s, t) for s in range(5) for t in (0, 10, 20, 30)]
    counts = [falling("permuted_pixels", s, t, 0.9)["ticket_count"] for s, t in cells]
    ranks = [falling_metrics("permuted_pixels", s, t)["effective_rank"] for s, t in cells]
    row = table.query(
        "shift == 'permuted_pixels' and sparsity == 0.9 and ticket_measure == 'ticket_count' "
        "and plasticity_measure == 'effective_rank' and statistic == 'pearson'"
    ).iloc[0]
    assert row.estimate == pytest.approx(stats.pearsonr(counts, ranks).statistic)
    assert row.rounds == 3


def test_it_says_how_many_tickets_win(tmp_path: Path, printed: Any) -> None:
    counts = {0: 3.0, 10: 2.0, 20: 1.0, 30: 0.0}
    write_study(
        tmp_path, lambda sh, s, t, sp: {**falling(sh, s, t, sp), "winning_ticket_count": counts[t]}
    )
    assert "permuted_pixels at sparsity 0.8: 3 at task 0, 0 at task 30." in printed(tmp_path)


def test_printed_pair_can_be_chosen(small: Path, printed: Any) -> None:
    text = printed(small, "--measure", "dead_fraction", "--tickets", "overlap_mean")
    assert "Exploratory: correlation of mean pairwise overlap with dead units" in text


def test_it_ends_with_what_was_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line per value and stream, with seeds as replicates; values by their size."""
    for lr, seeds in ((0.01, 3), (0.0003214, 2), (0.002, 3)):
        write_study(
            tmp_path, falling, shifts=("permuted_pixels", "stationary"), seeds=range(seeds), lr=lr
        )
    assert run(str(tmp_path), "--resamples", "10") == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("By what was searched"))
    assert max(i for i, line in enumerate(lines) if line.startswith("Answer:")) < start
    rows = [line.split() for line in lines[start:] if line.startswith("0.")]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        (lr, shift, seeds)
        for lr, seeds in (("0.0003214", "2"), ("0.002", "3"), ("0.01", "3"))
        for shift in ("permuted_pixels", "stationary")
    ]
    primary = read_analysis(tmp_path, "primary").query("center == 'mean' and shift != 'all'")
    means = primary[["plasticity_change", "tickets_change"]].to_numpy().ravel()
    told = [float(value) for row in rows for value in row[2:4]]
    assert sorted(told) == pytest.approx(sorted(means), abs=0.0006)


def test_protocols_are_never_mixed(tmp_path: Path, printed: Any) -> None:
    write_study(tmp_path, falling, seeds=range(3))
    write_study(tmp_path, falling, seeds=range(4), lr=0.01)
    text = printed(tmp_path)
    assert "lr=0.001 " in text
    assert "lr=0.01 " in text
    assert "hidden" not in text
    table = pd.read_parquet(tmp_path / "analysis/correlation.parquet")
    pearson = table.query("statistic == 'pearson' and ticket_measure == 'ticket_count'")
    pearson = pearson[pearson["plasticity_measure"] == "test_accuracy"]
    assert sorted(zip(pearson["n"], pearson["seeds"], strict=True)) == [(12, 3), (16, 4)]
    assert pearson["protocol"].nunique() == 2


def test_a_sweep_that_is_still_running_can_be_analysed(tmp_path: Path) -> None:
    """Nothing has a row in ``runs`` yet, as just before the first run is marked as finished."""
    write_study(tmp_path, falling, seeds=range(3), finished=False)
    write_study(tmp_path, falling, seeds=range(3), lr=0.01)
    parts = settings(observe(Storage(tmp_path)))
    assert [len(part.frame) for part in parts] == [12, 12]
    assert run(str(tmp_path)) == 0


def test_rounds_are_told_apart(tmp_path: Path, printed: Any) -> None:
    for rounds in (3, 5):
        write_study(tmp_path, falling, rounds=rounds)
    text = printed(tmp_path)
    assert "0.8 (3 rounds)" in text
    assert "0.8 (5 rounds)" in text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tasks", [(0,), (0, 10)])
def test_tiny_storages(tmp_path: Path, tasks: tuple[int, ...], printed: Any) -> None:
    text = printed(write_study(tmp_path, falling, seeds=(0,), tasks=tasks))
    assert "none" in text
    assert "nan" not in text.lower()


def test_a_storage_by_uri(small: Path, printed: Any) -> None:
    text = printed(f"file://{small}", "--resamples", "10")
    assert (small / "analysis/correlation.csv").exists()
    assert f"from file://{small}/tables/" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--confidence", "1.2"], "--confidence=1.2: must be a number in (0, 1)"),
        (["--resamples", "3"], "--resamples=3: must be a whole number in [10, 100000]"),
        (["--seed", "-1"], "--seed=-1: must be a whole number in [0, 9223372036854775807]"),
        (["--tickets", "many"], "--tickets=many: must be one of ticket_count, winning_ticket_coun"),
        (["--measure", "mood"], "--measure=mood: must be one of probe_online_gap, test_accuracy"),
        (["--mood", "1"], "unrecognized arguments: --mood 1"),
    ],
)
def test_bad_input_is_one_line(
    storage: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(storage), *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"error: {message}")


def test_no_storage_is_one_line(tmp_path: Path) -> None:
    done = started("correlation.py", tmp_path / "missing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: STORAGE={tmp_path}/missing: must be the folder or URI")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "missing").exists()


def test_pairing_and_center_reach_the_output(tmp_path: Path, printed: Any) -> None:
    """Four seeds lose 0.01 and one 0.51: the mean loss is 0.11, the interquartile one 0.01."""
    write_study(
        tmp_path,
        lambda sh, s, t, sp: {
            "probe_online_gap": (0.51 if s == 4 else 0.01) * (t > 0),
            "advantage_over_random": 0.3,
            "ticket_count": 9 + noisy(2)(s, t),
            "test_accuracy": 0.5 + noisy(3)(s, t) / 20,
        },
    )
    assert "permuted_pixels +.110" in printed(tmp_path)
    text = printed(tmp_path, "--center", "iqm", "--pairing", "previous")
    assert "permuted_pixels +.010" in text
    assert "t intervals of the interquartile mean over seeds" in text
    assert "Performance is that on the task before" in text
    table = pd.read_parquet(tmp_path / "analysis/correlation_pairing_previous.parquet")
    assert set(table["pairing"]) == {"previous"}
    [pearson] = table.query(
        "statistic == 'pearson' and ticket_measure == 'ticket_count' and "
        "plasticity_measure == 'test_accuracy'"
    ).to_dict("records")
    assert pearson["n"] == 15
    assert "5 of 20 rows have no number" in pearson["note"]
