"""Decorators by which a user's file adds data sets, shifts, networks, criteria, metrics, methods::

    from raylot import plugins
    from raylot.tasks import map_inputs

    @plugins.shift("darker")
    def darker(dataset, options, key, t):
        return map_inputs(dataset, lambda images: (images * 0.5**t).to(images.dtype))

``--plugin FILE.py``, or `load`, executes such a file; see `raylot.foundation.registry`.

A shift, network, intervention, criterion or metric may have options of its own: a dataclass or a
pydantic model, whose fields are numbers (also ``float | None``), bools or ``Literal`` words, each
with a default, and with range and help from ``pydantic.Field``::

    @dataclass
    class Darkness:
        per_task: float = Field(0.5, gt=0, le=1, description="factor of the brightness")

    @plugins.shift("darker", options=Darkness)
    def darker(dataset, options, key, t):
        return map_inputs(dataset, lambda x: (x * options.per_task**t).to(x.dtype))

``--per-task 0.7``, a configuration file or `raylot.Study` sets such an option, and ``--search
per_task=0.5,0.9`` tries several values of it (not of a metric's). ``--help`` lists it, and a run's
column ``plugin_options`` has the values that the run used. Those of what a run uses are part of
what the run is. Errors that the class itself raises when it is made (``__post_init__``, pydantic's
validators) refuse values that do not go together.

Importing this module imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from raylot.config import (
    BarrierOptions,
    MeasurementRun,
    ProbeRun,
    TicketMeasurementRun,
    TicketsRun,
)
from raylot.config.plugin_declarations import model_of
from raylot.config.settings_search import SettingsSearch
from raylot.datasets._added import AddedDataset
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.registry import Combine, Observed
from raylot.foundation.registry import forget as forget
from raylot.foundation.registry import load as load
from raylot.results.schemas import SCHEMAS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raylot.config import (
        DataOptions,
        InterventionOptions,
        NetworkOptions,
        PlasticityOptions,
        ShiftOptions,
    )
    from raylot.datasets import Source
    from raylot.foundation.randomness import RandomKey
    from raylot.masks.context import PruningContext
    from raylot.networks.prunable import Prunable
    from raylot.plasticity import LayerActivations, Probe
    from raylot.tasks import Task
    from raylot.training import Intervention

_DatasetT = TypeVar("_DatasetT", bound="Callable[[DataOptions], Any]")
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


def dataset(name: str) -> Callable[[_DatasetT], _DatasetT]:
    """Registers a data set, for ``--dataset``: ``function(options)``.

    The function gets the study's `raylot.config.DataOptions` (``options.data_root`` and
    ``options.data_file`` say where files lie) and must depend on nothing else. It returns one of

    - a `raylot.Task`;
    - numpy arrays (or tensors) ``x_train, y_train, x_test, y_test``;
    - two map-style ``torch.utils.data.Dataset``, training and test, of inputs and labels;
    - two pandas frames, training and test, with a column ``label``; the other columns are features.

    Inputs are uint8 or floating-point, ``n x height x width``, ``n x channels x height x width``,
    ``n x height x width x channels`` (1 or 3) or ``n x features``; labels are whole numbers from 0,
    and each class has an example in both splits; or floating-point ``n x targets``, for regression
    (of a task or arrays). Options are checked with the data at hand, so the
    function is called before anything trains: once, and its data go to all workers. The plugin's
    code and a digest of the data are part of what a run is, so the function must return the same
    data whenever it is called.
    """

    def stored(function: Callable[[DataOptions], Any]) -> AddedDataset:
        return AddedDataset(name, lambda source: _read(name, function, source))

    return registry.registers("dataset", name, "options", stored)


def _read(name: str, function: Callable[[DataOptions], Any], source: Source) -> Sequence[Any]:
    from raylot.tasks.own_data import arrays_of  # imports torch

    return arrays_of(name, function, source)


def shift(name: str, options: Any = None) -> Callable[[_ShiftT], _ShiftT]:
    """Registers a shift type, for ``--shifts``: ``function(dataset, options, key, t) -> Task``.

    The function gets a copy of the data set (a `raylot.Task`: see `raylot.tasks.map_inputs`), the
    run's `raylot.config.ShiftOptions`, a `raylot.foundation.randomness.RandomKey` for its draws
    (``key.child("angle", t).generator()`` is a numpy generator for task t), and t, counted from 0.
    It must depend on nothing else. It returns task t on the same device. All tasks have the same
    input shape and number of classes, and about as many training examples. ``--period`` and
    ``--gradual`` work without its help.

    If it raises an error, that run fails with this reason, and the other runs go on.

    Args:
        name: what ``--shifts`` calls it.
        options: options of its own, see the module's docstring.
    """
    taken = ("all",)  # the analysis calls all shifts together so
    own = _own_options("shift", name, options)
    return registry.registers("shift", name, "dataset, options, key, t", taken=taken, options=own)


def network(
    name: str, prune: Prunable = None, options: Any = None
) -> Callable[[_NetworkT], _NetworkT]:
    """Registers a network, for ``--network``: ``function(input_shape, options, classes)``.

    The function gets the shape of one input, as ``(1, 8, 8)``, the run's
    `raylot.config.NetworkOptions` (``hidden``, ``width``, ``norm``, ``activation`` and the others
    are free to use), and the number of classes. It returns an ``nn.Module`` from inputs (``batch x
    input_shape``, float32) to logits (``batch x classes``), freshly initialised with PyTorch's
    global generator, which is seeded for it.

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
        options: options of its own, see the module's docstring.
    """
    is_names = isinstance(prune, Sequence) and all(isinstance(each, str) for each in prune)
    if not (prune is None or is_names or callable(prune)):
        raise OptionError(
            f"network {shown(name)}: prune={shown(prune)} must be names of weights, or a function "
            "of name and weight"
        )
    arguments = "input_shape, options, classes"
    return registry.registers(
        "network", name, arguments, lambda f: registry.AddedNetwork(f, prune),
        options=_own_options("network", name, options),
    )  # fmt: skip


def intervention(name: str, options: Any = None) -> Callable[[_InterventionT], _InterventionT]:
    """Registers an intervention, for ``--interventions``: a class, ``Class(options)``.

    The class is a subclass of `raylot.training.Intervention` (or a function that returns one) and
    overrides the places of the training loop where it acts. raylot restores pruned weights after
    each of its methods. The fast engine trains with it too, unless it overrides ``watch`` to put
    hooks into the network: what hidden units put out is in ``training.given`` of the layers that
    ``observed_layers`` returns. An ``acts_every`` of 32 steps or more makes steps cheaper still.

    raylot makes a new object for every training, with the run's
    `raylot.config.InterventionOptions`. What it must remember from one task of a stream to the
    next, as the ages of units, it returns from ``state_dict()`` (tensors, ints and floats by name)
    and takes up in ``load_state_dict(state)``. raylot saves that state with the stream, so an
    interrupted or longer stream goes on with it. Ticket streams begin without a state, and so does
    every training of a ticket search or on a probe task, in which ``on_task_start`` and
    ``on_task_end`` are not called. If a state holds anything else, or if ``state_dict`` has other
    names or shapes than what was just loaded, that run fails with this reason.

    Args:
        name: what ``--interventions`` calls it.
        options: options of its own, see the module's docstring.
    """
    own = _own_options("intervention", name, options)
    return registry.registers("intervention", name, "options", options=own)


def criterion(
    name: str,
    gradients: bool = False,
    options: Any = None,
    *,
    before_training: bool = False,
    rounds: int | None = None,
) -> Callable[[_CriterionT], _CriterionT]:
    """Registers a pruning criterion, for ``--criterion``: ``function(context) -> scores``.

    The function gets a `raylot.masks.context.PruningContext` after each training that ends by
    pruning: the trained network, the state to which it is rewound, the masks so far, training
    batches, and more. It returns a dict of float tensors, by the names and in the shapes of
    ``context.masks``. Of the survivors, those with the lowest scores are pruned; ties go by index.
    Scores of survivors must be finite, unless the training has diverged.

    With ``before_training`` it scores before any training instead, as SNIP does:
    ``context.network`` then has the weights from which the ticket starts. Rounds score the
    survivors anew and train nothing, so that a ticket is trained once, after the last of them. (The
    dense network is trained in any case, as tickets are compared with it.)

    If it raises an error, that run fails with this reason, and the other runs go on.

    Args:
        name: what ``--criterion`` calls it.
        gradients: whether it needs ``context.gradients``, means over the training of |gradient|
            and of gradient x weight.
        options: options of its own, see the module's docstring; ``context.options`` has them.
        before_training: whether it scores before any training.
        rounds: pruning rounds of a search for which the user gives none; None: 20% of the survivors
            go in each.

    Raises:
        OptionError: it asks for gradients before any training, or ``rounds`` is out of range.
    """
    if gradients and before_training:
        raise OptionError(
            f"criterion {shown(name)}: must go without gradients=True with before_training=True, "
            "as only a training measures mean gradients"
        )
    if rounds is not None and (type(rounds) is not int or not 1 <= rounds <= 1000):
        raise OptionError(
            f"criterion {shown(name)}: rounds={shown(rounds)}: must be a whole number in [1, 1000]"
        )
    traits = registry.CriterionTraits(gradients, before_training, rounds)
    return registry.registers(
        "criterion", name, "context", lambda f: registry.AddedCriterion(f, traits),
        options=_own_options("criterion", name, options),
    )  # fmt: skip


def metric(
    name: str,
    of: Observed = "network",
    combine: Combine | None = None,
    options: Any = None,
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
        options: options of its own, see the module's docstring; ``options`` and ``probe.options``
            have them.

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
        options=_own_options("metric", name, options),
    )


#: What the command line has beside options.
_WORDS = {
    "preset", "config", "plugin", "dry_run", "retry_failed", "on_end", "help", "help_all",
    "storage",
}  # fmt: skip


def _own_options(kind: str, name: str, declared: Any) -> Any:
    # Also attributes: what reads an option by its name would get those.
    models = (
        SettingsSearch, TicketMeasurementRun, MeasurementRun, TicketsRun, ProbeRun, BarrierOptions,
    )  # fmt: skip
    taken = {*_WORDS, *_ANALYSIS_COLUMNS, *(word for model in models for word in dir(model))}
    taken |= {word for model in models for word in model.model_fields}
    taken |= {column for columns in SCHEMAS.values() for column in columns}
    return model_of(kind, name, declared, taken)


#: Columns that the analysis adds to those of the tables.
_ANALYSIS_COLUMNS = {"ticket_advantage", "advantage_over_random"}
