"""What a user writes to add shifts, networks, metrics and interventions::

    from raylot import plugins
    from raylot.tasks import map_inputs

    @plugins.shift("darker")
    def darker(dataset, options, key, t):
        return map_inputs(dataset, lambda images: (images * 0.5**t).to(images.dtype))

``--plugin FILE.py``, or `load`, executes such a file; `raylot.foundation.registry` says more.
Importing this module imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, TypeVar

from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.registry import Combine, Observed
from raylot.foundation.registry import forget as forget
from raylot.foundation.registry import load as load
from raylot.results.schemas import SCHEMAS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raylot.config import InterventionOptions, NetworkOptions, PlasticityOptions, ShiftOptions
    from raylot.foundation.randomness import RandomKey
    from raylot.networks.prunable import Prunable
    from raylot.plasticity import LayerActivations, Probe
    from raylot.tasks import Task
    from raylot.training import Intervention

_ShiftT = TypeVar("_ShiftT", bound="Callable[[Task, ShiftOptions, RandomKey, int], Task]")
_NetworkT = TypeVar(
    "_NetworkT", bound="Callable[[tuple[int, ...], NetworkOptions, int], nn.Module]"
)
_InterventionT = TypeVar("_InterventionT", bound="Callable[[InterventionOptions], Intervention]")
_MetricT = TypeVar(
    "_MetricT",
    bound="Callable[[Probe], float | Tensor] "
    "| Callable[[LayerActivations, PlasticityOptions], float | Tensor] "
    "| Callable[[Tensor, PlasticityOptions], float | Tensor]",
)


def shift(name: str) -> Callable[[_ShiftT], _ShiftT]:
    """Registers a shift type, for ``--shifts``: ``function(dataset, options, key, t) -> Task``.

    The function gets a copy of the data set (a `raylot.Task`: see `raylot.tasks.map_inputs`), the
    run's `raylot.config.ShiftOptions`, a `raylot.foundation.randomness.RandomKey` for its draws
    (``key.child("angle", t).generator()`` is a numpy generator of task t's own), and t, counted
    from 0. It must depend on nothing else. It returns
    task t on the same device, with the same input shape, number of classes and, about, number of
    training examples for every t. ``--period`` and ``--gradual`` need nothing from it.

    What it raises ends the run as failed, with its reason, and no other.
    """
    _check_is_free("shift", name, ("all",))  # what the analysis calls all shifts together
    return registry.registers("shift", name, "dataset, options, key, t")


def network(name: str, prune: Prunable = None) -> Callable[[_NetworkT], _NetworkT]:
    """Registers a network, for ``--network``: ``function(input_shape, options, classes)``.

    The function gets the shape of one input, as ``(1, 8, 8)``, the run's
    `raylot.config.NetworkOptions` (``hidden``, ``width`` and ``norm`` are free to use), and the
    number of classes. It returns an ``nn.Module`` from inputs (``batch x input_shape``, float32)
    to logits (``batch x classes``), freshly initialised with PyTorch's global generator, which is
    seeded for it.

    Before anything trains, the network is built and tried: its parameters must be float32, and
    copies of it must compute and train like it. Each task of a stream and each ticket starts from a
    copy of what the function returned, with the parameters and buffers of the stream or snapshot:
    only what is in ``state_dict`` goes from task to task, no plain attribute. Parts in evaluation
    mode (a frozen batch normalisation, for instance) stay in it. Wherever a freshly initialised
    network is needed, the function is called again. Metrics of activations see PyTorch's own
    activation functions, as modules or called in a ``forward``, and recurrent modules.

    Args:
        name: what ``--network`` calls it.
        prune: which weights can be pruned: their names, with wildcards as in ``"*.weight"`` or
            ``["*.weight", "*.in_proj_weight"]``, or a function of a weight's name and the weight
            that returns whether it is; biases and norms never are. None: weights of linear and
            convolution layers; the column ``notes`` of ``runs`` then names the weights that
            this leaves out, as those of attention, recurrent layers and embeddings.
    """
    is_names = isinstance(prune, str) or (
        isinstance(prune, Sequence) and all(isinstance(each, str) for each in prune)
    )
    if not (prune is None or is_names or callable(prune)):
        raise OptionError(
            f"network {shown(name)}: prune={shown(prune)} must be names of weights, or a function "
            "of name and weight"
        )
    arguments = "input_shape, options, classes"
    return registry.registers("network", name, arguments, lambda f: registry.AddedNetwork(f, prune))


def intervention(name: str) -> Callable[[_InterventionT], _InterventionT]:
    """Registers an intervention, for ``--interventions``: a class, ``Class(options)``.

    A subclass of `raylot.training.Intervention` (or what returns one) that overrides the places
    of the training loop where it acts. It is made anew for every training, with the run's
    `raylot.config.InterventionOptions`, and keeps no state from task to task. Whatever it does,
    pruned weights are put back. Runs with it are trained by the generic engine.
    """
    return registry.registers("intervention", name, "options")


def metric(
    name: str, of: Observed = "network", combine: Combine | None = None
) -> Callable[[_MetricT], _MetricT]:
    """Registers a plasticity metric, for ``--metrics``: what returns a number.

    Args:
        name: in the table ``plasticity``, and of the measure in the analysis.
        of: what the function gets.
            ``"network"``: a `raylot.plasticity.Probe`, as ``function(probe)``, for one value of
            the whole network.
            ``"activations"``: ``function(layer, options)`` for each hidden layer, with a
            `raylot.plasticity.LayerActivations` (``layer.outputs``: ``examples x units``).
            ``"weights"``, ``"gradients"``: the same for each prunable layer, with a tensor of its
            live weights, or of the gradient of the mean loss in them; masked ones come flat.
            ``options`` are the run's `raylot.config.PlasticityOptions`.
        combine: ``combine(values, sizes)``, the whole network's value from those of the layers and
            their numbers of units or weights; None: their mean, weighted with these numbers. Not
            for ``of="network"``.

    Where weights or activations are not finite the value is NaN, and the function is not asked.
    If it raises, or returns no number, the value is NaN too; the reason stands in the column
    ``notes`` of the table ``runs``, and the run goes on. What it gets is a copy.
    """
    if of not in _METRIC_ARGUMENTS:
        raise OptionError(
            f"metric {shown(name)}: of={shown(of)} must be one of {', '.join(_METRIC_ARGUMENTS)}"
        )
    if combine is not None and (of == "network" or not callable(combine)):
        raise OptionError(
            f"metric {shown(name)}: combine must be a function of values and sizes, and is not "
            "for of=network"
        )
    columns = {column for columns in SCHEMAS.values() for column in columns}
    _check_is_free("metric", name, columns | _ANALYSIS_COLUMNS)  # a metric becomes one more column
    arguments = _METRIC_ARGUMENTS[of]
    return registry.registers(
        "metric", name, arguments, lambda f: registry.AddedMetric(f, of, combine)
    )


_METRIC_ARGUMENTS = {
    "network": "probe",
    "activations": "layer, options",
    "weights": "weights, options",
    "gradients": "gradients, options",
}

#: Columns that the analysis adds to those of the tables.
_ANALYSIS_COLUMNS = {"ticket_advantage", "advantage_over_random"}


def _check_is_free(kind: str, name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise OptionError(
            f"{kind} {name}: must have another name, as tables or the analysis use this one"
        )
