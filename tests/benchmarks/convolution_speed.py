"""How long a step of a convolutional network takes: usually, in raylot, and at the least.

    python -m tests.benchmarks.convolution_speed

Random images of CIFAR-10's shape, batches of 32, Adam, on one core. The library limit is the
forward and backward pass of the network's convolutions alone, each on inputs that lie ready. The
times are the processor's, of all contenders in turn, over and over; a training includes what it
does around its steps. With --evaluation it compares forward passes of test images, by batch size.
"""

from __future__ import annotations

import argparse
import copy
import functools
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from raylot import networks
from raylot.config import NetworkOptions, OptimizerOptions
from raylot.tasks import Task
from raylot.training import Masks, evaluate, evaluation, train
from raylot.training.memory_format import channels_last
from tests.benchmarks.training_speed import (
    BATCH,
    KEY,
    LIMIT,
    USUAL,
    Contender,
    magnitude_masks,
    measure,
    table,
    usual_loop,
)

#: Networks by name, and the part of their published channels that is quick enough to measure.
NETWORKS = {"conv2": 1.0, "conv4": 1.0, "conv6": 1.0, "vgg11": 0.25, "resnet20": 1.0}

#: At the last one, many channels are cut off from the output.
DENSITIES = (0.2, 0.01)

SHAPE, CLASSES = (3, 32, 32), 10
TRAINED, TESTED = 20 * BATCH, 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table for each network."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{options.repeats} x {options.steps} steps, one core, torch {torch.__version__}")
    for name in options.networks:
        network = networks.build(
            NetworkOptions(network=name, width_scale=options.scale or NETWORKS[name]),
            SHAPE, CLASSES, KEY.child("network"),
        )  # fmt: skip
        print(f"\n{name}, {sum(p.numel() for p in network.parameters()):,} parameters")
        if options.evaluation:
            print(evaluation_table(network, options.repeats))
        else:
            print(table(measure(contenders(network), options.steps, options.repeats)))
    return 0


def contenders(network: nn.Module) -> dict[str, Contender]:
    """Returns the contenders by the names of their rows."""
    task = images(TRAINED, 1)
    rows: dict[str, Contender] = {
        USUAL: functools.partial(usual_loop, network, task),
        "generic engine, dense": functools.partial(engine_steps, network, task, None),
    }
    for density in DENSITIES:
        masks = magnitude_masks(network, density)
        rows[f"generic engine, {density:.0%} density"] = functools.partial(
            engine_steps, network, task, masks
        )
    rows[LIMIT] = convolutions_alone(network)
    return {name: functools.partial(_processor_seconds, row) for name, row in rows.items()}


def images(trained: int, tested: int) -> Task:
    """Random images with random labels."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (trained + tested, *SHAPE), generator=generator)
    labels = torch.randint(0, CLASSES, (trained + tested,), generator=generator)
    inputs = inputs.to(torch.uint8)
    return Task(
        inputs[:trained], labels[:trained], inputs[trained:], labels[trained:], CLASSES,
        divisor=255.0,
    )  # fmt: skip


def engine_steps(network: nn.Module, task: Task, masks: Masks | None, steps: int) -> None:
    """Trains a copy of a network by raylot's generic engine."""
    train(
        copy.deepcopy(network), task, epochs=-(-steps * BATCH // TRAINED), batch_size=BATCH,
        optimizer=OptimizerOptions(), key=KEY, masks=masks, max_steps=steps, engine="generic",
    )  # fmt: skip


def convolutions_alone(network: nn.Module) -> Callable[[int], None]:
    """Returns what computes a network's convolutions in so many steps, and nothing else."""
    seen: list[tuple[nn.Conv2d, Tensor, Tensor]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor], outputs: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        given = inputs[0].detach()
        seen.append((layer, given.requires_grad_(bool(seen)), torch.randn_like(outputs)))

    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)  # type: ignore[arg-type]
    network(channels_last(torch.rand(BATCH, *SHAPE)))

    def take(steps: int) -> None:
        for _ in range(steps):
            for layer, given, slope in seen:
                outputs = nn.functional.conv2d(
                    given, layer.weight, layer.bias, layer.stride, layer.padding
                )
                wanted = [*layer.parameters(), *([given] if given.requires_grad else [])]
                torch.autograd.grad(outputs, wanted, slope)

    return take


def evaluation_table(network: nn.Module, repeats: int) -> str:
    """Processor time of evaluating an example, by the batch size of forward passes."""
    task = images(BATCH, TESTED)
    lines = [f"{'examples per forward pass':28}{'microseconds per example, minimum':>34}"]
    usual = evaluation.CONVOLUTION_BATCH
    for size in (16, 32, 64, 128, 256, 1024):
        evaluation.CONVOLUTION_BATCH = size
        least = min(
            _processor_seconds(lambda _: evaluate(network, task), 1) for _ in range(repeats + 1)
        )
        lines.append(f"{size:<28}{least / TESTED * 1e6:34.0f}")
    evaluation.CONVOLUTION_BATCH = usual
    return "\n".join(lines)


def _processor_seconds(work: Callable[[int], object], steps: int) -> float:
    started = time.process_time()
    work(steps)
    return time.process_time() - started


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=20, help="per training and repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, help="of channels, instead of each network's own")
    parser.add_argument(
        "--evaluation", action="store_true", help="compare batch sizes of forward passes instead"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
