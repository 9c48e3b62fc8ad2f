"""Trains and evaluates a network on a task."""

from raylot.training.checks import check_network, check_parameters
from raylot.training.engines import check_engine, train, train_all, trains_together
from raylot.training.evaluation import evaluate, evaluation_mode
from raylot.training.flat import Masks
from raylot.training.hooks import Intervention, Penalty, Training
from raylot.training.job import TrainingJob, TrainingResult

__all__ = [
    "Intervention", "Masks", "Penalty", "Training", "TrainingJob", "TrainingResult",
    "check_engine", "check_network", "check_parameters", "evaluate", "evaluation_mode", "train",
    "train_all", "trains_together",
]  # fmt: skip
