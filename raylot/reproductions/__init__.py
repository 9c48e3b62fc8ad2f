"""Published experiments, one file each, which is named like the experiment.

Each file's docstring says what was published, and what its ``EXPERIMENT`` reduces or does
otherwise. The experiment is an ordinary study, and says how each published number is found among
our own rows. To add one, write such a file: `raylot.command.reproduce` lists, runs and compares
what lies here.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from raylot.reproductions._experiment import Experiment as Experiment
from raylot.reproductions._experiment import Published as Published
from raylot.reproductions._planned import out_of_reach as out_of_reach

#: Experiment -> its declaration.
EXPERIMENTS: dict[str, Experiment] = {
    module.name: import_module(f"{__name__}.{module.name}").EXPERIMENT
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_")
}
