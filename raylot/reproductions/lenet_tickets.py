"""Winning tickets of LeNet-300-100 on MNIST (Frankle & Carbin 2019, arXiv 1803.03635).

Published: Adam at 1.2e-3, batches of 60, 50,000 steps, Glorot's normal initialisation, 20% of each
layer's weights pruned per round and 10% of the output layer's, five trials, three random
re-initialisations of each. Where a validation split would have stopped training early, a ticket of
21.1% of the weights (7 rounds) gets there sooner and is more accurate than the dense network, and
2.51 times as soon and half a point more accurate than the same ticket re-initialised; at 3.6% (15
rounds) it is as accurate as the dense network.

Here: no split is held out, so accuracies are those of the test split at the end of training. How
fast a network learns is its accuracy over all training examples as they come, each before its
update, which falls as a curve rises later. With ``--full`` the training has the published 50,000
steps; without, 15,000, as many as suffice for 98%.
"""

from __future__ import annotations

from raylot.foundation.names import DENSE, REINIT
from raylot.reproductions._experiment import FROM_MEMORY, Experiment, above, number
from raylot.reproductions._readings import minus, of_tickets

#: Sparsities that leave 21.1% and 3.6% of all weights, as the output layer is pruned at half rate.
_AT_21, _AT_3 = 0.7903, 0.9648

_PAPER = f"section 2, {FROM_MEMORY}"

_SPEED = "online_accuracy"

EXPERIMENT = Experiment(
    question="Are tickets of LeNet-300-100 faster and better than the dense network on MNIST?",
    source="Frankle & Carbin 2019, The lottery ticket hypothesis, arXiv 1803.03635",
    options={
        "dataset": "mnist",
        "scaling": "unit",
        "shifts": "stationary",
        "network": "lenet_300_100",
        "initialisation": "glorot_normal",
        "lr": 1.2e-3,
        "batch_size": 60,
        "epochs": 15,
        "tasks": 1,
        "snapshots": "0",
        "search_task": "own",
        "sparsities": f"{_AT_21},{_AT_3}",
        "rounds": f"{_AT_21}:7,{_AT_3}:15",
        "output_rate": 0.5,
        "tickets": 1,
        "untrained_masks": 0,
        "reinit_tickets": 1,
        "probe_tasks": 0,
        "seeds": "0-2",
    },
    full={"epochs": 50, "seeds": "0-4", "reinit_tickets": 3},
    reduced=(
        "15,000 steps per training instead of 50,000, 3 seeds instead of 5, and one random "
        "re-initialisation of each ticket instead of 3"
    ),
    otherwise=(
        "no validation split is held out, so accuracies are those at the end of training, not at "
        "an early stop"
    ),
    stages=("streams", "tickets"),
    measured="about 10 core-minutes on an AMD EPYC, at 0.2 to 0.5 ms per step",
    published=(
        number(
            "accuracy of the dense network",
            of_tickets(_AT_21, DENSE),
            0.983,
            f"Frankle et al. 2020 (arXiv 1912.05671), 24,000 steps; {FROM_MEMORY}",
            spread=0.001,
            runs=5,
        ),
        above(
            "accuracy of the ticket of 13.5% (9 rounds) minus the dense network's",
            minus(of_tickets(_AT_3, round_index=9), of_tickets(_AT_3, DENSE)),
            f"more than 0.3 points; {_PAPER}",
            bound=0.003,
        ),
        above(
            "accuracy of the ticket of 3.6% minus the dense network's",
            minus(of_tickets(_AT_3), of_tickets(_AT_3, DENSE)),
            f"as accurate, here read as at most 0.3 points less; {_PAPER}",
            bound=-0.003,
        ),
        number(
            "accuracy of the ticket of 21.1% minus that of it re-initialised",
            minus(of_tickets(_AT_21), of_tickets(_AT_21, REINIT)),
            0.005,
            f"half a point; {_PAPER}, but quoted alike by others who ran it again",
            runs=5,
        ),
        above(
            "accuracy while learning of the ticket of 21.1% minus the dense network's",
            minus(of_tickets(_AT_21, measure=_SPEED), of_tickets(_AT_21, DENSE, _SPEED)),
            f"learns faster (early stop 38% sooner); {_PAPER}",
        ),
        above(
            "accuracy while learning of the ticket of 21.1% minus that of it re-initialised",
            minus(of_tickets(_AT_21, measure=_SPEED), of_tickets(_AT_21, REINIT, _SPEED)),
            f"learns faster (early stop 2.51 times as soon); {_PAPER}",
        ),
    ),
)
