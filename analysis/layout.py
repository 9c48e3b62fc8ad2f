"""How the answers' tables look on a terminal."""

from __future__ import annotations

from rich.table import Table


def plain_table(*, padding: int = 2) -> Table:
    """A table without lines, with bold headings.

    Args:
        padding: blanks between two columns.
    """
    return Table(box=None, padding=(0, padding, 0, 0), pad_edge=False, header_style="bold")
