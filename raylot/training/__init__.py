"""Training and evaluating one network on one task."""

from raylot.training.evaluation import evaluate
from raylot.training.generic import TrainingResult, train

__all__ = ["TrainingResult", "evaluate", "train"]
