"""Checks, before a sweep starts, that networks which may fail can be trained and pruned."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator

from torch import Tensor, nn

from raylot import networks
from raylot.config import DataOptions, NetworkOptions, StreamRun
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.foundation.text import is_exit_request
from raylot.masks.pruning import full_masks, left_out, remark_on_left_out
from raylot.tasks import Task, datasets, select_classes
from raylot.training import check_network
from raylot.trials.head import head_of

#: Options that decide whether a network can be trained.
_DECISIVE = (
    *NetworkOptions.model_fields, *DataOptions.model_fields, "shift", "classes_per_task",
    "batch_size", "drop_last", "head_reset",
)  # fmt: skip


def check_plugin_networks(runs: Iterable[StreamRun]) -> list[str]:
    """Builds each plugin's network that runs use, and tries it on examples of their data set.

    It does the same with built-in networks that have batch normalisation: these cannot train on a
    last batch of one example.

    Returns:
        A line for each network whose plugin does not choose the prunable weights: which are left
        unpruned.

    Raises:
        OptionError: a network cannot be built, trained or pruned; says why in one line.
    """
    different = {
        tuple(getattr(run, name) for name in _DECISIVE): run
        for run in runs
        if run.network not in networks.NETWORKS or run.norm == "batch"
    }
    remarks = [_check(run) for run in different.values()]
    return list(dict.fromkeys(remark for remark in remarks if remark))


def _check(run: StreamRun) -> str:
    dataset = datasets.load(run)
    task, sizes = dataset, _sizes(dataset, run)
    if run.shift == "class_split":
        task = select_classes(dataset, range(run.classes_per_task))
    at = f"network={run.network}:"
    with refusing(f"{at} cannot be built"):
        network = networks.build(
            run, task.input_shape, task.outputs, RandomKey((run.seed, "network"))
        )
    with refusing(f"{at} cannot be trained or pruned"):
        return _tried(network, at, task, run, sizes)


def _tried(network: nn.Module, at: str, task: Task, run: StreamRun, sizes: Collection[int]) -> str:
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise OptionError(f"{at} must have tensors alone in its state dict, and no {name}")
    try:
        check_network(network, task, run, sizes)
    except OptionError as error:
        raise OptionError(str(error).replace("network:", at, 1)) from None
    if run.head_reset != "none":
        head_of(network)
    choice = networks.prunable(run)
    try:
        masks = full_masks(network, choice)
    except OptionError as error:
        raise OptionError(f"{at} {str(error).removeprefix('network: ')}") from None
    remark = remark_on_left_out(left_out(network, masks), masks) if choice is None else ""
    return remark and f"{at} {remark}"


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turns any error of a plugin, and its call of sys.exit, into an `OptionError`.

    Args:
        what: begins the message.
    """
    try:
        yield
    except OptionError:
        raise
    except BaseException as error:
        if is_exit_request(error):
            raise
        raise OptionError(f"{what}: {registry.describe_error(error)}") from None


def _sizes(dataset: Task, run: StreamRun) -> Collection[int]:
    """Returns the possible numbers of training examples; a plugin's shift may make others."""
    if run.shift != "class_split":
        return {len(dataset.train_labels)}
    # sums[k] has bit n set if some k classes have n examples together.
    sums = [1] + [0] * run.classes_per_task
    for count in dataset.train_labels.bincount(minlength=dataset.known_classes).tolist():
        for k in range(run.classes_per_task, 0, -1):
            sums[k] |= sums[k - 1] << count
    return [n for n, bit in enumerate(reversed(f"{sums[-1]:b}")) if bit == "1"]
