"""Does a network that has lost plasticity also run out of winning lottery tickets?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from raylot.command.studies import STUDIES, run_study
from raylot.config.options import did_you_mean
from raylot.config.parser import OneLineParser, print_error
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.interruption import exits_on_ctrl_c
from raylot.foundation.version import VERSION
from raylot.sweep import study_spaces

#: Command -> what it does.
COMMANDS = {
    "sweep": "run a study: train, search tickets, measure, analyse",
    "reproduce": "run published experiments, and lay their numbers beside ours",
    "analyse": "draw a storage's figures, correlate its tables, say the answer",
    "report": "write a storage's report, one page to explore",
    "diff": "compare two runs, or two storages: options, versions, results",
    "check": "read all files of a storage, list damaged ones; --repair mends",
    "compact": "gather the small files of ended runs in few large ones",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command ``raylot``.

    Returns:
        The exit status: 0; 1 if something is damaged, missing or failed; 2 after a mistake, told in
        one line on standard error; 130 after Ctrl-C.

    Raises:
        SystemExit: after ``--help``, ``--version`` or a mistake in a study's options.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command, *rest = _chosen("raylot", __doc__, "COMMAND", COMMANDS, words)
        if command == "sweep":
            questions = {
                name: kind.description.partition("\n")[0] for name, kind in STUDIES.items()
            }
            study, *rest = _chosen("raylot sweep", COMMANDS["sweep"], "STUDY", questions, rest)
            return run_study(STUDIES[study], study_spaces, rest)
    except OptionError as error:
        print_error(error)
        return 2
    with exits_on_ctrl_c():
        # Imported only now: the above need not wait for pandas.
        from raylot.analysis.command import run
        from raylot.command import analyses, diff, reproduce, storage

    actions: dict[str, Callable[[Sequence[str]], int | None]] = {
        "reproduce": reproduce.reproduce,
        "analyse": analyses.analyse,
        "report": analyses.report,
        "diff": diff.diff,
        "check": storage.check,
        "compact": storage.compact,
    }
    return run(lambda: actions[command](rest))


def _chosen(
    program: str, about: str | None, noun: str, choices: Mapping[str, str], words: Sequence[str]
) -> list[str]:
    """Returns the words if the first is one of the choices.

    Raises:
        OptionError: the first word is none of the choices, or missing.
        SystemExit: after ``--help`` or ``--version``.
    """
    if words and not words[0].startswith("-") and words[0] not in choices:
        hint = did_you_mean(words[0], choices) or f"accepted: {', '.join(choices)}"
        raise OptionError(f"{shown(words[0])}: unknown {noun.lower()}; {hint}")
    parser = OneLineParser(prog=program, description=about)
    parser.add_argument("--version", action="version", version=f"raylot {VERSION}")
    listed = parser.add_subparsers(metavar=noun, required=True)
    for name, text in choices.items():
        listed.add_parser(name, help=text, add_help=False)
    parser.parse_args(words[:1])
    return list(words)
