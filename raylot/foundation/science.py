"""Versions of the science: what a fix has changed gets a new number, and old rows do not count."""

from __future__ import annotations

from collections.abc import Iterable

#: Concept, as kind and name -> its version, where a fix has changed what it computes. All others
#: are at version 1. Kinds are shift, network, intervention, optimizer, criterion,
#: measurement (what a measurement measures, or probes: the training on probe tasks) and search.
VERSIONS: dict[tuple[str, str], int] = {
    # Adam's step count goes on after a reset, biases start at 0, and dormancy is measured on
    # examples of its own.
    ("intervention", "redo"): 2,
}


def versions_of(concepts: Iterable[tuple[str, str]]) -> str | None:
    """Returns the versions of concepts, ``shift:noise:2,search:tickets:3``; None: all are at 1."""
    raised = {(kind, name) for kind, name in concepts if (kind, name) in VERSIONS}
    return ",".join(sorted(f"{kind}:{n}:{VERSIONS[kind, n]}" for kind, n in raised)) or None
