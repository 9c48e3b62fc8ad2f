"""Writes STORAGE/analysis/report.html: one page that explores a study, to keep or to send.

The page holds all that it needs, opens without a network, and has the answer with its intervals,
figures with filters, the runs with their cost, and the commands and versions behind them. It
shows what there is so far, also while a sweep runs.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from plotly.offline import get_plotlyjs

from raylot.analysis import command, primary
from raylot.analysis.correlation import COLUMNS, correlate_all
from raylot.analysis.doses.trajectories import dose_order
from raylot.analysis.figures import style
from raylot.analysis.figures.material import Tables
from raylot.analysis.report import report_data
from raylot.analysis.report.answers import answers
from raylot.analysis.statistics.coefficients import STATISTICS
from raylot.analysis.tables import tables
from raylot.analysis.tables.judged_alike import judged_alike, of_usual_number
from raylot.analysis.tables.measures import PRIMARY_TICKETS, main_measures
from raylot.analysis.tables.observations import label_variants, observe, settings
from raylot.analysis.tables.probe_gaps import probe_gaps
from raylot.foundation.errors import OptionError
from raylot.foundation.text import say_progress
from raylot.foundation.version import VERSION
from raylot.results.commands import commands
from raylot.results.integrity import unfinished_runs
from raylot.results.settings import tried
from raylot.storage import Storage
from raylot.storage.lease import holders

PAGE = Path(__file__).with_name("page")

#: Its scripts, in the order in which they need each other.
_SCRIPTS = ("data.js", "colours.js", "charts.js", "figures.js", "runs.js", "main.js")

_NO_SEARCHES = (
    "<section class=answer><p class=headline>Open: no tickets have been searched yet.</p></section>"
)

#: Where the page lies in the storage.
PATH = "analysis/report.html"


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the report of the storage that the command line names."""
    options = command.parse(command.StorageOptions, __doc__, arguments)
    storage = Storage(options.storage)
    page = report(storage, say_progress).encode()
    storage.write(PATH, page)
    size = f"{len(page) / 1e6:.1f} MB"
    place = f"{storage.root.rstrip('/')}/{PATH}"
    command.terminal().print(f"report   {place} ({size})", soft_wrap=True)


def report(storage: Storage, say: Callable[[str], None] = lambda line: None) -> str:
    """Returns the page, as HTML.

    Args:
        storage: of the study.
        say: is told what takes long, before it begins.

    Raises:
        OptionError: no stream has learned a task yet.
    """
    runs = tables.read(storage, "runs")
    unfinished = unfinished_runs(storage, set(runs["run_id"]))
    begun = report_data.begun(runs, unfinished)
    tasks = label_variants(tables.read(storage, "tasks"), begun)
    chose = [run_id for setting in tried(storage) for run_id in setting.runs]
    known = report_data.without_tried(report_data.streams(begun, tasks), runs, chose)
    if known.empty:
        raise OptionError(
            f"storage={storage.root}: must be the folder or URI of a raylot storage in which a "
            "stream has learned a task (tables/tasks has none)"
        )
    say("writing the report ...")
    snapshots = label_variants(
        judged_alike(storage, tables.read(storage, "snapshots"), runs), begun
    )
    plastic = label_variants(of_usual_number(tables.read(storage, "plastic_parameters")), begun)
    observed = None if snapshots.empty else observe(storage, begun=begun)
    correlations = correlate_all(observed) if observed else pd.DataFrame(columns=list(COLUMNS))
    searches = report_data.searches(known, observed, snapshots) if observed else {}
    # Settings without an intervention come first, as all others are compared with them.
    parts = sorted(settings(observed) if observed else [], key=lambda p: dose_order(p.intervention))
    found = [(part, primary.find(part)) for part in parts]
    correlations = correlations.sort_values(
        "intervention", key=lambda names: names != "none", kind="stable"
    )
    tickets, measures = searches.get("tickets", []), searches.get("measures", [])
    gaps = probe_gaps(tables.read(storage, "probes"), runs)
    along = report_data.along_stream(known, tasks, tables.read(storage, "plasticity"), gaps)
    declared = {findings.plasticity.name for _, findings in found if findings.plasticity}
    data = {
        "filters": report_data.filters(known, snapshots["sparsity"]),
        "streams": report_data.columns(
            known.assign(seed=known["seed"].astype(str)), [*map(str, known)]
        ),
        "along": along,
        "searches": searches,
        "ticket_streams": report_data.ticket_streams(known, runs, tasks),
        "plastic_parameters": report_data.plastic_parameters(known, plastic),
        "correlations": report_data.correlation_columns(correlations),
        "runs": report_data.run_columns(label_variants(runs, begun), unfinished),
        "protocols": report_data.protocols(runs),
        "measures": report_data.labels([*tickets, *measures, *along["lines"]]),
        "declared": [PRIMARY_TICKETS, *sorted(declared)],
        "main": [*main_measures(tickets), *main_measures(measures)],
        "statistics": {name: statistic.label for name, statistic in STATISTICS.items()},
        "colours": {
            "shift": style.shift_colours(known["shift"]),
            "intervention": style.intervention_colours(
                sorted(known["intervention"].unique(), key=dose_order)
            ),
            "correlation": style.CORRELATION_COLOURS,
            "correlation_key": style.CORRELATION_KEY,
            "pale": style.PALE,
        },
    }
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False)
    is_final = report_data.is_whole(known, runs) and not (unfinished or holders(storage))
    filled = {
        "answer_title": "Answer" if is_final else "Answer so far",
        "answers": answers(found, observed, Tables(runs, tasks, snapshots, plastic))
        if observed
        else _NO_SEARCHES,
        "provenance": _provenance(storage, runs),
        "style": (PAGE / "page.css").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": base64.b64encode(gzip.compress(packed.encode(), mtime=0)).decode(),
        "scripts": "\n".join((PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    }
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda name: filled[name[1]], page)


# ------------------------------------------------------------------ where it comes from, as HTML


def _provenance(storage: Storage, runs: pd.DataFrame) -> str:
    """The commands, versions and options behind the figures."""
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"<p>Written on {written} by raylot {html.escape(VERSION)} from "
        f"<code>{html.escape(storage.root)}</code>.</p>"
    ]
    listed = "\n".join(html.escape(command.line) for command in commands(storage))
    not_recorded = "<p>No command is recorded.</p>"
    lines.append(f"<pre tabindex=0>{listed}</pre>" if listed else not_recorded)
    rows = "".join(
        f"<tr><th scope=row>{name.replace('_', ' ')}<td>{html.escape(', '.join(values))}</tr>"
        for name, values in report_data.provenance(runs).items()
        if values
    )
    lines.append(f"<table>{rows}</table>")
    return "\n".join(lines)
