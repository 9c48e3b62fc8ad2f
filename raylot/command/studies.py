"""The studies that raylot brings along, and `run_study`: from a command line to an exit status."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raylot.foundation.interruption import exits_on_ctrl_c
from raylot.foundation.text import escape_unencodable_output, safe

with exits_on_ctrl_c():  # this takes a moment
    from raylot.command.arguments import parse
    from raylot.config import Study
    from raylot.config.settings_search import DISTRIBUTIONS, SettingsSearch

if TYPE_CHECKING:
    from raylot.sweep.space import Spaces


@dataclass(frozen=True)
class StudyKind:
    """One study: its question, its analyses and its own defaults.

    Attributes:
        name: the study's name; its results lie in ``results/NAME``.
        description: the first lines of ``--help``; the first of all is the question in one line.
        analyses: what is run on the tables when the sweep has ended -> the stage whose results it
            needs: ``streams``, ``tickets`` or ``ticket streams``; see `analyses.ANALYSES`.
        defaults: options that this study sets otherwise than the preset ``default``.
        model: which options it has.
        runner: the module whose ``run`` does what its command line asks for.
    """

    name: str
    description: str
    analyses: Mapping[str, str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    model: type[Study] = Study
    runner: str = "raylot.command.running"

    @property
    def command(self) -> str:
        """The study's name on the command line."""
        return self.name.replace("_", "-")


TICKET_COUNT_VS_PLASTICITY = StudyKind(
    "ticket_count_vs_plasticity",
    """Does a network that loses plasticity also run out of winning lottery tickets?

Trains networks on streams of tasks, searches the tickets of their snapshots at several sparsities,
and asks whether they get worse as the network loses plasticity, with no method and with two methods
that keep it. The default study takes about 2 minutes. The same command again skips what is finished
and continues what was interrupted.""",
    {"figures": "tickets", "report": "streams", "correlation": "tickets"},
    {"interventions": "none,l2_init,reset", "sparsities": "0.8"},
)

TICKET_PLASTICITY = StudyKind(
    "ticket_plasticity",
    """Is a winning ticket more or less plastic than the network it was found in?

Searches the tickets of snapshots along streams of tasks, then trains the first of each, whether it
wins or not, on the tasks that follow, one after another, beside the dense network, a random mask
and the ticket from a fresh initialisation. The answer says how many of them win. The default study
takes some minutes. The same command again skips what is finished and continues what was
interrupted.""",
    {"figures": "tickets", "report": "streams", "ticket_plasticity": "ticket streams"},
    {"ticket_tasks": 10, "snapshots": "0,20", "sparsities": "0.8"},
)

PLASTIC_PARAMETERS = StudyKind(
    "plastic_parameters",
    """Are the most plastic weights of a network the weights of its winning tickets?

Searches the winning tickets of snapshots along streams of tasks, and compares the weights with
the largest mean gradient with the first ticket, the union and the intersection of all, beside
what chance would give. An overlap at or below chance means: not the same weights. Its runs are
those of ticket-count-vs-plasticity: with that study's --storage, nothing is computed twice. The
same command again skips what is finished and continues what was interrupted.""",
    {"figures": "tickets", "plastic_parameters": "tickets"},
    {"sparsities": "0.8"},
)

DOSE_RESPONSE = StudyKind(
    "dose_response",
    """Do tickets follow plasticity when methods keep it at different doses?

Trains networks on one stream of tasks with no method and with methods that keep plasticity, at
several strengths, so that networks with equally many training steps differ in plasticity by
design. Searches the tickets of all on the same unseen task, and says whether they follow the
dose. The default study takes some minutes. The same command again skips what is finished and
continues what was interrupted.""",
    {"figures": "tickets", "report": "streams", "dose_response": "tickets"},
    {
        "shifts": "permuted_pixels",
        "interventions": "none,l2_init,shrink_and_perturb,reset",
        # On digits these leave mean probe gaps from 0.01 to 0.13, where no method has 0.19.
        "search": "l2_strength=1e-9,1e-5,1e-2 shrink=0.6,0.9,0.97",
        "seeds": "0-9",
        "sparsities": "0.8",
        "tickets": 3,
        "snapshots": "0-30:10",
    },
)

BEST_SETTINGS = StudyKind(
    "best_settings",
    """At which learning rate and strength does each intervention work best?

For each intervention, tries settings on some seeds, by Optuna through Ray Tune; ASHA stops those
that do worse than others, by their accuracy so far. Then trains the best setting of each on other
seeds, and reports it with intervals. STORAGE/best.yaml takes the settings to the main study: raylot
sweep ticket-count-vs-plasticity --config STORAGE/best.yaml. --search adds to what is searched, or
gives another range; --lr 0.01 keeps it from being searched. The same command again continues what
was interrupted; more --trials or a larger --budget go on.""",
    {"best_settings": "streams"},
    {
        "shifts": "permuted_pixels",
        "interventions": "none,l2,l2_init,shrink_and_perturb",
        "search": " ".join(f"{name}={drawn}" for name, drawn in DISTRIBUTIONS.items()),
        "seeds": "3-12",
    },
    SettingsSearch,
    "raylot.command.best_settings",
)

#: Study on the command line -> what it is.
STUDIES = {
    kind.command: kind
    for kind in (
        TICKET_COUNT_VS_PLASTICITY,
        TICKET_PLASTICITY,
        PLASTIC_PARAMETERS,
        DOSE_RESPONSE,
        BEST_SETTINGS,
    )
}


def run_study(
    kind: StudyKind,
    spaces: Spaces,
    arguments: Sequence[str] | None = None,
    *,
    script: str | Path | None = None,
) -> int:
    """Runs a study as its command line asks, then the analyses of its tables.

    Args:
        kind: which study.
        spaces: the search spaces of a study: of its streams, tickets and ticket streams.
        arguments: the command line without the program; None: this process's.
        script: the file that the user runs, after which the study is named; None: the user runs
            ``raylot sweep``.

    Returns:
        The exit status: 0; 1 if runs failed or are missing, or an analysis failed; 130 after
        Ctrl-C; 141 if nobody reads the output.

    Raises:
        SystemExit: with status 2, and one line on standard error, after a user's mistake.
    """
    escape_unencodable_output()
    if script is None:
        name, typed = kind.name, ["raylot", "sweep", kind.command]
    else:
        name = Path(script).stem
        typed = ["python", sys.argv[0] if arguments is None else str(script)]
    words = list(sys.argv[1:] if arguments is None else arguments)
    with exits_on_ctrl_c():
        prog = None if script else " ".join(typed)
        command = parse(kind.description, name, words, kind.defaults, prog, kind.model)
        if sys.stderr.isatty() and not command.dry_run:  # the first sign of life
            print(f"Results go to {safe(command.storage)}.", file=sys.stderr, flush=True)
        # Imported only now: --help and a mistyped option need not wait for it.
        run = importlib.import_module(kind.runner).run
    status: int = run(command, spaces, kind.analyses, [*typed, *words])
    return status
