"""How long a training step takes: in the usual loop, in raylot's engines, and at the least.

    python tests/benchmarks/training_speed.py --data-root data --download

The original study's network and task: 784-256-10 on MNIST with permuted pixels, batches of 32,
Adam. Every training starts from the same network, which was trained for an epoch, with moments of
0. Its masks keep the largest weights of each layer, as one-shot magnitude pruning of it does, so
that survivors are spread over pixels and units much as a ticket's are. Only the training loop is
timed, on one core, all contenders in turn, over and over.

With --interventions it compares engines with each method that keeps plasticity, and with what else
acts within steps, by network and density: processor time of whole tasks of a stream, of as many
steps as studies train, with what a method does at their end.

With --online it compares steps on one example each, by engine: of Dohare et al.'s (2024) network
for permuted MNIST, with each optimizer, and of their five units for regression on bits.

Absolute times mean little on a machine that others use: compare minima, as ratios, of one run.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import nn
from torch.optim.adam import adam
from torch.utils.data import DataLoader, TensorDataset

from raylot import interventions, networks
from raylot.config import NetworkOptions, OptimizerOptions, StreamRun
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import full_masks, prune
from raylot.networks.prunable import prunable_weights
from raylot.tasks import Task, load_dataset, permute_pixels
from raylot.training import Masks, train

BATCH, HIDDEN = 32, 256
KEY = RandomKey((0, "benchmark"))
USUAL, LIMIT = "usual loop", "library limit"

#: What is compared by engine: all that acts in a training but the methods that the fast engine
#: lacks, with default options.
METHODS: dict[str, dict[str, object]] = {
    name: {"intervention": name}
    for name in BUILT_IN["intervention"]
    if name not in ("weight_projection", "plasticity_injection")
} | {
    "shrink_and_perturb, each step": {
        "intervention": "shrink_and_perturb", "perturb_every": "step", "shrink": 0.9999,
        "perturb": 1e-4,
    },
    "optimizer_reset": {"intervention": "optimizer_reset", "carry_optimizer": True},
    "none, cosine and clip_norm 1": {"schedule": "cosine", "clip_norm": 1.0},
    "none, rmsprop": {"optimizer": "rmsprop"},
}  # fmt: skip

Name = TypeVar("Name", bound=Hashable)

#: Takes so many training steps; returns the seconds of its loop.
Contender = Callable[[int], float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns 2 if there is no MNIST."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        raw, standardised = (
            load_dataset(
                "mnist", root=options.data_root, scaling=scaling, download=options.download
            )
            for scaling in ("raw", "standardize")
        )
    except OptionError:
        print(
            f"--data-root={options.data_root}: must be the folder that holds MNIST in "
            "torchvision's layout, MNIST/raw/train-images-idx3-ubyte and its three siblings; "
            "--download puts them there",
            file=sys.stderr,
        )
        return 2
    print(f"{options.repeats} x {options.steps} steps, one core, torch {torch.__version__}\n")
    if options.online:
        print(table_online(measure(contenders_online(raw), options.steps, options.repeats)))
        return 0
    if options.interventions:
        rows = contenders_by_method(raw)
        print(table_by_method(measure(rows, options.steps, options.repeats)))
    else:
        print(table(measure(contenders(raw, standardised), options.steps, options.repeats)))
    return 0


def contenders(raw: Task, standardised: Task) -> dict[str, Contender]:
    """Returns the contenders by the names of their rows, given MNIST in both scalings."""
    permutation = KEY.child("pixels").generator().permutation(math.prod(raw.input_shape))
    raw, standardised = (permute_pixels(task, permutation) for task in (raw, standardised))
    network = _trained_for_an_epoch(raw, HIDDEN)
    rows: dict[str, Contender] = {USUAL: functools.partial(usual_loop, network, raw)}
    for engine, densities in (("generic", (0.2,)), ("fast", (0.2, 0.05))):
        trained = functools.partial(engine_seconds, network, engine=engine)
        rows[f"{engine} engine, dense"] = functools.partial(trained, raw)
        for density in densities:
            masks = magnitude_masks(network, density)
            for masked in ("zero", "freeze"):
                rows[f"{engine} engine, {density:.0%} density, {masked}"] = functools.partial(
                    trained, raw, masks=masks, masked=masked
                )
        rows[f"{engine} engine, dense, standardised"] = functools.partial(trained, standardised)
    rows[LIMIT] = functools.partial(library_limit, network)
    return rows


def contenders_by_method(mnist: Task) -> dict[tuple[str, str, str], Contender]:
    """What is compared, by method, network with density, and engine."""
    rows: dict[tuple[str, str, str], Contender] = {}
    digits = load_dataset("digits")
    for task, units, epochs in ((digits, 64, 4), (mnist, HIDDEN, 1)):
        network = _trained_for_an_epoch(task, units)
        sizes = f"{math.prod(task.input_shape)}-{units}-{task.classes}"
        for method, density in itertools.product(METHODS, (1.0, 0.2)):
            masks = None if density == 1 else magnitude_masks(network, density)
            for engine in ("generic", "fast"):
                rows[method, f"{sizes}, {density:.0%}", engine] = functools.partial(
                    stream_seconds, network, task, epochs=epochs, engine=engine, masks=masks,
                    method=method,
                )  # fmt: skip
    return rows


#: Optimizers whose steps on single examples are compared.
ONLINE = {
    "sgd": OptimizerOptions(optimizer="sgd", lr=0.003),
    "sgd, weight decay": OptimizerOptions(optimizer="sgd", lr=0.003, weight_decay=1e-4),
    "sgd, momentum": OptimizerOptions(optimizer="sgd", lr=3e-4, momentum=0.9),
    "adamw": OptimizerOptions(optimizer="adamw", lr=1e-4, weight_decay=0.01),
    "adam": OptimizerOptions(lr=1e-4),
}


def contenders_online(raw: Task) -> dict[tuple[str, str], Contender]:
    """What is compared on single examples, by the names of its row and its engine."""
    unit = dataclasses.replace(raw, divisor=255.0)
    bits = (torch.rand(10_000, 21, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    targets = bits.sum(1, keepdim=True).sin()
    regression = Task(bits, targets, bits[:1], targets[:1], None)
    cases = [
        (f"784-100-100-100-10, {name}", unit, (100, 100, 100), options)
        for name, options in ONLINE.items()
    ]
    cases.append(("21-5-1, squared error, sgd", regression, (5,), ONLINE["sgd"]))
    rows: dict[tuple[str, str], Contender] = {}
    for name, task, hidden, options in cases:
        network = networks.build(
            NetworkOptions(hidden=hidden), task.input_shape, task.outputs, KEY.child("network")
        )
        for engine in ("generic", "fast"):
            rows[name, engine] = functools.partial(
                online_seconds, network, task, options, engine=engine
            )
    return rows


def online_seconds(
    network: nn.Module, task: Task, options: OptimizerOptions, steps: int, *, engine: str
) -> float:
    """Processor time of steps on one example each, tested on a single one."""
    task = dataclasses.replace(
        task, test_inputs=task.test_inputs[:1], test_labels=task.test_labels[:1]
    )
    network = copy.deepcopy(network)
    epochs = math.ceil(steps / len(task.train_labels))
    started = time.process_time()
    train(
        network, task, epochs=epochs, batch_size=1, optimizer=options, key=KEY, max_steps=steps,
        engine=engine,
    )  # fmt: skip
    return time.process_time() - started


def _trained_for_an_epoch(task: Task, units: int) -> nn.Module:
    options = NetworkOptions(hidden=(units,))
    network = networks.build(options, task.input_shape, task.classes, KEY.child("network"))
    train(
        network, task, epochs=1, batch_size=BATCH, optimizer=OptimizerOptions(),
        key=KEY.child("start"), engine="generic",
    )  # fmt: skip
    return network


def usual_loop(network: nn.Module, task: Task, steps: int) -> float:
    """Training as people write it."""
    network = copy.deepcopy(network)
    examples = TensorDataset(task.scale(task.train_inputs), task.train_labels)
    loader = DataLoader(examples, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    running_loss, correct, seen, step = 0.0, 0, 0, 0
    network.train()
    started = time.perf_counter()
    while step < steps:
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = network(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            correct += (outputs.argmax(1) == labels).sum().item()
            seen += len(labels)
            step += 1
            if step == steps:
                break
    return time.perf_counter() - started


def library_limit(network: nn.Module, steps: int) -> float:
    """What a dense step cannot do without: the first layer's two products, and Adam's update.

    Nothing is allocated and nothing else is computed; the numbers are random.
    """
    generator = torch.Generator().manual_seed(0)
    weight = next(p.detach().clone() for p in network.parameters())
    units, pixels = weight.shape
    inputs = torch.rand(BATCH, pixels, generator=generator)
    errors = torch.rand(BATCH, units, generator=generator)
    hidden, gradient = torch.empty(BATCH, units), torch.empty(units, pixels)
    vector = torch.cat([p.detach().flatten() for p in network.parameters()])
    slope = torch.rand(vector.shape, generator=generator)
    mean, square, step = torch.zeros_like(vector), torch.zeros_like(vector), torch.zeros(())
    started = time.perf_counter()
    for _ in range(steps):
        torch.mm(inputs, weight.t(), out=hidden)
        torch.mm(errors.t(), inputs, out=gradient)
        adam(
            [vector], [slope], [mean], [square], [], [step], fused=True, amsgrad=False,
            beta1=0.9, beta2=0.999, lr=0.001, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
    return time.perf_counter() - started


def measure(rows: Mapping[Name, Contender], steps: int, repeats: int) -> dict[Name, list[float]]:
    """Milliseconds per step of each contender, once per repeat, after one more to warm up."""
    times: dict[Name, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 1):
        for name, contender in rows.items():
            seconds = contender(steps)
            if repeat:
                times[name].append(seconds / steps * 1000)
    return times


def table(times: Mapping[str, Sequence[float]]) -> str:
    """A line per contender; ratios are those of minima."""
    usual, limit = min(times[USUAL]), min(times[LIMIT])
    lines = [f"{'':38}{'ms/step':>9}{'':9}{'ratio of minima to':>24}"]
    lines.append(f"{'':38}{'minimum':>9}{'median':>9}{USUAL:>12}{LIMIT:>15}")
    for name, values in times.items():
        least = min(values)
        lines.append(
            f"{name:38}{least:9.3f}{statistics.median(values):9.3f}"
            f"{least / usual:12.2f}{least / limit:15.2f}"
        )
    return "\n".join(lines)


def table_by_method(times: Mapping[tuple[str, str, str], Sequence[float]]) -> str:
    """A line per method; per network and density the minima of both engines, and their ratio."""
    groups = list(dict.fromkeys(group for _, group, _ in times))
    lines = [f"{'ms/step':32}" + "".join(f"{group:>28}" for group in groups)]
    lines.append(f"{'':32}" + f"{'generic':>12}{'fast':>9}{'ratio':>7}" * len(groups))
    for method in dict.fromkeys(method for method, _, _ in times):
        line = f"{method:32}"
        for group in groups:
            generic, fast = (min(times[method, group, e]) for e in ("generic", "fast"))
            line += f"{generic:12.3f}{fast:9.3f}{generic / fast:7.1f}"
        lines.append(line)
    return "\n".join(lines)


def table_online(times: Mapping[tuple[str, str], Sequence[float]]) -> str:
    """A line per network and optimizer: minima in microseconds, and their ratio."""
    lines = [f"{'microseconds per step':38}{'generic':>9}{'fast':>9}{'ratio':>8}"]
    for row in dict.fromkeys(row for row, _ in times):
        generic, fast = (1000 * min(times[row, engine]) for engine in ("generic", "fast"))
        lines.append(f"{row:38}{generic:9.1f}{fast:9.1f}{generic / fast:8.1f}")
    return "\n".join(lines)


def magnitude_masks(network: nn.Module, density: float) -> Masks:
    scores = {name: weight.abs() for name, weight in prunable_weights(network).items()}
    return prune(scores, full_masks(network), sparsity=1 - density, round_index=1, rounds=1)


def engine_seconds(
    network: nn.Module, task: Task, steps: int, *, engine: str, masks: Masks | None = None,
    masked: str = "zero",
) -> float:  # fmt: skip
    """One of raylot's engines, on a copy of a network."""
    return train(
        copy.deepcopy(network), task, epochs=_epochs(task, steps), batch_size=BATCH,
        optimizer=OptimizerOptions(), key=KEY, masks=masks, masked=masked, max_steps=steps,
        engine=engine,
    ).seconds  # fmt: skip


def stream_seconds(
    network: nn.Module, task: Task, steps: int, *, epochs: int, engine: str, masks: Masks | None,
    method: str,
) -> float:  # fmt: skip
    """Processor time of tasks of so many epochs, one after another, tested on a single example."""
    network = copy.deepcopy(network)
    task = dataclasses.replace(
        task, test_inputs=task.test_inputs[:1], test_labels=task.test_labels[:1]
    )
    initial = copy.deepcopy(network.state_dict())
    options = StreamRun.checked(**METHODS[method])
    made = interventions.make(options)
    left = steps
    started = time.process_time()
    while left:
        left -= train(
            network, task, epochs=epochs, batch_size=BATCH, optimizer=options,
            key=KEY.child(left), masks=masks, max_steps=left, intervention=made, initial=initial,
            whole_task=True, engine=engine,
        ).steps  # fmt: skip
    return time.process_time() - started


def _epochs(task: Task, steps: int) -> int:
    return math.ceil(steps * BATCH / len(task.train_labels))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-root", default="data", help="holds MNIST/raw/...")
    parser.add_argument("--download", action="store_true", help="put MNIST there if it is missing")
    parser.add_argument(
        "--steps", type=_positive, default=1875, help="per training and repeat (default: an epoch)"
    )
    parser.add_argument("--repeats", type=_positive, default=5)
    parser.add_argument("--interventions", action="store_true", help="compare engines by method")
    parser.add_argument(
        "--online", action="store_true", help="compare steps on single examples, by optimizer"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
