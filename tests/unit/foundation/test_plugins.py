"""What a file adds, what is refused, and which code counts as the same."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from raylot import interventions, networks, plugins
from raylot.config import (
    InterventionOptions,
    NetworkOptions,
    PlasticityOptions,
    ShiftOptions,
    StreamRun,
    Study,
    TicketMeasurementRun,
    TicketsRun,
    TicketStreamRun,
)
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN, PERFORMANCE
from raylot.foundation.randomness import RandomKey
from raylot.plasticity import FURTHER, measure
from raylot.plasticity.activations import ACTIVATION_METRICS
from raylot.plasticity.kernel import KERNEL_METRICS
from raylot.plasticity.weights import DISTANCE_METRICS, GRADIENT_METRICS, WEIGHT_METRICS
from raylot.tasks import load_dataset, make_task
from raylot.training import Intervention, train
from tests.support.tasks import random_task, small_network

_SHIFT = '''
"""Darker and darker."""
from raylot import plugins
from raylot.tasks import map_inputs

HALF = 0.5

@plugins.shift("darker")
def darker(dataset, options, key, t):
    """Halves all pixels, t times."""
    return map_inputs(dataset, lambda images: (images * HALF**t).to(images.dtype))
'''

_EVERYTHING = """
from torch import nn
from raylot import plugins
from raylot.training import Intervention

@plugins.shift("same")
def same(dataset, options, key, t):
    return dataset

@plugins.network("linear")
def linear(input_shape, options, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

@plugins.intervention("frozen")
class Frozen(Intervention):
    def after_gradient(self, training):
        training.flat.gradient.zero_()

@plugins.criterion("smallest")
def smallest(context):
    return {name: -weight.abs() for name, weight in context.weights.items()}

@plugins.metric("biggest", of="weights", combine=lambda values, sizes: max(values))
def biggest(weights, options):
    return weights.abs().max()
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test here sees another's plugins."""
    plugins.forget()
    yield
    plugins.forget()


def _file(folder: Path, source: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def _load(folder: Path, source: str, name: str = "mine.py") -> None:
    plugins.load(_file(folder, source, name))


def _code(folder: Path, source: str) -> str | None:
    """Of the shift ``darker``, once a file with this text is loaded."""
    _load(folder, source)
    return StreamRun.checked(shift="darker").plugins


# ------------------------------------------------------------------ names


def test_what_is_built_in_is_listed() -> None:
    measured = [
        *ACTIVATION_METRICS, *WEIGHT_METRICS, *DISTANCE_METRICS, *GRADIENT_METRICS,
        "sharpness", *KERNEL_METRICS, *PERFORMANCE,
        *(metric for metrics, _ in FURTHER.values() for metric in metrics),
    ]  # fmt: skip
    assert sorted(BUILT_IN["metric"]) == sorted(measured)
    # Those of the other kinds: test_shifts.py, test_networks.py, test_interventions.py.


def test_options_take_the_names_that_a_plugin_adds(tmp_path: Path) -> None:
    names = {
        "shift": "same", "network": "linear", "intervention": "frozen", "criterion": "smallest",
        "metrics": "biggest",
    }  # fmt: skip
    for option, name in names.items():
        with pytest.raises(OptionError, match=f"{option}={name}: must be one .*--plugin FILE.py"):
            TicketMeasurementRun.checked(**{option: name})
    _load(tmp_path, _EVERYTHING)
    with pytest.raises(
        OptionError, match=r"shifts=brighter: .*warm_start, same, each once; --plug"
    ):
        Study.checked(shifts="same,brighter")
    run = TicketMeasurementRun.checked(**names, measured="metric")
    assert (run.shift, run.network, run.intervention) == ("same", "linear", "frozen")
    assert (run.criterion, run.metrics) == ("smallest", ("biggest",))
    study = Study.checked(shifts="same,noise", interventions="none,frozen", network="linear")
    assert study.tickets_run(shift="same", task=0, sparsity=0.8).shift == "same"
    assert study.shifts == ("same", "noise")


def test_metrics_are_named_in_any_order(tmp_path: Path) -> None:
    source = "from raylot import plugins\n"
    for name in ("one", "two"):
        source += f'plugins.metric("{name}")(lambda probe: 1)\n'
    _load(tmp_path, source)
    assert Study.checked(metrics="two one") == Study.checked(metrics="one,two")
    assert Study.checked(metrics="none").metrics is None
    for wrong in ("one,one", "", "srank"):
        with pytest.raises(OptionError, match=r"metrics=.*: must be one or more of one, two, each"):
            Study.checked(metrics=wrong)


# ------------------------------------------------------------------ what a plugin does


def test_pixels_of_a_shift_by_hand(tmp_path: Path) -> None:
    _load(tmp_path, _SHIFT)
    dataset = load_dataset("digits")
    task = make_task(dataset, ShiftOptions(shift="darker"), 0, 2)
    assert torch.equal(task.train_inputs, dataset.train_inputs // 4)  # of whole numbers 0 to 16
    assert torch.equal(task.test_inputs, dataset.test_inputs // 4)
    assert torch.equal(task.train_labels, dataset.train_labels)
    again = make_task(dataset, ShiftOptions(shift="darker", period=2), 0, 2)
    assert torch.equal(again.train_inputs, dataset.train_inputs)


def test_a_shift_that_works_in_place_leaves_the_data_set_as_it_is(tmp_path: Path) -> None:
    """All runs of a node share it, the stationary ones among them."""
    source = """
    import torch
    from raylot import plugins

    @plugins.shift("louder")
    def louder(dataset, options, key, t):
        dataset.train_inputs.mul_(2)
        dataset.train_labels.fill_(int(torch.randint(10, ())))
        return dataset
    """
    _load(tmp_path, source)
    dataset, before = load_dataset("digits"), load_dataset("digits")
    state = torch.get_rng_state()
    tasks = [make_task(dataset, ShiftOptions(shift="louder"), 0, 1) for _ in range(2)]
    assert torch.equal(tasks[0].train_inputs, 2 * before.train_inputs)
    assert torch.equal(tasks[1].train_inputs, tasks[0].train_inputs)
    assert torch.equal(tasks[1].train_labels, tasks[0].train_labels)
    assert torch.equal(dataset.train_inputs, before.train_inputs)
    assert torch.equal(dataset.train_labels, before.train_labels)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws


def test_draws_of_a_shift_follow_the_seed(tmp_path: Path) -> None:
    source = """
    from raylot import plugins, permute_labels

    @plugins.shift("shuffled")
    def shuffled(dataset, options, key, t):
        return permute_labels(dataset, key.child("labels", t).generator().permutation(10))
    """
    _load(tmp_path, source)
    dataset, options = load_dataset("digits"), ShiftOptions(shift="shuffled")
    tasks = [
        make_task(dataset, options, *of).train_labels for of in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert [torch.equal(tasks[0], other) for other in tasks] == [True, True, False, False]


def test_a_network_is_initialised_from_its_key(tmp_path: Path) -> None:
    _load(tmp_path, _EVERYTHING)
    options = NetworkOptions(network="linear")
    made = [networks.build(options, (1, 8, 8), 10, RandomKey((seed,))) for seed in (0, 0, 1)]
    weights = [network.get_parameter("1.weight") for network in made]
    assert weights[0].shape == (10, 64)
    assert [torch.equal(weights[0], other) for other in weights] == [True, True, False]


def test_an_intervention_acts_within_steps_of_the_fast_engine(tmp_path: Path) -> None:
    _load(tmp_path, _EVERYTHING)
    made = interventions.make(InterventionOptions(intervention="frozen"))
    assert isinstance(made, Intervention)
    network = networks.build(NetworkOptions(hidden=(4,)), (1, 8, 8), 10, RandomKey((0,)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for intervention in (made, None):
        result = train(
            network, load_dataset("digits"), epochs=1, batch_size=256,
            optimizer=StreamRun.checked(), key=RandomKey((0,)), intervention=intervention,
        )  # fmt: skip
        assert result.engine == "fast"
        unmoved = all(torch.equal(before[n], t) for n, t in network.state_dict().items())
        assert unmoved == (intervention is not None)


@pytest.mark.parametrize(
    ("body", "engine"),
    [
        ("nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, classes))", "fast"),
        ("nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, classes))",
         "generic"),
        ("Doubled(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, classes))", "generic"),
    ],
)  # fmt: skip
def test_the_fast_engine_takes_what_it_knows(body: str, engine: str, tmp_path: Path) -> None:
    source = f"""
    from torch import nn
    from raylot import plugins

    class Doubled(nn.Sequential):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    @plugins.network("mine")
    def mine(input_shape, options, classes):
        return {body}
    """
    _load(tmp_path, source)
    network = networks.build(NetworkOptions(network="mine"), (1, 8, 8), 10, RandomKey((0,)))
    result = train(
        network, load_dataset("digits"), epochs=1, batch_size=256, optimizer=StreamRun.checked(),
        key=RandomKey((0,)),
    )  # fmt: skip
    assert result.engine == engine
    with pytest.raises(OptionError, match="engine=fast: must be auto or generic with network mine"):
        StreamRun.checked(network="mine", engine="fast")


def _measured(network: nn.Module, metrics: str, **given: Any) -> dict[tuple[str, str], float]:
    options = PlasticityOptions.checked(
        probe_size=20, ntk_examples=0, sharpness_iterations=0, metrics=metrics
    )
    rows = measure(network, random_task(), options, RandomKey((0,)), **given)
    wanted = metrics.split(",")
    return {(r["layer"], r["metric"]): r["value"] for r in rows if r["metric"] in wanted}


_METRICS = """
import torch
from raylot import plugins
from raylot.plasticity import mean

@plugins.metric("count", of="weights")
def count(weights, options):
    return weights.numel()

@plugins.metric("units", of="activations", combine=mean)
def units(layer, options):
    return layer.outputs.shape[1]

@plugins.metric("slope", of="gradients", combine=lambda values, sizes: sum(sizes))
def slope(gradients, options):
    return (gradients * 0).sum()

@plugins.metric("examples")
def examples(probe):
    with torch.no_grad():
        for parameter in probe.network.parameters():
            parameter.zero_()
    probe.inputs.zero_()
    assert not probe.network.training
    return len(probe.inputs) + len(probe.labels) + probe.options.probe_size
"""


def test_metrics_by_hand(tmp_path: Path) -> None:
    _load(tmp_path, _METRICS)
    network = small_network()
    weights = {n.removesuffix(".weight"): p for n, p in network.named_parameters() if p.dim() > 1}
    sizes = {layer: weight.numel() for layer, weight in weights.items()}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = _measured(network, "count,units,slope,examples")
    total = sum(sizes.values())
    for layer, size in sizes.items():
        assert found[layer, "count"] == size
        assert found[layer, "slope"] == 0
    # left to itself: the mean over all weights of their own layer's value
    assert found["all", "count"] == pytest.approx(sum(n * n for n in sizes.values()) / total)
    assert found["all", "slope"] == total
    hidden = [value for (layer, name), value in found.items() if name == "units" and layer != "all"]
    assert found["all", "units"] == sum(hidden) / len(hidden)
    assert found["all", "examples"] == 3 * 20
    assert all(isinstance(value, float) for value in found.values())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])  # whatever a metric does to its copy


def test_metrics_of_masked_networks_see_live_weights(tmp_path: Path) -> None:
    _load(tmp_path, _METRICS)
    network = small_network()
    name = next(name for name, p in network.named_parameters() if p.dim() > 1)
    mask = torch.zeros_like(network.get_parameter(name), dtype=torch.bool)
    mask.view(-1)[:3] = True
    found = _measured(network, "count", masks={name: mask})
    assert found[name.removesuffix(".weight"), "count"] == 3


def test_metrics_of_what_is_not_finite_are_nan(tmp_path: Path) -> None:
    _load(tmp_path, _METRICS)
    network = small_network()
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = torch.nan
    reasons: list[str] = []
    found = _measured(network, "count,examples", note=reasons.append)
    assert all(value != value for value in found.values())
    assert "metrics of parameters: NaN, as not all parameters are finite" in reasons


_FAILING = """
from raylot import plugins

class Own(Exception):
    pass

@plugins.metric("whole")
def whole(probe):
    return 1 / 0

@plugins.metric("wide", of="activations", combine=max)
def wide(layer, options):
    if layer.outputs.shape[1] == 8:
        raise Own("no")
    return 1

@plugins.metric("joined", of="weights", combine=lambda values, sizes: values[9])
def joined(weights, options):
    return 2

@plugins.metric("tensor", of="gradients")
def tensor(gradients, options):
    return gradients
"""


def test_a_metric_that_fails_is_nan_for_itself_alone_and_says_why(tmp_path: Path) -> None:
    _load(tmp_path, _FAILING)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
    reasons: list[str] = []
    names = "whole,wide,joined,tensor"
    found = _measured(network, names, note=reasons.append)
    kept = {where: value for where, value in found.items() if value == value}
    assert kept == {("2", "wide"): 1, ("0", "joined"): 2, ("2", "joined"): 2, ("4", "joined"): 2}
    assert {name for layer, name in found if layer == "all"} == set(names.split(","))
    assert sorted(reasons) == [
        "joined: NaN, as computing it raised IndexError: list index out of range (at mine.py:17)",
        "tensor: NaN, as computing it raised TypeError: metric tensor: must return a number, not "
        "a Tensor",
        "whole: NaN, as computing it raised ZeroDivisionError: division by zero (at mine.py:9)",
        "wide: NaN, as computing it raised Own: no (at mine.py:14)",
    ]
    with pytest.warns(UserWarning, match="whole: NaN, as computing it raised ZeroDivisionError"):
        _measured(network, names)


_GREEDY = """
import torch
from raylot import plugins

@plugins.metric("first", of="{of}")
def first(layer, options):
    tensor = getattr(layer, "outputs", layer)
    return float(tensor.zero_().sum() + torch.rand(()))

@plugins.metric("second", of="{of}")
def second(layer, options):
    return getattr(layer, "outputs", layer).abs().sum()

@plugins.metric("state")
def state(probe):
    for tensor in (*probe.initial.values(), *probe.masks.values()):
        tensor.zero_()
    return 0
"""


@pytest.mark.parametrize("of", ["activations", "weights", "gradients"])
def test_what_a_metric_writes_reaches_nothing_else(of: str, tmp_path: Path) -> None:
    _load(tmp_path, _GREEDY.format(of=of))
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    initial = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    masks = {"0.weight": torch.ones(8, 6, dtype=torch.bool)}
    random_state = torch.get_rng_state()
    found = _measured(network, "first,second,state", initial=initial, masks=masks)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(bool((tensor == 1).all()) for tensor in (*initial.values(), *masks.values()))
    assert found["0", "second"] > 0


@pytest.mark.parametrize(
    ("source", "call", "message"),
    [
        ("plugins.shift('mine')(lambda dataset, options, key, t: None)",
         lambda: make_task(load_dataset("digits"), ShiftOptions(shift="mine"), 0, 0),
         "shift mine: must return a Task, not a NoneType"),
        ("plugins.network('mine')(lambda shape, options, classes: 3)",
         lambda: networks.build(NetworkOptions(network="mine"), (1, 8, 8), 10, RandomKey((0,))),
         "network mine: must return a Module, not a int"),
        ("plugins.intervention('mine')(lambda options: {})",
         lambda: interventions.make(InterventionOptions(intervention="mine")),
         "intervention mine: must return a Intervention, not a dict"),
    ],
)  # fmt: skip
def test_what_returns_something_else_is_named(
    source: str, call: Any, message: str, tmp_path: Path
) -> None:
    _load(tmp_path, f"from raylot import plugins\n{source}")
    with pytest.raises(TypeError, match=message):
        call()


# ------------------------------------------------------------------ identity

_SAME = [
    _SHIFT.replace('"""Darker and darker."""', "# Each task\n"),
    _SHIFT.replace('    """Halves all pixels, t times."""\n', ""),
    _SHIFT.replace("HALF**t", "(HALF ** t)").replace("to(", "to(  # as before\n        "),
    _SHIFT.replace("0.5", ".5_0").replace('"darker"', "'darker'"),
    _SHIFT.replace("options, key, t)", "options,\n    key,\n    t,\n)").replace("\n\n", "\n\n\n\n"),
]

_OTHER = [
    _SHIFT.replace("0.5", "0.25"),
    _SHIFT.replace("HALF**t", "HALF*t"),
    _SHIFT.replace("key, t)", "key, t=None)"),
    _SHIFT + "\nx = 1\n",
    _SHIFT.replace(
        "(images * HALF**t).to(images.dtype)", "(images * HALF**t).to(images.dtype, True)"
    ),
]


def test_only_what_the_code_does_counts(tmp_path: Path) -> None:
    code = _code(tmp_path, _SHIFT)
    assert code is not None
    kind, name, short = code.split(":")
    assert (kind, name, len(short)) == ("shift", "darker", 12)
    assert [_code(tmp_path, source) for source in _SAME] == [code] * len(_SAME)
    assert len({code, *(_code(tmp_path, source) for source in _OTHER)}) == 1 + len(_OTHER)
    plugins.forget()
    _load(tmp_path, _SHIFT, "elsewhere.py")
    assert StreamRun.checked(shift="darker").plugins == code


def test_runs_that_use_nothing_of_a_plugin_are_what_they_were(tmp_path: Path) -> None:
    def identities() -> list[str | None]:
        runs = [StreamRun.checked(), TicketsRun.checked()]
        return [text for run in runs for text in (run.run_id, run.protocol, run.plugins)]

    before = identities()
    _load(tmp_path, _EVERYTHING)
    assert identities() == before


@pytest.mark.parametrize(
    "named",
    [{"shift": "same"}, {"network": "linear"}, {"intervention": "frozen"}],
)
def test_changed_code_is_another_run_all_the_way(named: dict[str, str], tmp_path: Path) -> None:
    found = []
    for source in (_EVERYTHING, _EVERYTHING + "\nx = 1\n"):
        _load(tmp_path, source)
        runs = [model.checked(**named) for model in (StreamRun, TicketsRun, TicketStreamRun)]
        found.append(({run.run_id for run in runs}, {run.protocol for run in runs}))
    (before, protocols_before), (after, protocols_after) = found
    assert not before & after
    if {"shift", "intervention"} & named.keys():
        assert protocols_before == protocols_after  # they hold nothing that a sweep compares
    else:
        assert not protocols_before & protocols_after


def test_changed_code_of_a_metric_is_another_measurement_and_nothing_else(tmp_path: Path) -> None:
    found = []
    for source in (_EVERYTHING, _EVERYTHING + "\nx = 1\n"):
        _load(tmp_path, source)
        study = Study.checked(metrics="biggest")
        search = study.tickets_run(task=0, sparsity=0.8)
        others = [*study.measurement_runs(search.stream), search.stream, search]
        metric = others.pop([run.label.endswith("biggest") for run in others].index(True))
        assert metric.setting.startswith("probe_size=512, dormant_threshold=0.025, code=")
        found.append((metric, [run.run_id for run in others]))
    (before, others_before), (after, others_after) = found
    assert before.run_id != after.run_id
    assert before.setting != after.setting
    assert others_before == others_after


def test_changed_code_of_a_criterion_is_another_search_and_nothing_else(tmp_path: Path) -> None:
    found = []
    place = {"task": 0, "sparsity": 0.8}
    for source in (_EVERYTHING, _EVERYTHING + "\nx = 1\n"):
        _load(tmp_path, source)
        study = Study.checked(criterion="smallest", ticket_tasks=2)
        search = study.tickets_run(**place)
        subnetworks = [study.ticket_stream_run(**place, subnetwork=s) for s in ("ticket", "dense")]
        others = [search.stream, subnetworks.pop(), *study.measurement_runs(search.stream)]
        others += study.probe_runs(search.stream)
        assert [run.plugins for run in others] == [None] * len(others)
        found.append(([search, *subnetworks], [(run.run_id, run.protocol) for run in others]))
    (before, others_before), (after, others_after) = found
    assert others_before == others_after
    for one, other in zip(before, after, strict=True):
        assert one.plugins is not None
        assert one.plugins.startswith("criterion:smallest:")
        assert one.run_id != other.run_id
        assert one.protocol != other.protocol
    dense = TicketStreamRun.checked(criterion="smallest", subnetwork="dense", ticket_tasks=2)
    assert dense.run_id == TicketStreamRun.checked(subnetwork="dense", ticket_tasks=2).run_id
    plugins.forget()  # as in a worker that gets only what its runs use
    assert TicketStreamRun.checked(**dense.model_dump()).run_id == dense.run_id
    assert TicketsRun.checked(**after[0].model_dump()).run_id == after[0].run_id


def test_a_run_of_another_process_is_known_by_its_code(tmp_path: Path) -> None:
    _load(tmp_path, _EVERYTHING)
    run = TicketMeasurementRun.checked(
        shift="same", network="linear", metrics="biggest", measured="metric"
    )
    plugins.forget()
    again = TicketMeasurementRun.checked(**run.model_dump())
    assert (again.run_id, again.protocol) == (run.run_id, run.protocol)
    assert (again.learner.run_id, again.search.run_id) == (run.learner.run_id, run.search.run_id)
    with pytest.raises(OptionError, match="intervention=frozen: must be one of"):
        TicketMeasurementRun.checked(**{**run.model_dump(), "intervention": "frozen"})
    with pytest.raises(OptionError, match="network=linear: must be of a plugin that is loaded"):
        networks.build(again, (1, 8, 8), 10, RandomKey((0,)))


def test_only_what_runs_use_is_sent_and_executed_once(tmp_path: Path) -> None:
    _load(tmp_path, _SHIFT)
    _load(tmp_path, _EVERYTHING.replace("import nn", "import nn\nprint('executed')"), "other.py")
    assert registry.texts([None, StreamRun.checked().plugins]) == []
    sent = registry.texts([None, StreamRun.checked(shift="darker").plugins])
    assert [Path(text["origin"]).name for text in sent] == ["mine.py"]
    assert sent[0]["source"] == _SHIFT
    everything = registry.texts(
        [StreamRun.checked(shift="darker").plugins, StreamRun.checked(shift="same").plugins]
    )
    code = StreamRun.checked(shift="darker").plugins
    plugins.forget()
    registry.install(everything)
    darker = registry.get("shift", "darker")
    registry.install(everything)
    assert registry.get("shift", "darker") is darker
    assert StreamRun.checked(shift="darker").plugins == code


# ------------------------------------------------------------------ what is refused


def test_importing_a_plugin_registers_nothing(tmp_path: Path) -> None:
    """As its own tests do, and as another plugin may."""
    _file(tmp_path, _SHIFT, "raylot_test_darker.py")
    source = """
    import sys
    sys.path.insert(0, {folder!r})
    from raylot import plugins
    from raylot_test_darker import darker
    sys.path.remove({folder!r})
    plugins.shift("other")(darker)
    """
    _load(tmp_path, source.format(folder=str(tmp_path)))
    assert set(registry.names("shift")) - {*BUILT_IN["shift"]} == {"other"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = (", "SyntaxError: '(' was never closed (mine.py, line 1)"),
        ("x = 1\n1/0", "ZeroDivisionError: division by zero (at mine.py:2)"),
        ("x = 1", "it registers nothing"),
        ("raise SystemExit(0)", "SystemExit: 0 (at mine.py:1)"),
        ("class Own(BaseException): pass\nraise Own('stop')", "Own: stop (at mine.py:2)"),
        ("raise ValueError('\\x1b]0;owned\\x07 http://me:word@host')",
         "ValueError: \\x1b]0;owned\\x07 http://***@host (at mine.py:1)"),
        ("import no_such_module",
         "ModuleNotFoundError: No module named 'no_such_module' (at mine.py:1)"),
        ("from . import other",
         "ImportError: attempted relative import with no known parent package (at mine.py:1)"),
        ("from raylot import plugins\nplugins.shift('noise')(lambda a, b, c, d: a)",
         "shift noise: must have another name, as this is built in (at mine.py:2)"),
        ("from raylot import plugins\nplugins.metric('seed')(lambda a: 1)",
         "metric seed: must have another name, as tables or the analysis use this one "
         "(at mine.py:2)"),
        ("from raylot import plugins\n\n@plugins.shift('mine')\ndef f(dataset, t): pass",
         "shift mine: must take (dataset, options, key, t) (at mine.py:3)"),
        ("from raylot import plugins\nplugins.criterion('movement')(lambda context: {})",
         "criterion movement: must have another name, as this is built in (at mine.py:2)"),
        ("from raylot import plugins\nplugins.criterion('mine')(lambda weights, key: {})",
         "criterion mine: must take (context) (at mine.py:2)"),
        ("from raylot import plugins\n@plugins.shift\ndef f(dataset, options, key, t): pass",
         "shift f: must be given a name of at most 50 small letters, digits and \"_\", "
         'as @plugins.shift("mine") (at mine.py:2)'),
        ("from raylot import plugins\nplugins.metric('a', of='network', combine=max)(len)",
         "metric a: combine must be a function of values and sizes, and is not for "
         "of=network (at mine.py:2)"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plugin_is_told_in_one_line(
    source: str, reason: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, source)
    with pytest.raises(OptionError) as caught:
        plugins.load(path)
    assert str(caught.value) == (
        f"plugin={path}: must be a Python file that registers data sets, shifts, networks, "
        f"criteria, metrics or interventions; {reason}"
    )
    assert registry.texts(["shift:mine:0"]) == []


def test_a_name_is_registered_once(tmp_path: Path) -> None:
    _load(tmp_path, _SHIFT)
    first = tmp_path / "mine.py"
    with pytest.raises(
        OptionError, match=rf"registered once; {first} has it too \(at other.py:8\)"
    ):
        _load(tmp_path, _SHIFT, "other.py")
    plugins.load(first)  # again: takes its own place


# ------------------------------------------------------------------ installed packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a plugin that has a helper beside it, as pip would leave it."""
    package = tmp_path / "site" / "raylot_test_package"
    package.mkdir(parents=True)
    _file(package, "", "__init__.py")
    _file(package, "FACTOR = 0.5", "helper.py")
    source = _SHIFT.replace("HALF = 0.5", "from .helper import FACTOR as HALF")
    _file(package, source, "shifts.py")
    meta = tmp_path / "site" / "raylot_test_package-1.0.dist-info"
    meta.mkdir()
    _file(meta, "Metadata-Version: 2.1\nName: raylot-test-package\nVersion: 1.0\n", "METADATA")
    _file(meta, "[raylot.plugins]\nmine = raylot_test_package.shifts\n", "entry_points.txt")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


def test_an_installed_plugin_is_found_by_name(installed: Path) -> None:
    assert StreamRun.checked(shift="noise").plugins is None
    assert "darker" not in registry.names("shift")  # nothing was asked for that is not built in
    run = StreamRun.checked(shift="darker")
    (sent,) = registry.texts([run.plugins])
    assert (sent["origin"], sent["package"]) == (
        "raylot_test_package.shifts", "raylot_test_package"
    )  # fmt: skip
    plugins.forget()
    registry.install([sent])
    task = make_task(load_dataset("digits"), ShiftOptions(shift="darker"), 0, 1)
    assert torch.equal(task.train_inputs, load_dataset("digits").train_inputs // 2)


def test_the_version_of_an_installed_plugin_counts(installed: Path) -> None:
    before = StreamRun.checked(shift="darker").plugins
    metadata = installed / "raylot_test_package-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    plugins.forget()
    assert StreamRun.checked(shift="darker").plugins != before


def test_broken_installed_plugins_are_named_where_a_name_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "raylot_quitting_package"
    package.mkdir()
    (package / "__init__.py").write_text("import sys\nsys.exit(0)\n")
    (package / "shifts.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    names = ("raylot_no_such_package.shifts", "raylot_quitting_package.shifts")
    points = [EntryPoint("x", name, registry.ENTRY_POINTS) for name in names]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert StreamRun.checked(shift="noise").shift == "noise"
    missing, quitting = (f"plugin={name}: must be" for name in names)
    with pytest.raises(OptionError, match=f"adds others; {missing} .*; {quitting} .* SystemExit"):
        StreamRun.checked(shift="darker")
