"""One network on one stream of tasks, from the data to the figure, in one file and without Ray.

Does a network that loses plasticity also run out of winning lottery tickets? Every task shows
scikit-learn's handwritten digits with their pixels in a new random order, so there is always
something to learn. Every few tasks we stop and ask three questions:

- Plasticity: how well does the network learn this task, next to a fresh network?
- Structure: how many of its units are dead, and how large have its weights become?
- Tickets: do the small subnetworks that pruning finds learn better than random ones, and how many
  of them differ?

    python examples/one_stream.py                     # some seconds, and a first time some more
    python examples/one_stream.py --tasks 61 --seed 1 --figure seed1.png

One stream shows what happens, not that it always does: for that, run many seeds and a stationary
control with `raylot.run` (see study.ipynb beside this file).
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import torch

import raylot
from raylot import plasticity
from raylot.config import OptimizerOptions, PlasticityOptions
from raylot.foundation.randomness import RandomKey
from raylot.training import train

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--tasks", type=int, default=31, help="tasks in the stream")
parser.add_argument("--every", type=int, default=10, help="tasks between two snapshots")
parser.add_argument("--epochs", type=int, default=4, help="passes over each task")
parser.add_argument("--hidden", type=int, default=64, help="hidden units")
parser.add_argument("--lr", type=float, default=0.005, help="Adam's learning rate")
parser.add_argument("--sparsity", type=float, default=0.8, help="share of the weights to prune")
parser.add_argument("--tickets", type=int, default=4, help="tickets to search per snapshot")
parser.add_argument("--seed", type=int, default=0, help="decides every random draw")
parser.add_argument("--figure", default="one_stream.png", help="where to draw the result")
options = parser.parse_args()

# 1,437 training and 360 test images of 8x8 pixels. They stay raw (0 to 16): on such inputs
# plasticity is lost within some thirty tasks.
dataset = raylot.load_dataset("digits")


def make_task(t):
    """Task t: the same digits, with their 64 pixels in an order of its own."""
    order = np.random.default_rng([options.seed, t]).permutation(64)
    return raylot.permute_pixels(dataset, order)


def new_network(index):
    """A freshly initialised perceptron: 64 pixels -> hidden ReLU units -> 10 digits."""
    torch.manual_seed(1_000_000 * options.seed + index)
    return raylot.mlp(dataset.input_shape, hidden=[options.hidden], classes=dataset.classes)


def learn(network, task, t):
    """Trains a network on a task, in place; returns its test accuracy afterwards."""
    key = RandomKey((options.seed, "data order", t))  # the same for every network on this task
    adam = OptimizerOptions(optimizer="adam", lr=options.lr)
    result = train(network, task, epochs=options.epochs, batch_size=32, optimizer=adam, key=key)
    return result.test_accuracy


network = new_network(0)
snapshots = []
print("task   learns  fresh network   dead units  mean |w|   tickets: minus random  distinct")
for t in range(options.tasks):
    task = make_task(t)
    if t % options.every == 0:  # a snapshot: look at the network before it trains on task t
        found = plasticity.measure(
            network, task, PlasticityOptions(ntk_examples=0), RandomKey((options.seed, "probe"))
        )
        structure = {row["metric"]: row["value"] for row in found if row["layer"] == "all"}
        fresh_accuracy = learn(new_network(1 + t), task, t)
        # Iterative magnitude pruning: train, remove the smallest weights, go back to the
        # snapshot's weights, and again. The tickets differ in their data order only. What makes
        # them tickets is that they are more accurate than random masks of the same density.
        tickets = raylot.find_tickets(
            network, task, sparsity=options.sparsity, rounds=3, count=options.tickets,
            epochs=options.epochs, lr=options.lr, seed=options.seed,
        )  # fmt: skip
    accuracy = learn(network, task, t)  # the stream goes on: this network keeps what it becomes
    if t % options.every == 0:
        advantage = np.mean(tickets.accuracies) - np.mean(tickets.random_accuracies)
        snapshots.append((t, accuracy, fresh_accuracy, advantage))
        print(
            f"{t:>4}{accuracy:>9.3f}{fresh_accuracy:>15.3f}{structure['dead_fraction']:>13.2f}"
            f"{structure['weight_magnitude']:>10.2f}{advantage:>+24.3f}{tickets.ticket_count:>10.2f}"
        )

at, accuracies, fresh_accuracies, advantages = zip(*snapshots, strict=True)
figure, (above, below) = plt.subplots(2, sharex=True, figsize=(6, 5), layout="constrained")
above.plot(at, fresh_accuracies, "o--", color="grey", label="a fresh network")
above.plot(at, accuracies, "o-", label="the network of the stream")
above.set(ylabel="test accuracy after the task", title="What the network still learns")
above.legend()
below.plot(at, advantages, "o-", color="C1")
below.axhline(0, color="grey", linestyle="--")
below.set(xlabel="task", ylabel="difference of accuracies")
below.set_title("Accuracy of tickets minus that of random masks")
figure.savefig(options.figure, dpi=150)
print(f"drawn: {options.figure}")
