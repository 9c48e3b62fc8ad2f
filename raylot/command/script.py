"""What the scripts in ``sweeps/`` share: from the command line to the exit status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raylot.foundation.interruption import exits_on_ctrl_c
from raylot.foundation.text import escape_unencodable_output

with exits_on_ctrl_c():  # this takes a moment
    from raylot.command.arguments import parse
    from raylot.config import Study

if TYPE_CHECKING:
    from raylot.sweep import Space


def conduct(
    script: str | Path,
    description: str | None,
    spaces: Callable[[Study], tuple[Space, Space, Space]],
    *,
    analyses: Mapping[str, str],
    arguments: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> int:
    """Runs a study as its command line asks, then the analyses of its tables.

    Args:
        script: the script's file; its name is the study's, and beside its folder lies
            ``analysis/``.
        description: first lines of its ``--help``.
        spaces: the search spaces of a study: of its streams, tickets and ticket streams.
        analyses: a script in ``analysis/``, run with the storage, -> the stage whose results it
            needs: ``streams``, ``tickets`` or ``ticket streams``.
        arguments: the command line without the program; None: this process's.
        defaults: options that this script sets otherwise than the preset ``default``.

    Returns:
        The exit status: 0; 1 if runs failed or are missing, or an analysis failed; 130 after
        Ctrl-C; 141 if nobody reads the output.

    Raises:
        SystemExit: with status 2, and one line on standard error, after a user's mistake.
    """
    escape_unencodable_output()
    script = Path(script).resolve()
    with exits_on_ctrl_c():
        command = parse(description or "", script.stem, arguments, defaults)
        # Imported only now: --help and a mistyped option need not wait for it.
        from raylot.command.running import run
    return run(command, script, spaces, analyses, arguments)
