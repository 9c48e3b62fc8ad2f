"""Every kind of optimizer that a training can be asked for, by name."""

from __future__ import annotations

from raylot.config import OptimizerOptions

OPTIMIZERS = {
    "adam": OptimizerOptions(lr=0.01),
    "adam with weight decay": OptimizerOptions(lr=0.01, weight_decay=0.1),
    "sgd": OptimizerOptions(optimizer="sgd", lr=0.01),
    "sgd with momentum and weight decay": OptimizerOptions(
        optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=0.1
    ),
}
