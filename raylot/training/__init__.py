"""Training and evaluating one network on one task."""

from raylot.training.evaluation import evaluate
from raylot.training.flat import Masks
from raylot.training.generic import TrainingResult, train

__all__ = ["Masks", "TrainingResult", "evaluate", "train"]
