"""The connection to a Ray cluster, and whether it can grant what trials ask for."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator

import ray

import raylot
from raylot.config import SweepOptions
from raylot.options import OptionError


@contextlib.contextmanager
def ray_session(options: SweepOptions) -> Iterator[None]:
    """Connects to Ray, or starts it, and undoes that; a session that is open already is used.

    Raises:
        OptionError: it cannot be reached, or can never grant what a trial asks for.
    """
    # `Progress` shows what is going on; Tune's own reports would garble it.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    is_ours = not ray.is_initialized()
    if is_ours:
        elsewhere = options.address not in (None, "local")
        try:
            _check_reachable(options.address or os.environ.get("RAY_ADDRESS", ""))
            ray.init(
                address=options.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                # A cluster's nodes need not have raylot installed.
                runtime_env={"py_modules": [raylot]} if elsewhere else None,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise OptionError(
                f"address={options.address}: must be the address of a Ray cluster that can be "
                f"reached ({' '.join(str(error).split())})"
            ) from None
    try:
        _check_resources(options)
        yield
    finally:
        if is_ours:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there.

    Raises:
        OSError: nothing answers at ``host:port``.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _check_resources(options: SweepOptions) -> None:
    largest: dict[str, float] = {"CPU": 0.0, "GPU": 0.0}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        for name in largest:
            largest[name] = max(largest[name], node["Resources"].get(name, 0.0))
    for option, wanted, name in (
        ("cpus_per_trial", options.cpus_per_trial, "CPU"),
        ("gpus_per_trial", options.gpus_per_trial, "GPU"),
    ):
        if wanted > largest[name]:
            raise OptionError(
                f"{option}={wanted:g}: must be at most {largest[name]:g}, "
                f"the most {name}s that one node of this cluster has"
            )
