"""Which colour and marker a name gets, known beforehand or from a plugin."""

from __future__ import annotations

import itertools

import pytest

from raylot.analysis.figures.style import intervention_colours, shift_colours, shift_markers
from raylot.foundation.names import BUILT_IN


@pytest.mark.parametrize("number", range(1, 5))
def test_a_known_shift_always_looks_the_same(number: int) -> None:
    everything = shift_colours(BUILT_IN["shift"]), shift_markers(BUILT_IN["shift"])
    for shifts in itertools.combinations(BUILT_IN["shift"], number):
        for all_of, own in zip(everything, (shift_colours(shifts), shift_markers(shifts)),
                               strict=True):  # fmt: skip
            assert own == {shift: all_of[shift] for shift in shifts}


def test_names_of_plugins_look_like_nothing_else() -> None:
    shifts = ["dim", "permuted_pixels", "dim@0123456789ab", "stationary", "mine"]
    interventions = ["none", "clip", "redo", "mine"]
    for found, names in (
        (shift_colours(shifts), shifts),
        (shift_markers(shifts), shifts),
        (intervention_colours(interventions), interventions),
    ):
        assert list(found) == names
        assert len(set(found.values())) == len(names)


def test_doses_are_shades_of_their_names_colour() -> None:
    names = ["none", "l2(1e-3)", "l2(1e-4)", "redo"]
    found = intervention_colours(names)
    alone = intervention_colours(["none", "l2", "redo"])
    assert intervention_colours(["l2(1e-3)"]) == {"l2(1e-3)": alone["l2"]}
    assert (found["none"], found["redo"]) == (alone["none"], alone["redo"])
    # #0072b2, half way to black and half way to white: (0 + 255) / 2 = 127.5 is 80 in hex
    assert (found["l2(1e-3)"], found["l2(1e-4)"]) == ("#003959", "#80b9d8")
    many = [f"l2(0.{number})" for number in range(1, 10)]
    assert len({*intervention_colours(many).values()}) == 9


def test_more_names_than_there_are_colours() -> None:
    names = [f"mine_{number}" for number in range(30)]
    for found in (shift_colours(names), shift_markers(names), intervention_colours(names)):
        assert list(found) == names
