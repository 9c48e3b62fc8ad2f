"""Data sets, one file each, which is named like the data set.

Each file's `DATASET` tells its facts, so that options can be checked and costs be counted before
anything is loaded, and loads it as numpy arrays. Large libraries, numpy among them, are imported in
functions alone, as the command line knows these facts before it needs any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module

from raylot.datasets._base import DataSet as DataSet
from raylot.datasets._base import Facts as Facts
from raylot.datasets._base import Source as Source
from raylot.datasets._base import Splits as Splits
from raylot.foundation import registry
from raylot.foundation.names import BUILT_IN

DATASETS: dict[str, DataSet] = {
    name: import_module(f"{__name__}.{name}").DATASET for name in BUILT_IN["dataset"]
}


def find(name: str) -> DataSet:
    """Returns a data set, built in or of a plugin.

    Raises:
        OptionError: this process has not loaded the plugin.
    """
    built_in = DATASETS.get(name)
    dataset: DataSet = built_in or registry.get("dataset", name)
    return dataset


def facts_of(source: Source) -> Facts:
    """Returns what is known of the data set that options name.

    Raises:
        OptionError: its facts stand in files, and these are not there or do not fit.
    """
    told = _told.get(key_of(source))
    if told is not None:
        return told
    facts = find(source.dataset).facts(source)
    return facts if source.train_examples is None else facts.with_examples(source.train_examples)


def key_of(source: Source) -> str:
    """Returns a text that is the same for sources that name the same data."""
    names = "dataset", "data_root", "data_file", "image_size", "emnist_split", "train_examples"
    return json.dumps([str(getattr(source, name)) for name in names])


def remember(facts: Mapping[str, Facts]) -> None:
    """Remembers facts that another process has found, which shares the data itself too.

    Args:
        facts: by `key_of`.
    """
    _told.update(facts)


_told: dict[str, Facts] = {}
