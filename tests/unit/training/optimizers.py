"""Every kind of optimizer that a training can be asked for, and what shapes its steps, by name."""

from __future__ import annotations

from raylot.config import OptimizerOptions

OPTIMIZERS = {
    "adam": OptimizerOptions(lr=0.01),
    "adam with weight decay": OptimizerOptions(lr=0.01, weight_decay=0.1),
    "adamw": OptimizerOptions(optimizer="adamw", lr=0.01, weight_decay=0.1),
    "sgd": OptimizerOptions(optimizer="sgd", lr=0.01),
    "sgd with momentum and weight decay": OptimizerOptions(
        optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=0.1
    ),
    "sgd with Nesterov's momentum": OptimizerOptions(
        optimizer="sgd", lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
    "rmsprop": OptimizerOptions(optimizer="rmsprop", lr=0.01),
    "rmsprop with momentum and weight decay": OptimizerOptions(
        optimizer="rmsprop", lr=0.01, momentum=0.9, weight_decay=0.1
    ),
}

#: Those of the fast engine's whole epochs, and those that the stacked engine has.
FAST = [name for name, options in OPTIMIZERS.items() if options.optimizer != "rmsprop"]
STACKED = FAST

#: What else shapes steps; the stacked engine has none of it. Tasks of tests are no images.
EXTRAS = {
    "cosine": OptimizerOptions(lr=0.01, schedule="cosine", warmup=0.3, weight_decay=0.1),
    "falling in steps": OptimizerOptions(
        optimizer="sgd", lr=0.01, momentum=0.9, schedule="step", step_at=(0.3, 0.6)
    ),
    "smoothed labels and short gradients": OptimizerOptions(
        optimizer="adamw", lr=0.01, weight_decay=0.1, label_smoothing=0.2, clip_norm=0.1
    ),
    "short gradients": OptimizerOptions(optimizer="rmsprop", lr=0.01, momentum=0.9, clip_norm=0.01),
    "bfloat16": OptimizerOptions(
        optimizer="adamw", lr=0.01, weight_decay=0.1, precision="bfloat16"
    ),
}
