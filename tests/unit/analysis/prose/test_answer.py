"""The answer says what the numbers say, and not more."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raylot.analysis import primary
from raylot.analysis.prose.answer import MOST_LINES, caveats, headings, lines
from raylot.analysis.prose.headline import headline
from raylot.analysis.tables.observations import observe, settings, without_snapshots
from raylot.config import Study
from raylot.storage import Storage
from tests.unit.analysis.studies import finish, write_rows, write_study

Values = Callable[[str, int, int, float], Mapping[str, float]]

BOTH = ("permuted_pixels", "stationary")
CANNOT_TELL_LINK = "it cannot be told whether the two are linked beyond what changes in all seeds"
LINKED = "beyond what changes in all seeds alike, more of the one loss goes with more of the other"


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., primary.Findings]:
    """Findings about a study with these values."""

    def find(values: Values, **study: Any) -> primary.Findings:
        write_study(tmp_path, values, **study)
        (setting,) = settings(observe(Storage(tmp_path)))
        return primary.find(setting)

    return find


def draw(*place: int) -> float:
    return float(np.random.default_rng(place).normal())


def losing(
    gap: float = 0.3, advantage: float = 0.3, *, of_gap: float = 0, of_advantage: float = 0,
    link: float = 0, noise: float = 0.01,
) -> Values:  # fmt: skip
    """A gap that rises so far by task 30, an advantage over random masks that falls so far, and a
    share of that in the control."""

    def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        is_control = shift == "stationary"
        own, other = (noise * draw(seed, task, index + 2 * is_control) for index in (0, 1))
        along = task / 30
        return {
            "probe_online_gap": gap * (of_gap if is_control else 1) * along + own,
            "advantage_over_random": 0.15 - advantage * (of_advantage if is_control else 1) * along
            - link * own - (1 - abs(link)) * other,
        }  # fmt: skip

    return at


def test_a_link_and_a_control_that_kept_its_plasticity(find: Callable[..., Any]) -> None:
    found = find(losing(link=1), shifts=BOTH)
    assert headline(found) == (
        "Under permuted_pixels plasticity is lost and the advantage of tickets over random masks "
        "falls more than in the stationary control, which kept its plasticity, and beyond what "
        "changes in all seeds alike, more of the one loss goes with more of the other (5 seeds, "
        "95% confidence)."
    )
    assert caveats(found) == []


def test_a_common_trend_is_no_link(find: Callable[..., Any]) -> None:
    told = headline(find(losing(), seeds=range(7)))
    assert told.startswith(
        "Under permuted_pixels plasticity is lost and the advantage of tickets over random masks "
        "falls, and "
        f"{CANNOT_TELL_LINK} alike (7 seeds"
    )


def test_the_other_way_round(find: Callable[..., Any]) -> None:
    told = headline(find(losing(advantage=-0.3, link=-1, noise=0.02)))
    assert "plasticity is lost but the advantage of tickets over random masks grows" in told
    assert "more of the one loss goes with less of the other" in told


@pytest.mark.parametrize(
    ("of_advantage", "words"),
    [
        (1.0, "falls as far (within 20%) as in the stationary control"),
        (1.5, "falls less than in the stationary control"),
        (0.5, "falls more than in the stationary control"),
    ],
)
def test_beside_the_control(find: Callable[..., Any], of_advantage: float, words: str) -> None:
    assert words in headline(find(losing(of_advantage=of_advantage), shifts=BOTH))


def test_beside_the_control_with_too_much_noise(find: Callable[..., Any]) -> None:
    found = find(losing(of_advantage=0.8, noise=0.06), shifts=BOTH)
    assert "falls, it cannot be told whether more than in the stationary control" in headline(found)
    [search] = found.searches
    smallest = f"less than {search.against_control.smallest:.2g} in ticket minus random accuracy"
    assert smallest in caveats(found)[-1]


@pytest.mark.parametrize(
    ("of_gap", "noise", "words", "caveat"),
    [
        (1.0, 0.01, "which lost plasticity too", "so it is no control for plasticity"),
        (0.0, 0.01, "which kept its plasticity", None),
        (0.1, 0.1, "whose plasticity cannot be told", "kept its plasticity cannot be told"),
    ],
)
def test_what_became_of_the_control(
    find: Callable[..., Any], of_gap: float, noise: float, words: str, caveat: str | None
) -> None:
    found = find(losing(of_gap=of_gap, noise=noise), shifts=BOTH, seeds=range(8))
    assert f"the stationary control, {words}" in headline(found)
    told = " ".join(caveats(found))
    assert (caveat or "") in told
    assert ("control" in told) == (caveat is not None)


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (0.0, "it cannot be told whether plasticity is lost, so the question is not put to the"),
        (-0.1, "plasticity grows, so the question is not put to the test"),
    ],
)
def test_without_a_loss_nothing_is_said_of_tickets(
    find: Callable[..., Any], gap: float, words: str
) -> None:
    told = headline(find(losing(gap)))
    assert told.startswith(f"Under permuted_pixels {words}")
    assert "tickets" not in told


def test_tickets_that_stay(find: Callable[..., Any]) -> None:
    told = headline(find(losing(advantage=0)))
    assert (
        "is lost, but it cannot be told whether the advantage of tickets over random masks falls, "
        "and" in told
    )


def test_shifts_that_share_a_verdict_are_named_together(find: Callable[..., Any]) -> None:
    def at(shift: str, seed: int, task: int, sparsity: float) -> Mapping[str, float]:
        gap = 0.0 if shift == "rotation" else 0.3
        advantage = 0.0 if (shift, sparsity) == ("noise", 0.9) else 0.3
        return losing(gap, advantage)(shift, seed, task, sparsity)

    shifts = ("noise", "permuted_labels", "permuted_pixels", "rotation", "stationary")
    found = find(at, shifts=shifts, sparsities=(0.8, 0.9), probe_shift="permuted_pixels")
    told = headline(found)
    assert "noise at sparsity 0.8, permuted_labels and permuted_pixels plasticity is" in told
    assert "under noise at sparsity 0.9 plasticity is lost, but it cannot be told" in told
    assert "under rotation it cannot be told whether plasticity is lost" in told
    assert told.count("plasticity is lost") == 3
    assert len(lines(found)) == MOST_LINES


def test_the_table(find: Callable[..., Any]) -> None:
    def exact(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        return {
            "probe_online_gap": task / 100 * (shift != "stationary"),
            "advantage_over_random": 0.3 - task / 300,
        }

    found = find(exact, shifts=BOTH)
    assert headings(found)[:3] == [
        "stream",
        "probe gap, rise",
        "ticket minus random accuracy, fall",
    ]
    assert lines(found) == [
        # later snapshots have 0.1, 0.2 and 0.3, or a third of that
        ["permuted_pixels", "+0.200 [+0.200, +0.200]", "+0.067 [+0.067, +0.067]",
         "+0.000 [+0.000, +0.000]", "none"],
        ["stationary", "+0.000 [+0.000, +0.000]", "+0.067 [+0.067, +0.067]", "none", "none"],
    ]  # fmt: skip


def test_nothing_is_claimed_of_the_control(find: Callable[..., Any]) -> None:
    own, control = lines(find(losing(), shifts=BOTH))
    assert " p " in own[-1]
    assert re.fullmatch(r"[+-]\d\.\d\d \[[+-]\d\.\d\d, [+-]\d\.\d\d\]", control[-1])


def test_streams_that_are_the_same_bit_for_bit_leave_no_difference_to_see(
    find: Callable[..., Any],
) -> None:
    """As a network that is reset before each task, under any shift."""

    def same(shift: str, *place: Any) -> Mapping[str, float]:
        return losing()("permuted_pixels", *place)

    found = find(same, shifts=BOTH)
    assert not any("overlooked" in caveat for caveat in caveats(found))


def test_all_settings_of_a_storage_are_corrected_for(tmp_path: Path) -> None:
    write_study(tmp_path, losing(link=1), shifts=BOTH)
    alone = primary.find(*settings(observe(Storage(tmp_path)))).searches[0]
    for lr in (0.01, 0.1, 1.0):
        write_study(tmp_path, losing(), shifts=BOTH, lr=lr)
    first = alone.p_link
    together = [primary.find(setting) for setting in settings(observe(Storage(tmp_path)))]
    assert [found.settings for found in together] == [4] * 4
    (same,) = (
        search for found in together for search in found.searches if search.link == alone.link
    )
    assert same.p_link == pytest.approx(4 * first)
    assert alone.verdicts.link == "linked"
    assert same.verdicts.link == "linked"
    assert "no p can come below" not in " ".join(caveats(together[0]))
    for lr in (2.0, 3.0, 4.0):
        write_study(tmp_path, losing(), shifts=BOTH, lr=lr)
    many = [primary.find(setting) for setting in settings(observe(Storage(tmp_path)))]
    assert not any(LINKED in headline(found) for found in many), "7 / 120 is above 0.05"
    assert all("no p can come below 0.058" in caveats(found)[0] for found in many)


def test_shifting_streams_decide_which_probe_tasks_count(tmp_path: Path) -> None:
    """The control was trained on those of an earlier sweep too."""
    write_study(tmp_path, losing(), shifts=("stationary",), probe_shift="permuted_pixels",
                search_task="own")  # fmt: skip
    for shift in ("rotation", "stationary"):
        write_study(tmp_path, losing(), shifts=(shift,), probe_shift="rotation", search_task="own")
    (setting,) = settings(observe(Storage(tmp_path)))
    found = primary.find(setting)
    assert found.plasticity is not None
    assert found.plasticity.name == "probe_online_gap(probe_shift=rotation)"
    assert headline(found).startswith("Under rotation plasticity is lost")
    assert "(on probe tasks with probe_shift=rotation; 5 seeds" in headline(found)


def test_random_masks_of_another_density_are_no_level_of_chance(tmp_path: Path) -> None:
    write_study(tmp_path, losing(), sparsities=(0.8, 0.95), random_density=0.05)
    (setting,) = settings(observe(Storage(tmp_path)))
    known = setting.frame.groupby("sparsity")["advantage_over_random"].count()
    assert dict(known) == {0.8: 0, 0.95: 20}


def test_streams_without_any_snapshot_are_named(tmp_path: Path) -> None:
    write_study(tmp_path, losing())
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=3)
    for seed in range(2):
        place = {"shift": "permuted_pixels", "seed": seed, "intervention": "l2_init"}
        finish(tmp_path, study.stream_run(**place), "diverged")
        finish(tmp_path, study.tickets_run(**place, task=0, sparsity=0.8), "failed")
    assert without_snapshots(observe(Storage(tmp_path))) == [
        "digits, mlp, permuted_pixels with l2_init: 2 runs diverged, 2 runs failed"
    ]


def test_a_seed_of_which_only_the_divergence_is_known_has_no_change(tmp_path: Path) -> None:
    write_study(tmp_path, losing())
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=3)
    before = primary.find(*settings(observe(Storage(tmp_path)))).searches[0].plasticity
    finish(tmp_path, study.stream_run(shift="permuted_pixels", seed=4), "diverged")
    for task in (0, 10, 20, 30):
        run = study.tickets_run(shift="permuted_pixels", seed=4, task=task, sparsity=0.8)
        (tmp_path / f"tables/snapshots/{run.run_id}.parquet").unlink()
    after = primary.find(*settings(observe(Storage(tmp_path)))).searches[0].plasticity
    assert before is not None
    assert after is not None
    assert after.mean > before.mean - 0.02, "it is no seed that lost nothing"


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (1, "1 seed cannot tell a finding from chance: at least 3 are needed"),
        (2, "2 seeds cannot tell a finding from chance"),
        (3, "3 seeds are too few to show a link: no p can come below 0.17"),
        (4, None),
    ],
)
def test_few_seeds(find: Callable[..., Any], seeds: int, words: str | None) -> None:
    found = find(losing(link=1), seeds=range(seeds))
    told = caveats(found)
    assert (words is None) == (not any("seed" in caveat for caveat in told))
    assert words is None or told[0].startswith(words)
    assert (LINKED in headline(found)) == (words is None)
    assert ("plasticity is lost and" in headline(found)) == (seeds > 2)


def test_there_are_three_caveats_at_most(find: Callable[..., Any]) -> None:
    wide = losing(of_gap=1, of_advantage=0.9, noise=0.05)
    found = find(wide, shifts=BOTH, seeds=range(3))
    told = caveats(found)
    assert len(told) == 3
    assert "overlooked" in told[-1]
    more = caveats(replace(found, ended={"failed": 2}))
    assert more == [*told[:2], "2 runs failed."]


def test_without_a_control(find: Callable[..., Any]) -> None:
    found = find(losing())
    assert "control" not in headline(found)
    assert caveats(found) == [
        "Without a stationary control, what the shift does cannot be told from what longer "
        "training does."
    ]


def test_only_the_control(find: Callable[..., Any]) -> None:
    told = headline(find(losing(), shifts=("stationary",), probe_shift="permuted_pixels"))
    assert told.startswith("Not testable: there is no shifting stream")


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("probe_online_gap", "no snapshot was trained on probe tasks (--probe-tasks 4 adds them)."),
        ("advantage_over_random", "no random masks as dense as the tickets were trained "
         "(--random-masks 4)."),
    ],
)  # fmt: skip
def test_without_the_primary_pair(find: Callable[..., Any], lacking: str, words: str) -> None:
    def at(*snapshot: Any) -> dict[str, float]:
        return {name: v for name, v in losing()(*snapshot).items() if name != lacking}

    found = find(at)
    assert headline(found).startswith("Not testable, as it takes the probe gap and ticket minus")
    assert headline(found).endswith(words)
    assert (headings(found), lines(found), caveats(found)) == ([], [], [])


def test_runs_that_failed_and_diverged_are_counted(tmp_path: Path) -> None:
    """Seed 4 diverges after task 10, and one search of seed 0 fails."""
    gone = [(4, 20), (4, 30), (0, 30)]

    def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        return losing()(shift, seed, task, sparsity)

    write_study(tmp_path, at)
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=3)
    for seed, task in gone:
        run = study.tickets_run(shift="permuted_pixels", seed=seed, task=task, sparsity=0.8)
        for table in ("snapshots", "runs"):
            (tmp_path / f"tables/{table}/{run.run_id}.parquet").unlink()
        if seed == 0:
            finish(tmp_path, run, "failed")
    stream = study.stream_run(shift="permuted_pixels", seed=4)
    finish(tmp_path, stream, "diverged")
    (setting,) = settings(observe(Storage(tmp_path)))
    found = primary.find(setting)
    assert caveats(found)[1] == (
        "1 run failed and 1 run diverged; 1 of 20 snapshots lack a measurement; 2 that diverged "
        "streams have not left count as the worst loss of plasticity seen, and as unknown in "
        "tickets."
    )
    assert found.searches[0].plasticity.seeds == 5
    worst = setting.frame["probe_online_gap"].max()
    rows = setting.frame.query("seed == 4").set_index("task")["probe_online_gap"]
    of_seed_4 = (rows[10] + 2 * worst) / 3 - rows[0]
    others = [
        setting.frame.query(f"seed == {seed} and task > 0")["probe_online_gap"].mean()
        - setting.frame.query(f"seed == {seed} and task == 0")["probe_online_gap"].item()
        for seed in range(4)
    ]
    assert found.searches[0].plasticity.mean == pytest.approx(np.mean([*others, of_seed_4]))


def test_a_snapshot_whose_probe_training_diverged_lost_the_most(tmp_path: Path) -> None:
    write_study(tmp_path, losing())
    study = Study.checked(tasks=31, snapshots="0,10,20,30", rounds=3)
    [run] = study.probe_runs(study.stream_run(shift="permuted_pixels", seed=0))
    common = {"probe_shift": "permuted_pixels", "probe_task": 0}
    rows = [{**common, "trained": "fresh", "online_accuracy": 0.8}] + [
        {**common, "trained": "snapshot", "task": task, "online_accuracy": accuracy}
        for task, accuracy in ((0, 0.8), (10, 0.7), (20, 0.6), (30, np.nan))
    ]
    write_rows(tmp_path, "probes", run, rows)
    (setting,) = settings(observe(Storage(tmp_path)))
    at_30 = setting.frame.query("seed == 0 and task == 30")["probe_online_gap"]
    assert np.isinf(at_30).all()
    gaps = setting.frame["probe_online_gap"]
    worst = gaps[np.isfinite(gaps)].max()
    found = primary.find(setting).searches[0].plasticity
    without = setting.frame.query("seed != 0").groupby(["seed", "task"])["probe_online_gap"].mean()
    wide = without.unstack()
    changes = [*(wide[[10, 20, 30]].mean(axis=1) - wide[0]), (0.1 + 0.2 + worst) / 3]
    assert found is not None
    assert found.mean == pytest.approx(np.mean(changes))


_TEXTS = [
    path
    for pattern in ("README.md", "docs/*.md", "sweeps/**/*.py", "sweeps/**/*.md", "raylot/**/*.py",
                    "analysis/*.py", "raylot/analysis/report/page/*")
    for path in sorted(Path(__file__).parents[4].glob(pattern))
]  # fmt: skip


@pytest.mark.parametrize("path", _TEXTS, ids=lambda path: path.name)
def test_no_text_takes_a_missing_significance_for_absence(path: Path) -> None:
    text = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split()).lower()
    assert not re.search('no evidence|shows no loss of plasticity|"no loss of plasticity"', text)


def test_readme_says_that_the_control_is_none_for_plasticity() -> None:
    text = " ".join(_TEXTS[0].read_text(encoding="utf-8").split())
    assert "the stationary stream, which never changes, lost plasticity too" in text
    assert "it is no control for plasticity" in text
