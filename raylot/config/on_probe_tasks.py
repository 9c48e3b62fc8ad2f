"""The base of the runs that train on probe tasks, which no stream of their seed shows."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from raylot.config.options import option
from raylot.config.probe_options import ProbeShiftOptions
from raylot.config.runs import RunOnStream
from raylot.config.shift_options import customary_probe_shift
from raylot.foundation import registry


class OnProbeTasks(RunOnStream, ProbeShiftOptions):
    """A run that trains networks of a stream on probe tasks.

    Probe task p depends on the data set, the seed, the shift and p alone, with class_split also on
    the number of classes: all streams of a seed have the same.
    """

    probe_classes: int | None = option(
        None, "classes of each probe task that class_split makes; none given: as many as the "
        "stream's tasks have", ge=2, off=None, role="measurement",
    )  # fmt: skip

    @property
    def uses_probe_tasks(self) -> bool:
        return True

    @model_validator(mode="after")
    def _probe_shift_is_that_in_use(self) -> Self:
        if not self.uses_probe_tasks:
            self.__dict__["probe_shift"] = None
        elif self.probe_shift is None:
            self.__dict__["probe_shift"] = customary_probe_shift([self.shift])
        if self.probe_shift not in (None, "class_split") and self.shift == "class_split":
            raise ValueError(
                f"probe_shift={self.probe_shift}: must be class_split with shift class_split, as "
                f"its networks have {self.classes_per_task} outputs"
            )
        return self

    @model_validator(mode="after")
    def _probe_tasks_have_classes(self) -> Self:
        if self.probe_shift != "class_split":
            self.__dict__["probe_classes"] = None
        elif self.probe_classes is None:
            self.__dict__["probe_classes"] = self.classes_per_task
        elif self.shift == "class_split" and self.probe_classes > self.classes_per_task:
            raise ValueError(
                f"classes_per_task={self.classes_per_task}: must be at least {self.probe_classes}, "
                "the classes of each probe task"
            )
        self._check_shift("probe_shift", self.probe_shift)
        self._check_classes("classes_per_task", self.probe_classes)
        return self

    @model_validator(mode="after")
    def _a_batch_of_probe_tasks_is_left(self) -> Self:
        shift, classes = self.trained_shift, self.trained_classes
        if self.uses_probe_tasks and not self.fewest_steps_on_task_of(shift, classes):
            raise ValueError(
                f"batch_size={self.batch_size}: must be at most "
                f"{self._fewest_examples(shift, classes)} with drop_last, the training examples of "
                "the smallest probe task"
            )
        return self

    @property
    def code_of_probe_shift(self) -> str | None:
        """The code of a plugin's shift that makes the probe tasks."""
        return registry.only(self.plugins, [("shift", str(self.probe_shift))])

    @property
    def trained_shift(self) -> str:
        """The shift of the tasks on which it trains."""
        return self.probe_shift or self.shift

    @property
    def trained_classes(self) -> int:
        """Classes of each of these tasks, with class_split."""
        return self.probe_classes or self.classes_per_task

    @property
    def steps_per_training(self) -> int:
        """Steps of one training on one of these tasks; with class_split on average."""
        return self.steps_on_task_of(self.trained_shift, self.trained_classes)
