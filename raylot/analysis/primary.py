"""The declared question: do tickets run out as plasticity is lost?

One pair of measures is declared, and tested as a family of its own: what it says does not depend
on how many other measures were computed. All else that is correlated is exploratory. What is tested
together is each kind of claim, over all settings of a storage: see `find`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from raylot.analysis import verdicts
from raylot.analysis.statistics.changes import Comparison, changes, compare
from raylot.analysis.statistics.intervals import CENTERS, Array, Center, Mean
from raylot.analysis.statistics.link import Link, link
from raylot.analysis.tables.measures import (
    ALL_SHIFTS,
    PRIMARY_PLASTICITY,
    PRIMARY_TICKETS,
    TICKET_MEASURES,
    Measure,
    is_regression,
    measure,
    without_setting,
)
from raylot.analysis.tables.observations import Group, Search, Setting, groups, search_labels
from raylot.analysis.tables.panels import Panels
from raylot.analysis.verdicts import Verdicts
from raylot.foundation.names import STATIONARY

#: Share of the shift's change by which the control's may differ and still count as the same.
EQUIVALENCE_MARGIN = 0.2

#: How often each p counts where seeds were added until intervals were narrow. Such a rule stops
#: where seeds happen to differ little, so that 95% intervals hold in 92% of studies; intervals of
#: 97.5% hold in at least 95.4% (docs/method.md).
COUNTS_OF_P = 2


@dataclass(frozen=True)
class GroupFindings:
    """The findings about one shift at one sparsity.

    Attributes:
        shift, sparsity, rounds: name them.
        place: ``sparsity 0.8``.
        plasticity: how much plasticity was lost along the stream; None if that is not known.
        tickets: how much worse the ticket measure got; None if that is not known.
        link: of the two, beyond the changes that all seeds share.
        p_link: its p, corrected as the verdict is; None for the control, of which nothing is
            claimed.
        against_control: the tickets' change beside the control's; None without a control.
        kept: the same of plasticity; ``p_equivalent`` asks whether the control lost nothing.
        verdicts: None for the control.
    """

    shift: str
    sparsity: float
    rounds: int | None
    place: str
    plasticity: Mean | None
    tickets: Mean | None
    link: Link
    p_link: float | None = None
    against_control: Comparison | None = None
    kept: Comparison | None = None
    verdicts: Verdicts | None = None


@dataclass(frozen=True)
class Findings:
    """The findings about the primary pair in one setting.

    Attributes:
        tickets: the ticket measure.
        plasticity: the measure of plasticity beside it; None if no snapshot has both.
        seeds: in the whole setting.
        settings: how many settings the p-values are corrected for.
        confidence: of intervals and verdicts.
        adds_seeds: whether seeds were added until intervals were narrow, which is corrected for.
        margin: of equivalence.
        ended: status -> how many of the runs behind the setting ended so.
        searches: one per shift that changes the task, and sparsity.
        controls: one per sparsity of the stationary stream.
        missing: snapshots that lack one of the two measures.
        collapsed: of these, snapshots that streams have not left as they diverged.
        snapshots: how many there should be.
        lacks: what was not measured anywhere, and which option adds it.
        are_losses: whether that is because tasks are regression.
    """

    tickets: Measure
    plasticity: Measure | None
    seeds: int
    settings: int
    confidence: float
    adds_seeds: bool
    margin: float
    ended: Mapping[str, int]
    searches: Sequence[GroupFindings] = ()
    controls: Sequence[GroupFindings] = ()
    missing: int = 0
    collapsed: int = 0
    snapshots: int = 0
    lacks: Sequence[str] = ()
    are_losses: bool = False

    @property
    def corrections(self) -> int:
        """How often each p counts, before the correction for shifts and sparsities."""
        return self.settings * (COUNTS_OF_P if self.adds_seeds else 1)

    @property
    def level(self) -> float:
        """The confidence at which intervals are taken so that they hold ``confidence``."""
        return _level(self.confidence, self.adds_seeds)


def _level(confidence: float, adds_seeds: bool) -> float:
    return 1 - (1 - confidence) / COUNTS_OF_P if adds_seeds else confidence


@dataclass(frozen=True)
class _GroupPanels:
    """A group's panels: plasticity as measured, and with collapsed streams at their worst."""

    measured: Array
    plasticity: Array
    tickets: Array

    @classmethod
    def of(
        cls, make: Panels, part: pd.DataFrame, plasticity: Measure, tickets: Measure
    ) -> _GroupPanels:
        """Makes those of a group from its rows."""
        return cls(
            make.panel(part, plasticity),
            make.with_collapse(part, plasticity),
            make.panel(part, tickets),
        )

    def changes(self, center: Center, level: float) -> tuple[Mean | None, Mean | None]:
        """Returns the changes of plasticity and tickets, with intervals."""
        lost, fewer = (changes(panel) for panel in (self.plasticity, self.tickets))
        return center.of(lost, level), center.of(fewer, level)


def find(
    setting: Setting,
    *,
    confidence: float = 0.95,
    margin: float = EQUIVALENCE_MARGIN,
    center: Center = CENTERS["mean"],
) -> Findings:
    """Tests the primary pair within one setting.

    Verdicts of each kind are corrected for the shifts and sparsities of the setting (Holm), and for
    the number of settings in the storage (Bonferroni): that a false claim of one kind is made of
    any is at most as probable as 1 - confidence. Kinds are not corrected for each other.

    Args:
        setting: of a storage.
        confidence: of intervals and verdicts, in (0, 1).
        margin: of equivalence, as a share of the shift's change, in (0, 1).
        center: of changes over seeds.
    """
    frame, tickets = setting.frame, TICKET_MEASURES[PRIMARY_TICKETS]
    plasticity = _plasticity(frame)
    together = setting.together
    ended = {str(name): int(count) for name, count in setting.runs["status"].value_counts().items()}
    seeds = int(frame["seed"].nunique())
    found = Findings(
        tickets, plasticity, seeds, together, confidence, setting.adds_seeds, margin, ended
    )
    if plasticity is None:
        return replace(found, lacks=_lacks(frame), are_losses=is_regression(frame))
    make = Panels(setting, plasticity, tickets)
    parts = dict(groups(frame, with_all_shifts=False))
    panels = {key: _GroupPanels.of(make, part, plasticity, tickets) for key, part in parts.items()}
    lacking = [np.isnan(own.measured) | np.isnan(own.tickets) for own in panels.values()]
    collapsed = [
        lacks & make.collapsed(part) for lacks, part in zip(lacking, parts.values(), strict=True)
    ]
    searches = _searches(panels, search_labels(frame), found, center)
    return replace(
        found,
        searches=[search for search in searches if search.shift != STATIONARY],
        controls=[search for search in searches if search.shift == STATIONARY],
        missing=sum(int(lacks.sum()) for lacks in lacking),
        collapsed=sum(int(lacks.sum()) for lacks in collapsed),
        snapshots=sum(lacks.size for lacks in lacking),
    )


def _lacks(frame: pd.DataFrame) -> list[str]:
    if is_regression(frame):
        return ["tasks are regression, which has no accuracy"]
    found = []
    if not frame[_gaps(frame)].notna().any(axis=None):
        found.append("no snapshot was trained on probe tasks (--probe-tasks 4 adds them)")
    if not frame[PRIMARY_TICKETS].notna().any():
        found.append("no random masks as dense as the tickets were trained (--random-masks 4)")
    return found or ["no snapshot has both"]


def _gaps(frame: pd.DataFrame) -> list[str]:
    """Returns the columns of the primary measure: one for each kind of probe tasks."""
    return [name for name in map(str, frame) if without_setting(name) == PRIMARY_PLASTICITY]


def _plasticity(frame: pd.DataFrame) -> Measure | None:
    """The primary measure; of several kinds of probe tasks, that which most snapshots of shifting
    streams have been trained on, and of shifts of these streams rather than others."""
    is_shifting = frame["shift"] != STATIONARY
    own = [f"probe_shift={shift}" for shift in frame.loc[is_shifting, "shift"].unique()]
    known = {name: frame[[name, PRIMARY_TICKETS]].notna().all(axis=1) for name in _gaps(frame)}
    ranks = {
        name: (int((rows & is_shifting).sum()), any(shift in name for shift in own))
        for name, rows in known.items()
        if rows.any()
    }
    return measure(max(ranks, key=lambda name: ranks[name])) if ranks else None


def _searches(
    panels: Mapping[Group, _GroupPanels],
    labels: Mapping[Search, str],
    findings: Findings,
    center: Center,
) -> list[GroupFindings]:
    alpha = (1 - findings.confidence) / findings.corrections
    level, margin = findings.level, findings.margin
    both = {key: own.changes(center, level) for key, own in panels.items()}
    lost = {key: mean for key, (mean, _) in both.items()}
    fewer = {key: mean for key, (_, mean) in both.items()}
    links = {key: link([(own.measured, own.tickets)], level) for key, own in panels.items()}
    controls = {key[1:]: own for key, own in panels.items() if key[0] == STATIONARY}
    ours = {key: own for key, own in panels.items() if key[0] != STATIONARY}
    against: dict[Group, Comparison | None] = dict.fromkeys(ours)
    kept: dict[Group, Comparison | None] = dict.fromkeys(ours)
    for key, own in ours.items():
        if control := controls.get(key[1:]):
            same, none = (1 - margin, 1 + margin), (-margin, margin)
            against[key] = compare(own.tickets, control.tickets, same, center, level)
            kept[key] = compare(own.plasticity, control.plasticity, none, center, level)
    p_link = verdicts.holm({key: links[key].p for key in ours})
    # A stream's plasticity is the same at each sparsity, so it is tested once.
    shifts = {key[0]: key for key in ours}
    is_lost = verdicts.of_changes({shift: lost[key] for shift, key in shifts.items()}, alpha)
    is_fewer = verdicts.of_changes({key: fewer[key] for key in ours}, alpha)
    is_linked = verdicts.of_links({key: links[key] for key in ours}, p_link, alpha)
    versus = verdicts.against_control(against, alpha)
    of_control = next((lost[key] for key in panels if key[0] == STATIONARY), None)
    of_shifts = {shift: kept[key] for shift, key in shifts.items()}
    is_kept = verdicts.control(of_control, of_shifts, alpha)
    found = []
    for key in panels:
        figures = GroupFindings(*key, labels[key[1:]], lost[key], fewer[key], links[key])
        if key in ours:
            said = Verdicts(
                is_lost[key[0]], is_fewer[key], versus[key], is_kept[key[0]], is_linked[key]
            )
            figures = replace(
                figures,
                p_link=min(1, findings.corrections * p_link[key]),
                against_control=against[key],
                kept=kept[key],
                verdicts=said,
            )
        found.append(figures)
    return found


def intervals(setting: Setting) -> dict[str, Mean | None]:
    """Returns the 95% intervals of both measures' changes along each stream, as `find` takes them.

    Args:
        setting: of a storage.

    Returns:
        What it is an interval of, in words -> the mean change; None where it is not known. Nothing
        if the pair was nowhere measured together.
    """
    tickets, plasticity = TICKET_MEASURES[PRIMARY_TICKETS], _plasticity(setting.frame)
    if plasticity is None:
        return {}
    make, labels = Panels(setting, plasticity, tickets), search_labels(setting.frame)
    level = _level(0.95, setting.adds_seeds)
    found = {}
    for key, part in groups(setting.frame, with_all_shifts=False):
        where = f"under {key[0]} at {labels[key[1:]]}"
        both = _GroupPanels.of(make, part, plasticity, tickets).changes(CENTERS["mean"], level)
        for each, mean in zip((plasticity, tickets), both, strict=True):
            found[f"{each.label} {where}"] = mean
    return found


def pooled(setting: Setting, confidence: float = 0.95) -> dict[Group, Link]:
    """Returns the link over all streams of each sparsity that was searched under several shifts.

    It describes; nothing is concluded from it.
    """
    tickets, plasticity = TICKET_MEASURES[PRIMARY_TICKETS], _plasticity(setting.frame)
    if plasticity is None:
        return {}
    make = Panels(setting, plasticity, tickets)
    by_search: dict[Search, list[tuple[Array, Array]]] = {}
    for key, part in groups(setting.frame, with_all_shifts=False):
        pair = (make.panel(part, plasticity), make.panel(part, tickets))
        by_search.setdefault(key[1:], []).append(pair)
    return {
        (ALL_SHIFTS, *search): link(pairs, confidence)
        for search, pairs in by_search.items()
        if len(pairs) > 1
    }
