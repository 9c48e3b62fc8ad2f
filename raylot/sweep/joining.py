"""Joins a Ray cluster, or starts a Ray on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import traceback
from pathlib import Path
from typing import Any

import ray

from raylot.config import SweepOptions
from raylot.foundation.cores import usable_cores
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.trials import ray_internals

#: Characters of an error's text that are shown.
_LONGEST_REASON = 300

#: A name in the error of a cluster that asks for a token, or in one of the error's causes.
_AUTHENTICATION = re.compile("AuthenticationError|InvalidAuthToken|RAY_AUTH_TOKEN")

_WHERE_TOKENS_ARE = (
    "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token, in the file "
    "RAY_AUTH_TOKEN_PATH, or in RAY_AUTH_TOKEN"
)

#: Variables that tell workers where an object store is; each node has credentials of its own.
_FORWARDED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")

#: What workers import, which takes seconds.
_OF_TRIALS = ("raylot.trials.trainable", "raylot.trials.kinds")


class StartError(RuntimeError):
    """Ray could not be started on this machine."""


def check_address(options: SweepOptions) -> None:
    """Checks at once that a process listens at the cluster's address; Ray tries for minutes.

    Raises:
        OptionError: no process listens there.
    """
    address = options.cluster_address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host, int(port)), timeout=10).close()
        if address.startswith("ray://"):
            raise ValueError("Ray Client cannot run sweeps; submit them with ray job submit")
    except (OSError, OverflowError, ValueError) as error:
        raise _unreachable(options, error) from None


def connect(options: SweepOptions, trials: int) -> None:
    """Joins Ray, or starts it on this machine; see `RayStart`.

    Raises:
        OptionError: the cluster cannot be reached.
        StartError: Ray could not be started.
    """
    environment = _runtime_environment(options)
    address = options.cluster_address
    starts_ray = address == "local" or (not address and not ray_internals.finds_running_ray())
    own = usable_cores()
    try:
        with contextlib.ExitStack() as only_here:
            if starts_ray:
                only_here.enter_context(ray_internals.on_loopback())
                only_here.enter_context(ray_internals.without_unused_processes())
                ray_internals.protect_token()
                if trials > own / 2:
                    only_here.enter_context(ray_internals.workers_import(_OF_TRIALS))
            ray.init(
                address=options.address,
                # Ray by itself counts cores that a job scheduler granted to others too.
                num_cpus=own if starts_ray and own < (os.cpu_count() or 1) else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=environment or None,
                # Takes seconds to start; whoever wants one starts Ray with `ray start --head`.
                include_dashboard=False if starts_ray else None,
            )
    except Exception as error:  # of any type, if one of Ray's processes is killed as it starts
        if options.cluster_address in ("", "local") and not _asks_for_a_token(error):
            raise StartError(
                f"Ray could not be started: {one_line(error, _LONGEST_REASON)}"
            ) from None
        raise _unreachable(options, error) from None


def _runtime_environment(options: SweepOptions) -> dict[str, Any]:
    """Returns what workers' nodes may lack: this package, and where the storage is.

    Within a submitted job, Ray adds it to the job's own environment and refuses a name that both
    have.
    """
    job = ray_internals.job_environment()
    environment: dict[str, Any] = {}
    is_elsewhere = options.cluster_address not in ("", "local")
    if is_elsewhere and not job.keys() & {"working_dir", "py_modules"}:
        environment["py_modules"] = [str(Path(__file__).parents[1])]
    names = [name for name in _FORWARDED if name not in (job.get("env_vars") or {})]
    given = {name: os.environ[name] for name in names if name in os.environ}
    # Ray writes these variables into a log that all users of the machine can read.
    if forwarded := {name: value for name, value in given.items() if "@" not in value}:
        environment["env_vars"] = forwarded
    return environment


def _unreachable(options: SweepOptions, error: Exception) -> OptionError:
    reason = one_line(error, _LONGEST_REASON)
    if _asks_for_a_token(error):
        reason = "it asks for another token than is here: " + _WHERE_TOKENS_ARE
    return OptionError(
        f"address={options.cluster_address or None}: must be the address of a Ray cluster that can "
        f"be reached ({reason})"
    )


def _asks_for_a_token(error: Exception) -> bool:
    return bool(_AUTHENTICATION.search("".join(traceback.format_exception(error))))
