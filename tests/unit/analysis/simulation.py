"""Simulated studies of which it is known what is true, in tables as a compaction leaves them."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raylot import results
from raylot.analysis import primary
from raylot.analysis.prose.headline import headline
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.tables.observations import Setting, observe, settings
from raylot.analysis.widths import widest_of
from raylot.config import Study
from raylot.results import files
from raylot.storage import Storage

Array = npt.NDArray[np.float64]

SHIFT, CONTROL = "permuted_pixels", "stationary"

#: Online accuracy of fresh networks.
_FRESH = 0.7

#: What is counted besides claims.
LINK_COVERED = "link's interval covers"
LOST_COVERED, FEWER_COVERED = "plasticity's interval covers", "tickets' interval covers"
NARROW, USED = "intervals are narrow", "seeds"


@dataclass(frozen=True)
class World:
    """What is true in a kind of study; a gap of 0.1 is a loss of 0.1 in online accuracy.

    Attributes:
        seeds, snapshots: of each stream.
        lost, worse: how much plasticity is lost, and three times how much the accuracy of tickets
            falls beside that of random masks, from the first snapshot to the last, under the
            shift.
        share_lost, share_worse: the same in the control, as a share of that.
        shape: how far the change has come at each snapshot, from 0 to 1, given its position.
        noise: standard deviation of one snapshot's measures, in units of ``lost`` and ``worse`` if
            those are not 0.
        link: correlation of the two noises.
        walks: whether the noise of a stream adds up along it.
        collapses: seeds of the shifting stream whose plasticity is lost at once, at a random
            snapshot: an accuracy of 0.5 below a fresh network's.
        diverges: a shifting stream diverges where its noise in plasticity goes beyond so many
            standard deviations, and leaves no later snapshots; None: none does.
        control_noise: noise in the control, as a share of that under the shift.
    """

    seeds: int = 5
    snapshots: int = 4
    lost: float = 0.2
    worse: float = 0.3
    share_lost: float = 0.0
    share_worse: float = 0.0
    shape: Callable[[Array], Array] = np.asarray
    noise: float = 0.15
    link: float = 0.0
    walks: bool = False
    collapses: int = 0
    diverges: float | None = None
    control_noise: float = 1.0

    def change(self) -> tuple[float, float]:
        """Returns the true changes under the shift of both measures, as the tables have them."""
        along = self.shape(np.linspace(0, 1, self.snapshots))
        come = float(along[1:].mean() - along[0])
        return self.lost * come, self.worse * come / 3


@dataclass(frozen=True)
class Adding:
    """A rule that adds seeds until intervals are narrow; a world's seeds are the most it may have.

    Attributes:
        width: that intervals may have.
        first: seeds before any is added.
        step: seeds added at once.
    """

    width: float
    first: int = 5
    step: int = 2


def bent(position: Array) -> Array:
    """Most of the change comes early."""
    return np.asarray(1 - np.exp(-5 * position))


def _streams(world: World, draw: np.random.Generator, shift: str) -> tuple[Array, Array]:
    """Plasticity gap and worse at each snapshot of each seed's stream, shape (seeds, snapshots);
    NaN once a stream has diverged."""
    size = (world.seeds, world.snapshots)
    one, other = draw.normal(size=(2, *size))
    other = world.link * one + np.sqrt(1 - world.link**2) * other
    if world.walks:
        one, other = (noise.cumsum(axis=1) / 2 for noise in (one, other))
    if shift == CONTROL:
        one, other = world.control_noise * one, world.control_noise * other
    of_seed = draw.normal(size=(2, world.seeds, 1))
    along = world.shape(np.linspace(0, 1, world.snapshots))
    share_lost, share_worse = (
        (1.0, 1.0) if shift == SHIFT else (world.share_lost, world.share_worse)
    )
    scale_lost, scale_worse = world.lost or 0.2, world.worse or 0.3
    gap = world.lost * share_lost * along + world.noise * scale_lost * (one + of_seed[0])
    worse = world.worse * share_worse * along
    worse = worse + world.noise * scale_worse * (other + of_seed[1])
    if shift == SHIFT:
        for seed in draw.permutation(world.seeds)[: world.collapses]:
            gap[seed, draw.integers(1, world.snapshots) :] += 0.5
        if world.diverges is not None:
            is_over = np.maximum.accumulate(one > world.diverges, axis=1)
            is_over[:, 0] = False
            gap[is_over] = worse[is_over] = np.nan
    return gap, worse


def write(root: Path, world: World, studies: int, seed: int) -> None:
    """Writes the tables of many studies of one kind, as data sets of one storage."""
    tasks = [10 * index for index in range(world.snapshots)]
    asked = Study.checked(tasks=tasks[-1] + 1, snapshots=",".join(map(str, tasks)), rounds=3)
    rows: dict[str, list[dict[str, Any]]] = {"snapshots": [], "probes": [], "runs": []}
    for study in range(studies):
        draw = np.random.default_rng([seed, study])
        for shift in (SHIFT, CONTROL):
            gap, worse = _streams(world, draw, shift)
            for own in range(world.seeds):
                stream = f"s{study}_{shift}_{own}"
                place = {
                    **_identity(asked, shift), "dataset": f"study{study:04}", "seed": own,
                    "stream_run_id": stream,
                }  # fmt: skip
                _add(rows, place, tasks, gap[own], worse[own], asked)
    storage = Storage(root)
    for table, own_rows in rows.items():
        schema = files.schema_of(table)
        ordered = sorted(own_rows, key=lambda row: str(row["run_id"]))
        files.write_large(storage, pa.Table.from_pylist(ordered, schema=schema), table)


@functools.cache
def _identity(study: Study, shift: str) -> dict[str, Any]:
    return results.identity_columns(study.stream_run(shift=shift, seed=0))


def _add(
    rows: Mapping[str, list[dict[str, Any]]], place: Mapping[str, Any], tasks: list[int],
    gap: Array, worse: Array, study: Study,
) -> None:  # fmt: skip
    stream = place["stream_run_id"]
    is_there = ~np.isnan(gap)
    ended = {"kind": "stream", "protocol": "of-streams", "status": "finished"}
    if not is_there.all():
        ended["status"] = "diverged"
    rows["runs"].append({**place, "run_id": stream, **ended})
    probe = {"run_id": f"{stream}_probes", "probe_shift": SHIFT, "probe_task": 0}
    fresh = {"trained": "fresh", "online_accuracy": _FRESH}
    rows["probes"].append({**place, **probe, **fresh})
    for task, lost, fallen in zip(
        np.array(tasks)[is_there].tolist(), gap[is_there], worse[is_there], strict=True
    ):
        of = {"task": task, "trained": "snapshot", "online_accuracy": _FRESH - lost}
        rows["probes"].append({**place, **probe, **of})
        search = {
            "run_id": f"{stream}_{task}", "task": task, "sparsity": 0.8, "rounds": 3,
            "protocol": "p", "tickets": 3, "density": 0.2, "ticket_accuracy": 0.8 - fallen / 3,
            "random_accuracy": 0.5,
        }  # fmt: skip
        rows["snapshots"].append({**place, **search})


def claims(
    root: Path, world: World, studies: int, seed: int, adding: Adding | None = None
) -> Counter[str]:
    """Analyses simulated studies, and counts in how many of them each claim is made.

    The claims are the verdicts, some of which a sentence leaves unsaid, and whether intervals hold
    what is true. With a rule that adds seeds, also whether it found intervals `NARROW`, and how
    many seeds it `USED` in all.
    """
    write(root, world, studies, seed)
    counted: Counter[str] = Counter()
    parts = settings(observe(Storage(root)))
    assert len(parts) == studies
    for part in parts:
        if adding:
            part, is_narrow = _with_enough_seeds(part, world, adding)
            counted[NARROW] += is_narrow
            counted[USED] += part.frame["seed"].nunique()
        found = primary.find(replace(part, together=1))
        [search] = found.searches
        said = search.verdicts
        assert said is not None
        counted.update(
            {
                f"plasticity gets {said.plasticity}", f"tickets get {said.tickets}",
                f"tickets {said.against_control}", f"control {said.control}", f"link {said.link}",
            }
        )  # fmt: skip
        if search.link.low is not None and search.link.high is not None:
            counted[LINK_COVERED] += search.link.low <= world.link <= search.link.high
        lost, worse = world.change()
        counted[LOST_COVERED] += _holds(search.plasticity, lost)
        counted[FEWER_COVERED] += _holds(search.tickets, worse)
        is_said = "more of the one loss goes with more of the other" in headline(found)
        assert is_said == (said.link == "linked" and said.plasticity == "worse")
    return counted


def _with_enough_seeds(part: Setting, world: World, adding: Adding) -> tuple[Setting, bool]:
    """Returns a study with the seeds at which the rule stops, the first ones of its world, and
    whether its intervals are narrow then."""
    for number in (*range(adding.first, world.seeds, adding.step), world.seeds):
        own = _first_seeds(part, number)
        is_narrow = widest_of([own]).width <= adding.width
        if is_narrow:
            break
    return own, is_narrow


def _first_seeds(part: Setting, number: int) -> Setting:
    frame, runs = (rows[rows["seed"] < number] for rows in (part.frame, part.runs))
    return replace(part, frame=frame, runs=runs, adds_seeds=True)


def _holds(mean: Mean | None, truth: float) -> bool:
    if mean is None or mean.low is None or mean.high is None:
        return False
    return mean.low <= truth <= mean.high
