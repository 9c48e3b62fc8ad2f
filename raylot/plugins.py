"""Decorators by which a user's file adds shifts, networks, criteria, metrics, interventions::

    from raylot import plugins
    from raylot.tasks import map_inputs

    @plugins.shift("darker")
    def darker(dataset, options, key, t):
        return map_inputs(dataset, lambda images: (images * 0.5**t).to(images.dtype))

``--plugin FILE.py``, or `load`, executes such a file; see `raylot.foundation.registry`.
Importing this module imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, get_args

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
    from raylot.masks.context import PruningContext
    from raylot.networks.prunable import Prunable
    from raylot.plasticity import LayerActivations, Probe
    from raylot.tasks import Task
    from raylot.training import Intervention

_ShiftT = TypeVar("_ShiftT", bound="Callable[[Task, ShiftOptions, RandomKey, int], Task]")
_NetworkT = TypeVar(
    "_NetworkT", bound="Callable[[tuple[int, ...], NetworkOptions, int], nn.Module]"
)
_InterventionT = TypeVar("_InterventionT", bound="Callable[[InterventionOptions], Intervention]")
_CriterionT = TypeVar("_CriterionT", bound="Callable[[PruningContext], dict[str, Tensor]]")
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
    (``key.child("angle", t).generator()`` is a numpy generator for task t), and t, counted from 0.
    It must depend on nothing else. It returns task t on the same device. All tasks have the same
    input shape and number of classes, and about as many training examples. ``--period`` and
    ``--gradual`` work without its help.

    If it raises an error, that run fails with this reason, and the other runs go on.
    """
    taken = ("all",)  # the analysis calls all shifts together so
    return registry.registers("shift", name, "dataset, options, key, t", taken=taken)


def network(name: str, prune: Prunable = None) -> Callable[[_NetworkT], _NetworkT]:
    """Registers a network, for ``--network``: ``function(input_shape, options, classes)``.

    The function gets the shape of one input, as ``(1, 8, 8)``, the run's
    `raylot.config.NetworkOptions` (``hidden``, ``width`` and ``norm`` are free to use), and the
    number of classes. It returns an ``nn.Module`` from inputs (``batch x input_shape``, float32)
    to logits (``batch x classes``), freshly initialised with PyTorch's global generator, which is
    seeded for it.

    Before anything trains, raylot builds the network and tries it: its parameters must be float32,
    and copies of it must compute and train like it. Each task of a stream and each ticket starts
    from a copy of what the function returned, with the parameters and buffers of the stream or
    snapshot. So only what is in ``state_dict`` goes from task to task; plain attributes do not.
    Parts in evaluation mode (a frozen batch normalisation, for instance) stay in it. raylot calls
    the function again wherever it needs a freshly initialised network. Metrics of activations see
    PyTorch's own activation functions, as modules or called in a ``forward``, and recurrent
    modules.

    Args:
        name: what ``--network`` calls it.
        prune: which weights can be pruned: their names, with wildcards as in ``"*.weight"`` or
            ``["*.weight", "*.in_proj_weight"]``, or a function of a weight's name and the weight
            that returns True or False. Biases and norms are never pruned. None: the weights of
            linear and convolution layers; the column ``notes`` of ``runs`` then names the weights
            that this leaves out, such as those of attention, recurrent layers and embeddings.
    """
    is_names = isinstance(prune, Sequence) and all(isinstance(each, str) for each in prune)
    if not (prune is None or is_names or callable(prune)):
        raise OptionError(
            f"network {shown(name)}: prune={shown(prune)} must be names of weights, or a function "
            "of name and weight"
        )
    arguments = "input_shape, options, classes"
    return registry.registers("network", name, arguments, lambda f: registry.AddedNetwork(f, prune))


def intervention(name: str) -> Callable[[_InterventionT], _InterventionT]:
    """Registers an intervention, for ``--interventions``: a class, ``Class(options)``.

    The class is a subclass of `raylot.training.Intervention` (or a function that returns one) and
    overrides the places of the training loop where it acts. raylot restores pruned weights after
    each of its methods. Its runs use the generic engine.

    raylot makes a new object for every training, with the run's
    `raylot.config.InterventionOptions`. What it must remember from one task of a stream to the
    next, as the ages of units, it returns from ``state_dict()`` (tensors, ints and floats by name)
    and takes up in ``load_state_dict(state)``. raylot saves that state with the stream, so an
    interrupted or longer stream goes on with it. Ticket streams begin without a state, and so does
    every training of a ticket search or on a probe task, in which ``on_task_start`` and
    ``on_task_end`` are not called. If a state holds anything else, or if ``state_dict`` has other
    names or shapes than what was just loaded, that run fails with this reason.
    """
    return registry.registers("intervention", name, "options")


def criterion(name: str, gradients: bool = False) -> Callable[[_CriterionT], _CriterionT]:
    """Registers a pruning criterion, for ``--criterion``: ``function(context) -> scores``.

    The function gets a `raylot.masks.context.PruningContext` after each training that ends by
    pruning: the trained network, the state to which it is rewound, the masks so far, training
    batches, and more. It returns a dict of float tensors, by the names and in the shapes of
    ``context.masks``. Of the survivors, those with the lowest scores are pruned; ties go by index.
    Scores of survivors must be finite, unless the training has diverged.

    A criterion that looks at ``context.start`` alone, as SNIP does, prunes before training:
    ``--rounds 1`` then prunes once. (The dense network that ``network`` holds is trained in any
    case, as tickets are compared with it.)

    If it raises an error, that run fails with this reason, and the other runs go on.

    Args:
        name: what ``--criterion`` calls it.
        gradients: whether it needs ``context.gradients``, means over the training of |gradient|
            and of gradient x weight. On the CPU the generic engine then trains what ends by
            pruning, also networks that the fast engine could train.
    """
    return registry.registers(
        "criterion", name, "context", lambda f: registry.Criterion(f, gradients)
    )


def metric(
    name: str, of: Observed = "network", combine: Combine | None = None
) -> Callable[[_MetricT], _MetricT]:
    """Registers a plasticity metric, for ``--metrics``: a function that returns a number.

    Args:
        name: the metric's name in the table ``plasticity``, and the measure's in the analysis.
        of: what the function gets.
            ``"network"``: a `raylot.plasticity.Probe`, as ``function(probe)``, for one value of
            the whole network.
            ``"activations"``: ``function(layer, options)`` for each hidden layer, with a
            `raylot.plasticity.LayerActivations` (``layer.outputs``: ``examples x units``).
            ``"weights"``, ``"gradients"``: the same for each prunable layer, with a tensor of its
            live weights, or of the gradient of the mean loss in them; masked ones come flat.
            ``options`` has the study's ``probe_size`` and ``dormant_threshold``.
        combine: ``combine(values, sizes)``, which returns the whole network's value from the values
            of the layers and their numbers of units or weights; None: the mean of the values,
            weighted with these numbers. Not for ``of="network"``.

    The value is NaN, without a call of the function, where weights or activations are not finite.
    It is NaN too if the function raises an error or returns no number; then the column ``notes`` of
    the table ``runs`` says why, and the run goes on. The function gets copies.
    """
    if of not in get_args(Observed):
        accepted = ", ".join(get_args(Observed))
        raise OptionError(f"metric {shown(name)}: of={shown(of)} must be one of {accepted}")
    if combine is not None and (of == "network" or not callable(combine)):
        raise OptionError(
            f"metric {shown(name)}: combine must be a function of values and sizes, and is not "
            "for of=network"
        )
    columns = {column for columns in SCHEMAS.values() for column in columns}
    return registry.registers(
        "metric",
        name,
        "probe" if of == "network" else "layer, options",
        lambda f: registry.AddedMetric(f, of, combine),
        taken=columns | _ANALYSIS_COLUMNS,  # a metric becomes a column
    )


#: Columns that the analysis adds to those of the tables.
_ANALYSIS_COLUMNS = {"ticket_advantage", "advantage_over_random"}
