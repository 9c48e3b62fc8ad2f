"""Training and evaluating one network on one task."""

from raylot.training.evaluation import evaluate
from raylot.training.flat import Masks
from raylot.training.generic import TrainingResult, train
from raylot.training.hooks import Intervention, Training

__all__ = ["Intervention", "Masks", "Training", "TrainingResult", "evaluate", "train"]
