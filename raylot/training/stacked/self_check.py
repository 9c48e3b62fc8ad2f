"""Whether this machine may stack by default: it has to pass a check of its own first.

The stacked engine relies on batched products and captured graphs, which other GPUs, drivers and
libraries may compute otherwise. So before ``engine=auto`` stacks a kind of job on a machine for the
first time, the first few steps of such jobs are trained by both engines, and must come out alike
and not slower. The user's cache folder keeps the outcome.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raylot.config import OptimizerOptions
from raylot.foundation.text import one_line
from raylot.networks.copies import copied
from raylot.tasks import Task
from raylot.training import generic
from raylot.training.job import TrainingJob, TrainingResult
from raylot.training.stacked.training import train_stacked

#: Jobs that are tried together, at most: two show whether members mix.
_MEMBERS = 2

#: Different batches, and examples that are tested.
_BATCHES, _TESTED = 4, 256

#: Steps of a short training and of a long one. The time of a step is their difference, so that
#: capturing a graph, which each stack does once, does not count.
_SHORT, _LONG = 10, 60

#: Times of which the least counts.
_REPEATS = 3

#: What rounding makes of a short training, at most: of the distance that the weights have moved
#: (Adam turns a gradient of almost 0 into a whole step either way), and of the loss.
_WEIGHTS_APART, _LOSSES_APART = 0.05, 0.01

#: The outcomes that this process knows, by the digest of what was checked; "": passed.
_known: dict[str, str] = {}


def why_untrusted(jobs: Sequence[TrainingJob]) -> str:
    """Returns why ``engine=auto`` must not stack jobs on this machine, in a line; "" if it may.

    Args:
        jobs: at least one; `why_not` has no reason against them. They stay as they are.
    """
    checked = _what_is_checked(jobs)
    digest = hashlib.sha256(json.dumps(checked, sort_keys=True).encode()).hexdigest()
    if digest not in _known:
        kept = _kept(digest, checked)
        if kept is None:
            kept, is_final = _check(jobs[:_MEMBERS])
            if not is_final:  # it says nothing of other jobs
                return _remark(kept)
            _keep(digest, checked, kept)
        _known[digest] = kept
    return _remark(_known[digest])


def _remark(outcome: str) -> str:
    return f"the generic engine trained, as the stacked one {outcome}" if outcome else ""


# ------------------------------------------------------------------ the check


def _check(jobs: Sequence[TrainingJob]) -> tuple[str, bool]:
    """Trains the beginning of jobs by both engines.

    Returns:
        The stacked engine's fault, "" if it has none; and whether all jobs of this kind have it.
    """
    try:
        short = [_beginning(job, _SHORT) for job in jobs]
        ours, theirs = _copies(short), _copies(short)
        found, expected = train_stacked(ours), _one_by_one(theirs)
        if any(result.diverged for result in expected):
            return "could not be checked on a training that diverges", False
        wrong = _difference(short, ours, theirs, found, expected)
        if wrong:
            return f"failed its self-check on this machine: {wrong}", True
        stacked, alone = (_seconds(jobs, train) for train in (train_stacked, _one_by_one))
    except torch.OutOfMemoryError:
        return "had too little memory for its self-check", False
    except RuntimeError as error:  # of PyTorch, CUDA and its libraries
        return f"failed its self-check on this machine: {one_line(error, 200)}", False
    if stacked > alone:
        return f"was slower in its self-check on this machine, by {stacked / alone - 1:.0%}", True
    return "", True


def _beginning(job: TrainingJob, steps: int) -> TrainingJob:
    """Returns the first steps of a job as a training of its own, on a few batches."""
    task = job.task
    examples = min(len(task.train_labels), _BATCHES * job.batch_size)
    few: Task = dataclasses.replace(
        task,
        train_inputs=task.train_inputs[:examples],
        train_labels=task.train_labels[:examples],
        test_inputs=task.test_inputs[:_TESTED],
        test_labels=task.test_labels[:_TESTED],
    )
    return dataclasses.replace(
        job, task=few, epochs=steps, max_steps=steps, learning_curve=False, optimizer_state=None
    )


def _copies(jobs: Sequence[TrainingJob]) -> list[TrainingJob]:
    return [dataclasses.replace(job, network=copied(job.network)) for job in jobs]


def _one_by_one(jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
    return [generic.train(job) for job in jobs]


def _difference(
    starts: Sequence[TrainingJob],
    stacked: Sequence[TrainingJob],
    alone: Sequence[TrainingJob],
    found: Sequence[TrainingResult],
    expected: Sequence[TrainingResult],
) -> str:
    """Returns how trainings differ by more than rounding; "" if they do not."""
    for start, ours, theirs in zip(starts, stacked, alone, strict=True):
        before, own, other = (_weights(job) for job in (start, ours, theirs))
        moved = float((other - before).norm()) + 1e-6 * float(before.norm())
        apart = float((own - other).norm())
        if not apart <= _WEIGHTS_APART * moved:  # NaN too
            return f"weights that move by {moved:.2g} end {apart:.2g} apart"
        for name, mask in (start.masks or {}).items():
            values = [
                job.network.get_parameter(name)[~mask.to(own.device)] for job in (ours, theirs)
            ]
            if not torch.equal(*values):
                return f"pruned weights of {name} move"
    for ours_result, result in zip(found, expected, strict=True):
        for name in ("train_loss", "test_loss"):
            own_loss, loss = getattr(ours_result, name), getattr(result, name)
            if not math.isclose(own_loss, loss, rel_tol=_LOSSES_APART, abs_tol=1e-6):
                return f"{name} is {own_loss:.5g} and not {loss:.5g}"
    return ""


@torch.no_grad()
def _weights(job: TrainingJob) -> Tensor:
    return torch.cat([p.flatten() for p in job.network.parameters()])


def _seconds(
    jobs: Sequence[TrainingJob], train: Callable[[Sequence[TrainingJob]], list[TrainingResult]]
) -> float:
    """Returns how much longer long trainings take than short ones."""
    least = {
        steps: min(
            sum(result.seconds for result in train(_copies([_beginning(j, steps) for j in jobs])))
            for _ in range(_REPEATS)
        )
        for steps in (_SHORT, _LONG)
    }
    return max(least[_LONG] - least[_SHORT], 1e-9)


# ------------------------------------------------------------------ what is known already


def _what_is_checked(jobs: Sequence[TrainingJob]) -> dict[str, Any]:
    """Returns the machine and the kind of jobs, whose outcomes are one."""
    job, options = jobs[0], jobs[0].optimizer
    device = job.task.train_labels.device
    shapes = [(name, tuple(p.shape)) for name, p in job.network.named_parameters()]
    network = f"{type(job.network)} {job.network!r} {shapes}"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda),
        "code": _code_hash(),
        "network": hashlib.sha256(network.encode()).hexdigest(),
        "inputs": list(job.task.input_shape),
        "batch_size": job.batch_size,
        "optimizer": _kind(options),
        "members": min(len(jobs), _MEMBERS),
        "masked": [job.masked if job.masks is not None else "" for job in jobs[:_MEMBERS]],
        "measured": [job.gradient_magnitudes or job.gradient_products for job in jobs[:_MEMBERS]],
    }


def _kind(options: OptimizerOptions) -> str:
    """Returns which terms an optimizer's step has; their strengths do not matter."""
    terms = ("momentum", "nesterov", "weight_decay")
    return " ".join([options.optimizer, *(name for name in terms if getattr(options, name))])


@functools.cache
def _code_hash() -> str:
    """Returns a hash of the engines' code: another code has to be checked again."""
    here = Path(__file__).parent
    files = sorted([*here.glob("*.py"), *here.parent.glob("*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def cache_folder() -> Path:
    """Returns the folder that keeps outcomes, in the user's cache folder.

    Raises:
        RuntimeError: the user has no home directory.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "raylot" / "self_checks"


def _kept(digest: str, checked: dict[str, Any]) -> str | None:
    """Reads an outcome; None if there is none, or its file cannot be read or is damaged."""
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        found = json.loads((cache_folder() / f"{digest}.json").read_text("utf-8"))
        if isinstance(found, dict) and found.get("checked") == checked:
            outcome = found.get("outcome")
            return outcome if isinstance(outcome, str) else None
    return None


def _keep(digest: str, checked: dict[str, Any], outcome: str) -> None:
    """Writes an outcome; where that is impossible, another process checks again."""
    text = json.dumps({"checked": checked, "outcome": outcome}, indent=1)
    with contextlib.suppress(OSError, RuntimeError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{digest}.{uuid.uuid4().hex}"
        temporary.write_text(text, "utf-8")
        temporary.replace(folder / f"{digest}.json")
