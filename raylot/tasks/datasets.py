"""Named data sets as tensors: images stay uint8 until they are scaled, batch by batch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raylot import datasets
from raylot.config import DataOptions
from raylot.datasets._arrays import sizes
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.memory import memory
from raylot.tasks.task import TENSORS, Task

#: The data sets that were loaded last.
_loaded: dict[object, Task] = {}
_MOST_KEPT = 3

#: A data set as processes share it: what is known of it, and its arrays.
Shared = tuple[datasets.Facts, dict[str, np.ndarray]]


def load_dataset(
    dataset: str = "digits",
    *,
    root: str | Path | None = None,
    scaling: str = "raw",
    download: bool = False,
    file: str | Path | None = None,
    image_size: int | None = None,
    emnist_split: str = "balanced",
    train_examples: int | None = None,
) -> Task:
    """Loads a named data set as a task.

    Args:
        dataset: ``"digits"``: scikit-learn's handwritten digits, 1,437 training and 360 test
            images, 1x8x8, values 0-16; ``"mnist"``: 60,000 and 10,000 images, 1x28x28, 0-255;
            ``"npz"``: your own arrays in ``file``; ``"image_folder"``: your own images in ``root``;
            ``"fashion_mnist"``, ``"kmnist"``, ``"emnist"``, ``"cifar10"``, ``"cifar100"``,
            ``"svhn"``: as torchvision has them; ``"slowly_changing_regression"``: generated, 10,000
            and 2,000 examples of 20 bits; or a plugin's (`raylot.plugins.dataset`).
        root: the folder that holds the data set in torchvision's layout, or
            ``train/CLASS/*.png`` and ``test/CLASS/*.png`` of ``"image_folder"``.
        scaling: ``"raw"`` keeps the values, ``"unit"`` divides by the largest possible one,
            ``"standardize"`` gives the training split mean 0 and standard deviation 1: one mean
            and deviation for all pixels (for MNIST the usual 0.1307 and 0.3081), or one for each
            channel or feature if there are several.
        download: whether to download the data set into root if it is not there.
        file: of numpy's format npz, with ``x_train``, ``y_train``, ``x_test`` and ``y_test``:
            inputs uint8 or floating-point, ``n x height x width``, ``n x channels x height x
            width``, ``n x height x width x channels`` (1 or 3) or ``n x features``; labels whole
            numbers from 0, or for regression floating-point targets ``n x targets``.
        image_size: height and width to which ``"image_folder"`` resizes.
        emnist_split: ``"balanced"``, ``"letters"``, ``"digits"`` or ``"mnist"``.
        train_examples: how many training examples to keep: a fixed random choice, of each class in
            proportion to its size; None: all.

    Raises:
        OptionError: an option is not accepted, or the data set is not there, or is no such data
            set, or its inputs do not fit half of this machine's memory.
    """
    options = DataOptions.checked(
        dataset=dataset, data_root=root, scaling=scaling, download=download, data_file=file,
        image_size=image_size, emnist_split=emnist_split, train_examples=train_examples,
    )  # fmt: skip
    return load(options)


def load(options: DataOptions) -> Task:
    """Loads the data set that options name; see `load_dataset`."""
    return scaled(read(options), options)


def read(options: DataOptions) -> Task:
    """Loads the data set that options name, with its values as stored.

    A data set is kept, so that to load it again is the same tensors.

    Raises:
        OptionError: the data set is not there.
    """
    dataset = datasets.find(options.dataset)
    dataset.check_there(options)
    if options.download:
        dataset.download(options)
    facts = dataset.facts(options)
    key = (options.dataset, options.data_root, facts, options.train_examples)
    if key not in _loaded:
        _check_fits(options.dataset, facts)
        try:
            splits = dataset.load(options)
        except OSError as error:
            raise OptionError(
                f"data_root={options.data_root}: must be a folder whose files can be read "
                f"({error.strerror})"
            ) from None
        for labels, known in ((splits[1], facts.train_sizes), (splits[3], facts.test_sizes)):
            found = (len(labels),) if facts.is_regression else sizes(labels, facts.classes)
            if found != known:
                raise OptionError(
                    f"dataset={options.dataset}: must have {shown(known)} examples of its classes, "
                    f"not {shown(found)}"
                )
        for old in list(_loaded)[: 1 - _MOST_KEPT]:
            del _loaded[old]
        if options.train_examples is not None:
            splits = (*_chosen(splits[0], splits[1], facts, options.train_examples), *splits[2:])
        _loaded[key] = _task(dict(zip(TENSORS, splits, strict=True)), facts)
    return _loaded[key]


def _chosen(
    inputs: np.ndarray, labels: np.ndarray, facts: datasets.Facts, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns so many training examples, in their order: those that a fixed draw puts first."""
    order = np.random.default_rng(0).permutation(len(labels))
    sizes_kept = facts.with_examples(count).train_sizes
    classes = np.zeros(len(labels), np.int64) if facts.is_regression else labels
    kept = [order[classes[order] == label][:size] for label, size in enumerate(sizes_kept)]
    index = np.sort(np.concatenate(kept))
    return inputs[index], labels[index]


def _check_fits(name: str, facts: datasets.Facts) -> None:
    """Refuses what a process and the copy that Ray's workers share could not hold together."""
    there = memory()
    if facts.size > there / 2:
        raise OptionError(
            f"dataset={name}: must fit half of this machine's memory, {there / 2e9:.1f} GB; its "
            f"inputs take {facts.size / 1e9:.1f} GB"
        )


def scaled(dataset: Task, options: DataOptions) -> Task:
    """Gives a data set that `read` returned the scaling that options name."""
    if options.scaling == "unit":
        return replace(dataset, divisor=float(_largest(dataset, options)))
    if options.scaling == "standardize":
        channels = dataset.train_inputs.unbind(1)
        moments = [_moments(channel) for channel in channels]
        if len(moments) == 1:
            offset, divisor = moments[0]
            return replace(dataset, offset=offset, divisor=divisor)
        # A channel that is always the same tells nothing, and becomes 0.
        offsets, divisors = zip(*moments, strict=True)
        return replace(dataset, offset=offsets, divisor=tuple(one or 1.0 for one in divisors))
    return dataset


def _moments(values: torch.Tensor) -> tuple[float, float]:
    """Returns mean and standard deviation."""
    if values.is_floating_point():
        exact = values.to(torch.float64)
        return float(exact.mean()), float(exact.std(correction=0))
    # Counts of each value give exact results without a copy of the images as floats.
    counts = torch.bincount(values.flatten(), minlength=256).to(torch.float64)
    numbers = torch.arange(len(counts), dtype=torch.float64, device=counts.device)
    mean = (counts @ numbers) / counts.sum()
    variance = (counts @ (numbers - mean).square()) / counts.sum()
    return float(mean), float(variance.sqrt())


def _largest(dataset: Task, options: DataOptions) -> float:
    known = datasets.facts_of(options).largest
    return float(dataset.train_inputs.abs().max()) if known is None else known


def packed(options: DataOptions) -> Shared:
    """Loads the data set that options name, for `unpacked` in another process."""
    dataset = read(options)
    arrays = {name: getattr(dataset, name).numpy() for name in TENSORS}
    return datasets.facts_of(options), arrays


def unpacked(shared: Shared) -> Task:
    """Returns the data set that `packed` returned, without copying; arrays may be read-only."""
    facts, arrays = shared
    return _task(arrays, facts)


def _task(arrays: Mapping[str, np.ndarray], facts: datasets.Facts) -> Task:
    with warnings.catch_warnings():
        # PyTorch has no read-only tensors; nothing writes into a task.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors: Any = {name: torch.from_numpy(arrays[name]) for name in TENSORS}
    return Task(**tensors, classes=None if facts.is_regression else facts.classes)


def check_available(options: DataOptions) -> None:
    """Makes sure that the data set can be loaded; downloads it if the options ask for that.

    Raises:
        OptionError: the data set cannot be loaded.
    """
    read(options)
