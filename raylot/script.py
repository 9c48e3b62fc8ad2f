"""What the scripts in ``sweeps/`` share: from the command line to the exit status."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raylot.any_text import print_any_text
from raylot.interruption import ends_at_once

with ends_at_once():  # this takes seconds
    import pyarrow as pa

    from raylot import cli, data
    from raylot.config import Study
    from raylot.options import OptionError
    from raylot.storage import Storage
    from raylot.sweep import INTERRUPTED_STATUS, Space, Sweep

#: The exit status of a process whose output nobody reads any more, as shells have it.
_BROKEN_PIPE_STATUS = 141

#: A folder in whose folders Ray unpacks what comes with a job.
_UNPACKED = "runtime_resources"


def conduct(
    script: str | Path,
    description: str | None,
    spaces: Callable[[Study], tuple[Space, Space, Space]],
    *,
    analyses: Sequence[str],
    arguments: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Runs a study as its command line asks, then the analyses of its tables.

    Args:
        script: the script's file; its name is the study's, and beside its folder lies
            ``analysis/``.
        description: first lines of its ``--help``.
        spaces: the search spaces of a study: of its streams, tickets and ticket streams.
        analyses: scripts in ``analysis/``, each run with the storage.
        arguments: the command line without the program; None: this process's.
        defaults: options that this script sets otherwise than the preset ``default``.

    Returns:
        The exit status: 0; 1 if runs failed or are missing, or an analysis failed; 130 after
        Ctrl-C; 141 if nobody reads the output.

    Raises:
        SystemExit: with status 2, and one line on standard error, after a user's mistake.
    """
    print_any_text()
    script = Path(script).resolve()
    with ends_at_once():
        command = cli.parse(description or "", script.stem, arguments, defaults)
        try:
            patience = 0.0 if command.dry_run else command.study.storage_patience
            storage = Storage(command.storage, patience)
            _refuse_passing_folder(storage)
        except OptionError as error:
            cli.refuse(error)
    try:
        with ends_at_once():
            sweep = Sweep(command.study, storage, *spaces(command.study))
            if command.dry_run:
                if not command.study.download:
                    data.check_available(command.study)
                print(sweep.plan(), flush=True)
                print(sweep.prediction())
                return 0
        sweep.check()
        words = sys.argv if arguments is None else [str(script), *arguments]
        outcome = sweep.run(
            retry_failed=command.retry_failed, command=shlex.join(["python", *words])
        )
        print(outcome.summary())
        if outcome.interrupted:
            return INTERRUPTED_STATUS
        complete = not (outcome.failures or outcome.missing)
        for analysis in analyses:
            print(flush=True)
            path = script.parents[1] / "analysis" / analysis
            # In a group of its own, which Ctrl-C does not reach: this process ends it.
            ended = subprocess.run(
                [sys.executable, str(path), storage.root], check=False, process_group=0
            )
            complete &= ended.returncode == 0
    except OptionError as error:
        cli.refuse(error)
    except BrokenPipeError:  # nobody reads any more, as after ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _BROKEN_PIPE_STATUS
    except (OSError, pa.ArrowException) as error:
        cli.refuse(storage.unusable(error))
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return INTERRUPTED_STATUS
    return 0 if complete else 1


def _refuse_passing_folder(storage: Storage) -> None:
    """A submitted job works in a folder that Ray unpacks, and deletes: nobody would look there.

    Raises:
        OptionError: the storage is in it.
    """
    if storage.is_local and _UNPACKED in Path(storage.root).parts:
        raise OptionError(
            f"storage={storage.root}: must be a folder that all nodes see, with its whole path, or "
            "a URI; a submitted job's own folder is deleted"
        )
