"""Does the number of winning tickets fall as a network loses plasticity?

Trains networks on streams of tasks, searches the winning tickets of their snapshots at several
sparsities, and correlates how many distinct tickets there are with how plastic the network is.

    python sweeps/ticket_count_vs_plasticity.py                 # handwritten digits, a few minutes
    python sweeps/ticket_count_vs_plasticity.py --preset original --data-root FOLDER
    python sweeps/ticket_count_vs_plasticity.py --seeds 0-9 --dry-run

The same command again skips what is finished and continues what was interrupted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ray import tune

from raylot import cli
from raylot.options import OptionError
from raylot.storage import Storage
from raylot.sweep import INTERRUPTED, Sweep

ANALYSIS = Path(__file__).resolve().parents[1] / "analysis"


def main(arguments: Sequence[str] | None = None) -> int:
    assert __doc__
    command = cli.parse(__doc__, name=Path(__file__).stem, arguments=arguments)
    study = command.study

    # The search spaces, in Ray Tune's terms. Every option of the configuration can be searched:
    # add, for example, "lr": tune.grid_search([0.001, 0.01]) to the first.
    stream_space = {
        "seed": tune.grid_search(list(study.seeds)),
        "shift": tune.grid_search(list(study.shifts)),
    }
    ticket_space = {
        "task": tune.grid_search(list(study.snapshots)),
        "sparsity": tune.grid_search(list(study.sparsities)),
    }

    try:
        storage = Storage(command.storage)
        sweep = Sweep(study, storage, stream_space, ticket_space)
        if command.dry_run:
            print(sweep.plan())
            return 0
        sweep.check()
        if command.retry_failed:
            sweep.forget_failed()
        outcome = sweep.run()
        print(outcome.summary())
        if outcome.interrupted:
            return 130
        complete = not (outcome.failures or outcome.missing)
        for script in ("figures.py", "correlation.py"):
            print(flush=True)
            command_line = [sys.executable, str(ANALYSIS / script), storage.root]
            complete &= subprocess.run(command_line, check=False).returncode == 0
    except OptionError as error:
        cli.refuse(error)
    except KeyboardInterrupt:
        print(f"\n{INTERRUPTED}")
        return 130
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
