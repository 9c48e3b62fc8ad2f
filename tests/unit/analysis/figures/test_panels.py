"""Building blocks of figures: panels on one scale."""

from __future__ import annotations

from matplotlib.figure import Figure

from raylot.analysis.figures.panels import share_y


def test_a_single_point_keeps_its_distance_from_the_frame() -> None:
    several, single = Figure().subplots(1, 2)
    several.plot([0, 1], [0.0, 1.0], "o")
    single.plot([0], [-0.1], "o")
    assert share_y([several, single], least=0) == ""
    low, high = single.get_ylim()
    assert low < -0.14
    assert (low, high) == several.get_ylim()
