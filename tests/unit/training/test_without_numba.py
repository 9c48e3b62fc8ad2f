"""Without numba all works by the generic engine; one line says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_CODE = """
import warnings

from raylot import find_tickets, load_dataset, mlp
from raylot.config import OptimizerOptions, ShiftOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import make_task
from raylot.training import check_engine, train

dataset, network = load_dataset(), mlp((1, 8, 8), (8,), 10)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for t in range(3):
        task = make_task(dataset, ShiftOptions(), 0, t)
        result = train(  # line 16
            network, task, epochs=1, batch_size=256, optimizer=OptimizerOptions(),
            key=RandomKey((0, t)),
        )
        assert result.engine == "generic"
    tickets = find_tickets(network, dataset, sparsity=0.5, rounds=1, count=2, device="cpu")
    assert len(tickets.masks) == 2
    assert check_engine("auto") == check_engine("generic") == []
print(*(f"{warning.filename}:{warning.lineno}: {warning.message}" for warning in said))
for call in (
    lambda: find_tickets(network, dataset, sparsity=0.5, engine="fast", device="cpu"),
    lambda: check_engine("fast"),
):
    try:
        call()
    except OptionError as error:
        print(error)
"""


def test_a_stream_and_a_ticket_search(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ImportError('no numba here')")
    done = subprocess.run(
        [sys.executable, "-c", _CODE], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    missing = "numba cannot be imported (ImportError: no numba here)"
    refused = f"engine=fast: must be auto or generic here, as {missing}"
    assert done.stdout.splitlines() == [
        f"<string>:16: training is slower than it could be: {missing}, so the generic engine "
        "trains",
        refused,
        refused,
    ]
