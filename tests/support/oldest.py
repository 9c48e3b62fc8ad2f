"""A plugin whose intervention remembers something: how old each hidden unit is."""

from __future__ import annotations

from pathlib import Path

from raylot import plugins

#: For ``mlp`` with 6 hidden units. With every step they get one step older; every fourth step
#: redraws the incoming weights of the oldest, the first of equals.
OLDEST = """
import torch
from raylot import plugins
from raylot.training import Intervention

@plugins.intervention("oldest")
class Oldest(Intervention):
    def __init__(self, options):
        self.ages, self.steps, self.share = torch.zeros(6), 0, 0.0

    def after_step(self, training):
        self.steps += 1
        self.ages += 1
        self.share = self.steps / 3
        if self.steps % 4:
            return
        unit = int(self.ages.argmax())
        self.ages[unit] = 0
        fresh = training.fresh_network(training.key.child("oldest", training.step))
        with torch.no_grad():
            training.network.hidden1.weight[unit] = fresh.hidden1.weight[unit]

    def state_dict(self):
        return {"ages": self.ages, "steps": self.steps, "share": self.share}

    def load_state_dict(self, state):
        self.ages, self.steps, self.share = state["ages"], state["steps"], state["share"]
        assert type(self.steps) is int and type(self.share) is float
"""


def load(folder: Path, source: str = OLDEST) -> None:
    """Loads the plugin, or one like it."""
    file = folder / "oldest.py"
    file.write_text(source)
    plugins.load(file)
