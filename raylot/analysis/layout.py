"""How the answers and their tables look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def plain_table(*, padding: int = 2) -> Table:
    """A table without lines, with bold headings.

    Args:
        padding: blanks between two columns.
    """
    return Table(box=None, padding=(0, padding, 0, 0), pad_edge=False, header_style="bold")


def print_answers(console: Console, answers: Sequence[tuple[str, str]], note: str = "") -> None:
    """Prints what a study comes to, below all figures, so that it stays on the screen.

    Args:
        console: where to.
        answers: of each setting, the most important first: its title, and the answer in words.
        note: how to read them.
    """
    heading = f"Answer ({note}):" if note else "Answer:"
    for title, text in answers:
        console.print(heading if len(answers) == 1 else f"{heading} {title}", style="bold")
        console.print(f"{text}\n")
