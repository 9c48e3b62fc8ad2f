"""Looks after a storage: ``raylot check STORAGE`` and ``raylot compact STORAGE``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from raylot.analysis.words import counted
from raylot.config.parser import OneLineParser
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import one_line
from raylot.results.compaction import compact_each, drop_latest
from raylot.results.integrity import begun_runs, inspect, mend, unfinished_runs
from raylot.results.outdated import outdated_runs
from raylot.results.tables import opened
from raylot.storage import Storage
from raylot.storage.lease import Lease, holders


def compact(words: Sequence[str]) -> None:
    """Runs ``raylot compact``."""
    parser = _parser(
        "Gathers the small files of ended runs in few large ones. While a sweep runs there it "
        "refuses, and a sweep refuses to start while it runs."
    )
    parser.add_argument(
        "--drop-latest",
        action="store_true",
        help="also delete the states from which streams grow; a stream that gets more tasks then "
        "trains again from its last snapshot",
    )
    given = parser.parse_args(words)
    storage = opened(given.storage)
    changed = False
    for number, table in enumerate(compact_each(storage, _say)):
        if number == 0:
            print(f"{'table':<20}{'files before':>14}{'after':>10}")
        print(f"{table.table:<20}{table.before:>14,}{table.after:>10,}", flush=True)
        changed |= table.before != table.after
    if given.drop_latest:
        with Lease(storage, _say):
            dropped = drop_latest(storage)
        print(f"Dropped the latest states of {counted(dropped, 'stream')}.")
        changed |= dropped > 0
    print("Done." if changed else "There was nothing to do.")


def check(words: Sequence[str]) -> int:
    """Runs ``raylot check``.

    Returns:
        The exit status: 1 if something is damaged, else 0.
    """
    parser = _parser(
        "Reads every file, and lists what is finished, running, damaged, and to be computed again."
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="move damaged files to STORAGE/damaged and make the runs that wrote them count as "
        "unfinished, so that the command that computed them does it again; not while it runs",
    )
    given = parser.parse_args(words)
    storage = opened(given.storage)
    if given.repair:
        with Lease(storage, _say) as lease:  # no sweep may compute meanwhile
            return _report(storage, lease)
    at_work = [holder for holder in holders(storage) if holder.is_alive is not False]
    for holder in at_work:
        _say(f"{'' if holder.is_alive else 'perhaps '}in charge: {holder}")
    return _report(storage, is_idle=not at_work)


def _parser(description: str) -> OneLineParser:
    parser = OneLineParser(description=description)
    parser.add_argument("storage", metavar="STORAGE", help="folder or URI of a sweep's results")
    return parser


def _report(storage: Storage, lease: Lease | None = None, *, is_idle: bool = True) -> int:
    """Prints the findings; repairs damages under a lease."""
    found = inspect(storage, artifacts=True, is_idle=is_idle)
    running = unfinished_runs(storage, found.runs.keys() - found.growing)
    again = set(found.to_compute_again)
    counts: Counter[tuple[str, str]] = Counter(
        (run.kind, "damaged" if run_id in again else run.status)
        for run_id, run in found.runs.items()
    )
    counts.update((run.kind, "running") for run in running)
    columns = ("finished", "diverged", "failed", "running", "damaged")
    print("runs           " + "".join(f"{column:>10}" for column in columns))
    for kind in sorted({kind for kind, _ in counts}):
        numbers = "".join(f"{counts[kind, column]:>10,}" for column in columns)
        print(f"{one_line(shown(kind)):<15}{numbers}")
    for unfinished in running:
        _say(f"running: {unfinished}")
    if not is_idle:
        print("While a sweep runs, lost rows of tables/runs are not looked for.")
    elif begun := begun_runs(storage) - found.runs.keys() - again - {run.run_id for run in running}:
        print(f"{len(begun)} runs await computing: repeat the command that computed them.")
    try:
        outdated = outdated_runs(storage)
    except OptionError as error:  # an older raylot's files can be checked all the same
        outdated = {}
        _say(f"outdated: {error}")
    for change, count in Counter(outdated.values()).items():
        _say(f"outdated: {count} runs were computed before a fix ({change}); analyses leave them "
             "out, and the command that computed them computes them anew")  # fmt: skip
    for damage in found.damages:
        of = f" (run {damage.run_ids[0]})" if len(damage.run_ids) == 1 else ""
        _say(f"damaged: {damage}{of}")
    if not found.damages:
        print("Every file is as it was written.")
        return 0
    print(f"{len(found.damages)} damaged, {len(again)} ended runs to compute again.")
    if lease:
        lease.check()
        mend(storage, found.damages)
        told, when = f"Damaged files were moved to {storage.root}/damaged", "now"
    else:
        told, when = "check --repair moves damaged files to STORAGE/damaged", "then"
    _say(told + (f"; {when} repeat the command that computed these runs." if again else "."))
    return 1


def _say(line: str) -> None:
    print(one_line(line))
