"""How often the answer claims what is not so, and what is, in simulated studies.

Each row is a kind of study, with claims that are false in it. The quick test runs few studies of
each; run the slow one with ``pytest -m slow -s`` to see the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.unit.analysis.simulated_rows import (
    CONTROL_LOST,
    FEWER,
    GREW,
    KEPT,
    LESS,
    LINKED,
    LOST,
    MORE,
    MORE_TICKETS,
    NO_DIFFERENCE,
    NO_LINK,
    OPPOSITE,
    SAME,
    Row,
    count,
    too_many,
)
from tests.unit.analysis.simulation import LINK_COVERED, World, bent, claims


def _rows() -> Iterator[Row]:
    nothing = (NO_LINK, (LOST, GREW), (FEWER, MORE_TICKETS), NO_DIFFERENCE, (SAME,), (KEPT,),
               (CONTROL_LOST,))  # fmt: skip
    flat = {"lost": 0.0, "worse": 0.0}
    yield Row("nothing falls", World(**flat), nothing)
    yield Row("random walks", World(**flat, walks=True), nothing)
    yield Row("random walks, 10 seeds", World(10, 7, **flat, walks=True), nothing)
    falls, only_shift = (LOST, FEWER, MORE, KEPT), (NO_LINK, (LESS,), (SAME,), (CONTROL_LOST,))
    yield Row("linear trend, no link", World(), only_shift, falls)
    yield Row("linear trend, no link, 10 seeds", World(10), only_shift, falls)
    for snapshots in (4, 7):
        for seeds in (5, 10):
            world = World(seeds, snapshots, shape=bent, noise=0.05)
            name = f"bent trend, no link, {snapshots} snapshots, {seeds} seeds"
            yield Row(name, world, only_shift, falls)
    for seeds in (5, 10):
        equal = World(seeds, share_worse=1.0, share_lost=1.0, noise=0.05)
        yield Row(f"control falls equally, {seeds} seeds", equal,
                  (NO_LINK, NO_DIFFERENCE, (KEPT,)), (SAME, CONTROL_LOST))  # fmt: skip
        for share in (0.7, 0.8):
            less = World(seeds, share_worse=share, share_lost=share, noise=0.05)
            yield Row(f"control falls {100 * share:.0f}%, {seeds} seeds", less,
                      (NO_LINK, (LESS,), (SAME,), (KEPT,)), (MORE, CONTROL_LOST))  # fmt: skip
    for seeds in (5, 10, 20):
        slight = World(seeds, lost=0.05, share_lost=0.2, noise=0.15)
        yield Row(f"control loses 0.01 of the shift's 0.05, {seeds} seeds", slight,
                  (NO_LINK, (KEPT,)), (CONTROL_LOST,))  # fmt: skip
    for seeds in (5, 10, 20):
        yield Row(f"link of 0.7, {seeds} seeds", World(seeds, link=0.7, shape=bent),
                  ((OPPOSITE,),), (LINKED,))  # fmt: skip
    for seeds in (5, 10):
        yield Row(f"one seed collapses, {seeds} seeds", World(seeds, **flat, collapses=1),
                  (NO_LINK, (FEWER, MORE_TICKETS), NO_DIFFERENCE, (GREW,)))  # fmt: skip
    for seeds in (5, 10):
        same = World(seeds, share_worse=1.0, share_lost=1.0, diverges=1.0)
        yield Row(f"streams diverge, control the same, {seeds} seeds", same,
                  (NO_LINK, NO_DIFFERENCE, (KEPT,)), (LOST, FEWER))  # fmt: skip
        linked = World(seeds, share_worse=0.8, diverges=1.0, link=0.7)
        yield Row(f"streams diverge, link of 0.7, control falls 80%, {seeds} seeds", linked,
                  ((OPPOSITE,), (LESS,), (SAME,), (CONTROL_LOST,)), (LINKED,))  # fmt: skip


ROWS = list(_rows())


QUICK = ("bent trend, no link, 7 snapshots, 5 seeds", "control falls 80%, 5 seeds",
         "link of 0.7, 10 seeds", "streams diverge, control the same, 5 seeds")  # fmt: skip


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in QUICK], ids=lambda r: r.name)
def test_a_few_studies(tmp_path: Path, row: Row) -> None:
    found = claims(tmp_path, row.world, 40, seed=1)
    for alternatives in row.false:
        assert count(found, alternatives) <= too_many(40), alternatives
    for claim in row.power:
        assert found[claim] > 20, claim


@pytest.mark.slow  # 20 minutes
@pytest.mark.timeout(3600)
def test_a_thousand_studies_of_each_kind(tmp_path: Path) -> None:
    studies = 1000
    print("\n| studies | false claims (% of studies) | true claims (%) | interval of the link |")
    print("|---|---|---|---|")
    too_often = []
    for number, row in enumerate(ROWS):
        found = claims(tmp_path / str(number), row.world, studies, seed=number)
        share = {
            " or ".join(alternatives): count(found, alternatives) for alternatives in row.false
        }
        too_often += [
            f"{row.name}: {name} {100 * claimed / studies:.1f}%"
            for name, claimed in share.items()
            if claimed > too_many(studies)
        ]
        false, true = (
            ", ".join(f"{name} {100 * made / studies:.1f}" for name, made in counts.items())
            for counts in (share, {claim: found[claim] for claim in row.power})
        )
        covered = f"{100 * found[LINK_COVERED] / studies:.1f}"
        print(f"| {row.name} | {false} | {true} | {covered} |", flush=True)
    assert not too_often, "; ".join(too_often)


def test_rows_that_are_run_quickly_exist() -> None:
    assert set(QUICK) <= {row.name for row in ROWS}
    assert np.isclose(stats.binom.sf(too_many(1000), 1000, 0.05), 1e-4, atol=1e-4)
