"""Chooses the engine of a job: the fastest that can do all that the job asks for."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from raylot.foundation.errors import OptionError
from raylot.tasks import Task
from raylot.training import compact, fast, stacked
from raylot.training.job import TrainingJob, TrainingResult


def train(
    network: nn.Module, task: Task, *, engine: str = "auto", **options: Any
) -> TrainingResult:
    """Trains a network in place on a task's training split; see `train_all`.

    Args:
        network, task, options: attributes of a `TrainingJob`.
        engine: see `train_all`.
    """
    return train_all([TrainingJob(network=network, task=task, **options)], engine)[0]


@torch.enable_grad()
def train_all(jobs: Sequence[TrainingJob], engine: str = "auto") -> list[TrainingResult]:
    """Trains jobs with the engine named, or with the fastest that can do all they ask for.

    ``"auto"`` takes the stacked engine for jobs on a GPU, but only on a machine that has passed the
    check in `raylot.training.stacked.self_check`, which this call may make. Where it has not, the
    results have a remark that says why. Warns, once per process, if ``"auto"`` has to do without
    the fast engine.

    Args:
        jobs: on one device, each with a network of its own.
        engine: ``"auto"``; ``"generic"``: any network and option; ``"fast"``: ReLU MLPs on the CPU;
            ``"stacked"``: all jobs as one computation, meant for GPUs.

    Returns:
        A result per job, in their order; each says which engine it was.

    Raises:
        OptionError: the engine named cannot train these jobs, or no engine can train the
            parameters of a network.
    """
    if any(trains_together(job.task.train_labels.device, engine) for job in jobs):
        reason = stacked.why_not(jobs)
        if engine == "stacked":
            if reason is None:
                return stacked.train_stacked(jobs)
            raise OptionError(f"engine=stacked: must be auto or generic here, because of {reason}")
        if reason is None:
            remark = stacked.why_untrusted(jobs)
            if not remark:
                return _stacked(jobs)
            results = [_trained_alone(job, engine) for job in jobs]
            return [dataclasses.replace(result, remark=remark) for result in results]
    return [_trained_alone(job, engine) for job in jobs]


def trains_together(device: torch.device, engine: str) -> bool:
    """Says whether `train_all` may train several jobs on a device as one computation."""
    return engine == "stacked" or (engine == "auto" and device.type == "cuda")


#: Why the fast engine is missing, if this process has said so already.
_reported: set[str] = set()


def check_engine(engine: str) -> list[str]:
    """Makes sure that an engine works in this process.

    Returns:
        A remark that ``"auto"`` has to do without the fast engine, if so; once per process.

    Raises:
        OptionError: numba cannot be imported, and the fast engine is named.
    """
    missing = fast.why_missing() if engine in ("auto", "fast") else None
    if missing and engine == "fast":
        raise OptionError(f"engine=fast: must be auto or generic here, as {missing}")
    if missing is None or missing in _reported:
        return []
    _reported.add(missing)
    return [f"training is slower than it could be: {missing}, so the generic engine trains"]


def _stacked(jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
    """Trains all jobs together, or in as many parts as memory needs."""
    starts = [{n: t.to("cpu", copy=True) for n, t in j.network.state_dict().items()} for j in jobs]
    try:
        return stacked.train_stacked(jobs)
    except torch.OutOfMemoryError:
        for job, start in zip(jobs, starts, strict=True):  # some may have been trained already
            job.network.load_state_dict(start)
        if len(jobs) == 1:
            return [_trained_alone(jobs[0], "auto")]
    half = len(jobs) // 2
    return [*_stacked(jobs[:half]), *_stacked(jobs[half:])]


def _trained_alone(job: TrainingJob, engine: str) -> TrainingResult:
    if engine != "generic":
        reason = fast.why_not(job)
        if reason is None:
            return fast.train(job)
        if engine == "fast":
            raise OptionError(f"engine=fast: must be auto or generic here, as {reason}")
        if reason == fast.why_missing():
            for remark in check_engine(engine):
                _warn(remark)
    return compact.train(job)


def _warn(remark: str) -> None:
    """Warns at the line that called raylot: the first outside raylot and PyTorch's decorators."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in ("raylot", "torch"):
        frame, level = frame.f_back, level + 1
    warnings.warn(remark, stacklevel=level)
