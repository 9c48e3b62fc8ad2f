"""Draws a study's figures, as PNG and SVG, into STORAGE/analysis/figures/.

It takes the place of its own older ones there; your files stay, whatever they are called.

accuracy_along_stream: smoothed test accuracy of every task, all shifts and interventions.
along_stream: accuracy and ticket overlap along the stream of tasks, one column per shift.
first_differences: how accuracy, overlap and ticket count change from snapshot to snapshot.
tickets_and_controls: accuracy of tickets, controls and the dense network at the snapshots.
ticket_streams: tickets that go on learning new tasks, against the dense network.
plastic_parameters: overlap of tickets with the most plastic parameters.
plasticity_along_stream: every measure of plasticity at the snapshots.
correlation_matrix: ticket measures against measures of plasticity, one file per statistic; the
    main measures, or with --measures all every one.
ticket_count_vs_plasticity: ticket count against test accuracy, one panel per sparsity.

A figure whose data the storage lacks is left out and named; a storage must hold searched snapshots.
"""

from __future__ import annotations

import sys

from raylot.analysis.command import run
from raylot.analysis.figures.figures import main

if __name__ == "__main__":
    sys.exit(run(main))
