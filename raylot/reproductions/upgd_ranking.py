"""Methods on input-permuted MNIST, an example at a time (Elsayed & Mahmood, arXiv 2404.00781).

Published: 300 and 150 hidden units, a million examples in batches of one, a new permutation of the
pixels every 5,000, 20 seeds, and for each method its best settings
(experiments/statistics_input_permuted_mnist.py in mohmdelsayed/upgd). UPGD's online accuracy stays
at about 0.78 over all 200 tasks, Adam's decays to about 0.68, and UPGD "surpasses or is competitive
with all methods" (abstract; the curves were read off figure 3 by others, who with the authors'
settings found means over all tasks of 0.779 and 0.719 in ten runs).

Here: 5 tasks; the same 5,000 images in all of them, where the authors draw others for each; Adam
with PyTorch's moments (0.9, 0.999), where the authors' best has (0, 0.99); pixels with mean 0 and
standard deviation 1, where theirs lie in [-1, 1]. Shrink and perturb is their code's: perturbed
gradient descent with weight decay.
"""

from __future__ import annotations

from raylot.reproductions._experiment import Experiment, Published, Reading, above, number
from raylot.reproductions._readings import along_stream, minus

#: Method -> its intervention, optimizer, step size, weight decay, noise and decay of utilities.
_METHODS = {
    "UPGD": ("upgd", "sgd", 0.01, 0.01, 0.1, 0.9999),
    "shrink and perturb": ("pgd", "sgd", 0.001, 0.01, 0.05, "-"),
    "perturbed gradient descent": ("pgd", "sgd", 0.001, 0, 0.05, "-"),
    "SGD": ("none", "sgd", 0.001, 0.001, "-", "-"),
    "Adam": ("none", "adam", 0.0001, 0, "-", "-"),
}

#: Over which tasks the quantities are means.
_WHERE = "in the first 5 tasks (--full: in all 200)"

_ROWS = ",".join(f"({','.join(map(str, row))})" for row in _METHODS.values())


def _accuracy(method: str) -> Reading:
    """Online accuracy over the whole stream."""
    intervention, optimizer, lr, weight_decay, *_ = _METHODS[method]
    return along_stream(
        "online_accuracy",
        range(1_000_000),
        intervention=intervention,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
    )


def _ahead_of(method: str) -> Published:
    return above(
        f"UPGD minus {method}, online accuracy {_WHERE}",
        minus(_accuracy("UPGD"), _accuracy(method)),
        "abstract and figure 3: surpasses or is competitive with all",
    )


EXPERIMENT = Experiment(
    question="Is UPGD ahead of other methods on input-permuted MNIST?",
    source=(
        "Elsayed & Mahmood 2024, Addressing loss of plasticity and catastrophic forgetting in "
        "continual learning, arXiv 2404.00781"
    ),
    options={
        "dataset": "mnist",
        "train_examples": 5_000,
        "scaling": "standardize",
        "shifts": "permuted_pixels",
        "search": (
            "zip(intervention,optimizer,lr,weight_decay,gradient_noise,utility_decay)=" + _ROWS
        ),
        "hidden": "300,150",
        "batch_size": 1,
        "epochs": 1,
        "carry_optimizer": True,
        "tasks": 5,
        "snapshots": "0",
        "probe_tasks": 0,
        "seeds": "0-2",
    },
    full={"tasks": 200, "seeds": "0-19"},
    reduced="5 tasks and 3 seeds instead of 200 and 20",
    otherwise=(
        "the same 5,000 images in all tasks; Adam with PyTorch's moments (0.9, 0.999) instead of "
        "(0, 0.99); pixels of mean 0 and standard deviation 1 instead of in [-1, 1]"
    ),
    measured="about 10 core-minutes on an AMD EPYC, at 0.1 to 3 ms per step",
    published=(
        number(
            f"UPGD's online accuracy {_WHERE}",
            _accuracy("UPGD"),
            0.78,
            "figure 3, about 0.78 in all 200 tasks, read off by others to 0.01",
            spread=0.01,
            runs=20,
        ),
        *map(_ahead_of, [method for method in _METHODS if method != "UPGD"]),
    ),
)
