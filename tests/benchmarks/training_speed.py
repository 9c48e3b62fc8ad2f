"""How long a training step takes: in the usual loop, in raylot's engines, and at the least.

    python tests/benchmarks/training_speed.py --data-root data --download

The original study's network and task: 784-256-10 on MNIST with permuted pixels, batches of 32,
Adam. Every training starts from the same network, which was trained for an epoch, with moments of
0. Its masks keep the largest weights of each layer, as one-shot magnitude pruning of it does, so
that survivors are spread over pixels and units much as a ticket's are. Only the training loop is
timed, on one core, all contenders in turn, over and over.

Absolute times mean little on a machine that others use: compare minima, as ratios, of one run.
"""

from __future__ import annotations

import argparse
import copy
import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.optim.adam import adam
from torch.utils.data import DataLoader, TensorDataset

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import full_masks, prune
from raylot.networks import mlp
from raylot.networks.prunable import prunable_weights
from raylot.tasks import Task, load_dataset, permute_pixels
from raylot.training import Masks, train

BATCH, HIDDEN = 32, 256
KEY = RandomKey((0, "benchmark"))
USUAL, LIMIT = "usual loop", "library limit"

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
    print(table(measure(contenders(raw, standardised), options.steps, options.repeats)))
    return 0


def contenders(raw: Task, standardised: Task) -> dict[str, Contender]:
    """What is compared, by the name of its row, given MNIST in both scalings."""
    permutation = KEY.child("pixels").generator().permutation(math.prod(raw.input_shape))
    raw, standardised = (permute_pixels(task, permutation) for task in (raw, standardised))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = mlp(raw.input_shape, [HIDDEN], raw.classes)
    train(
        network, raw, epochs=1, batch_size=BATCH, optimizer=OptimizerOptions(),
        key=KEY.child("start"), engine="generic",
    )  # fmt: skip
    rows: dict[str, Contender] = {USUAL: functools.partial(usual_loop, network, raw)}
    for engine, densities in (("generic", (0.2,)), ("fast", (0.2, 0.05))):
        trained = functools.partial(engine_seconds, network, engine=engine)
        rows[f"{engine} engine, dense"] = functools.partial(trained, raw)
        for density in densities:
            masks = _magnitude_masks(network, density)
            for masked in ("zero", "freeze"):
                rows[f"{engine} engine, {density:.0%} density, {masked}"] = functools.partial(
                    trained, raw, masks=masks, masked=masked
                )
        rows[f"{engine} engine, dense, standardised"] = functools.partial(trained, standardised)
    rows[LIMIT] = functools.partial(library_limit, network)
    return rows


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


def measure(rows: Mapping[str, Contender], steps: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds per step of each contender, once per repeat, after one more to warm up."""
    times: dict[str, list[float]] = {name: [] for name in rows}
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


def _magnitude_masks(network: nn.Module, density: float) -> Masks:
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
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
