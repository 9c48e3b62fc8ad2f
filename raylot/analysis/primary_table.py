"""The figures and verdicts on the primary pair as a table: ``primary.csv``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa

from raylot.analysis import output
from raylot.analysis.primary import Findings, GroupFindings, pooled
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.statistics.link import Link
from raylot.analysis.tables.observations import PLACE, SETTING, Setting

_INTERVAL = ("low", "high", "p")

COLUMNS: dict[str, pa.DataType] = {
    **PLACE,  # shift "all": the link over all streams, which is described only
    "ticket_measure": pa.string(),
    "plasticity_measure": pa.string(),
    # the mean over seeds, or the interquartile mean, which single seeds cannot decide
    "center": pa.string(),
    "seeds": pa.int64(),  # that the change of plasticity rests on
    # mean over later snapshots minus the first one; above 0: plasticity was lost. p is two-sided,
    # of a t test, and not corrected
    "plasticity_change": pa.float64(),
    **{f"plasticity_{name}": pa.float64() for name in _INTERVAL},
    "plasticity_verdict": pa.string(),  # worse, better, cannot tell
    # the same of tickets; above 0: there are fewer, or they are more alike
    "tickets_change": pa.float64(),
    **{f"tickets_{name}": pa.float64() for name in _INTERVAL},
    "tickets_verdict": pa.string(),
    # the tickets' change minus that in the control
    "difference": pa.float64(),
    **{f"difference_{name}": pa.float64() for name in _INTERVAL},
    "equivalence_p": pa.float64(),  # of two one-sided tests
    "smallest_difference": pa.float64(),  # that is seen with a probability of 0.8
    "difference_verdict": pa.string(),  # more, less, equivalent, inconclusive
    "control_kept_p": pa.float64(),  # of two one-sided tests that the control lost nothing
    "control_verdict": pa.string(),  # kept, lost, cannot tell
    # correlation after removing stream and task effects
    "link": pa.float64(),
    **{f"link_{name}": pa.float64() for name in _INTERVAL},  # p: seeds permuted, not corrected
    # corrected for shifts and sparsities of the setting (Holm), and for all settings (Bonferroni)
    "link_p_corrected": pa.float64(),
    "link_verdict": pa.string(),  # linked, opposite, cannot tell
    "snapshots": pa.int64(),  # that the link rests on
}


def table(found: Iterable[tuple[Setting, str, Findings]]) -> pd.DataFrame:
    """Lists what was found in each setting, by each center over seeds; see `COLUMNS`.

    Args:
        found: setting, center and findings.
    """
    rows = []
    for setting, center, findings in found:
        first = setting.frame.iloc[0]
        place = {name: first[name] for name in SETTING}
        if findings.plasticity is not None:
            place |= {
                "ticket_measure": findings.tickets.name,
                "plasticity_measure": findings.plasticity.name,
                "center": center,
            }
        for search in [*findings.searches, *findings.controls]:
            rows.append(place | _of(search))
        for (shift, sparsity, rounds), link in pooled(setting, findings.confidence).items():
            which = {"shift": shift, "sparsity": sparsity, "rounds": rounds}
            rows.append(place | which | _link(link))
    return output.frame_of(rows, COLUMNS)


def _of(search: GroupFindings) -> dict[str, Any]:
    row: dict[str, Any] = {
        "shift": search.shift, "sparsity": search.sparsity, "rounds": search.rounds,
        "seeds": search.plasticity.seeds if search.plasticity else 0,
        **_mean("plasticity", search.plasticity, "plasticity_change"),
        **_mean("tickets", search.tickets, "tickets_change"),
        **_link(search.link), "link_p_corrected": search.p_link,
    }  # fmt: skip
    if against := search.against_control:
        row |= {
            **_mean("difference", against.difference, "difference"),
            "equivalence_p": against.p_equivalent, "smallest_difference": against.smallest,
        }  # fmt: skip
    if search.kept:
        row["control_kept_p"] = search.kept.p_equivalent
    if said := search.verdicts:
        row |= {
            "plasticity_verdict": said.plasticity, "tickets_verdict": said.tickets,
            "difference_verdict": said.against_control, "control_verdict": said.control,
            "link_verdict": said.link,
        }  # fmt: skip
    return row


def _mean(prefix: str, mean: Mean | None, name: str) -> dict[str, float | None]:
    if mean is None:
        return {}
    return {
        name: mean.mean, f"{prefix}_low": mean.low, f"{prefix}_high": mean.high,
        f"{prefix}_p": mean.p,
    }  # fmt: skip


def _link(link: Link) -> dict[str, float | None]:
    return {
        "link": link.r, "link_low": link.low, "link_high": link.high, "link_p": link.p,
        "snapshots": link.snapshots,
    }  # fmt: skip
