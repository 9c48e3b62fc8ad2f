"""Winning tickets: the search by iterative magnitude pruning, its controls and its findings."""

from raylot.tickets.find import choose_device, find_tickets
from raylot.tickets.found import Tickets, masks_from_tensors, masks_to_tensors
from raylot.tickets.search import TicketSearch

__all__ = [
    "TicketSearch", "Tickets", "choose_device", "find_tickets", "masks_from_tensors",
    "masks_to_tensors",
]  # fmt: skip
