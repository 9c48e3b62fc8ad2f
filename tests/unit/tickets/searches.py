"""Small searches that several tests start from."""

from __future__ import annotations

from typing import Any

from torch import nn

from raylot import find_tickets
from raylot.config import TicketSearchOptions
from raylot.foundation.randomness import RandomKey
from raylot.tickets import Tickets, TicketSearch
from tests.support.tasks import random_task, small_network


def find(network: nn.Module, **options: Any) -> Tickets:
    """Three tickets of a network on a random task, at half its weights in two rounds."""
    settings: dict[str, Any] = {
        "sparsity": 0.5, "rounds": 2, "count": 3, "epochs": 2, "batch_size": 8, "lr": 0.01,
        "device": "cpu",
    }  # fmt: skip
    return find_tickets(network, random_task(), **{**settings, **options})


def begin_search(**options: Any) -> TicketSearch:
    """A search for two tickets at half the weights in two rounds, not begun yet."""
    settings: dict[str, Any] = {
        "tickets": 2, "sparsity": 0.5, "rounds": 2, "epochs": 1, "batch_size": 8, "lr": 0.01,
        "device": "cpu",
    }  # fmt: skip
    chosen = TicketSearchOptions.checked(**{**settings, **options})
    return TicketSearch(small_network(), random_task(), chosen, RandomKey((3,)))
