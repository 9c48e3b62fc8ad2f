"""The connection to Ray: used if open, refused in one line if it cannot serve."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from raylot.config import Study, SweepOptions
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.sweep.cluster import ray_session
from raylot.sweep.joining import _runtime_environment, _unreachable, check_address
from raylot.sweep.sweep import Sweep


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_refused_at_once(closed_port: int, prefix: str) -> None:
    address = f"{prefix}127.0.0.1:{closed_port}"
    with pytest.raises(
        OptionError, match=r"must be the address of a Ray cluster that can be"
    ) as no:
        check_address(SweepOptions(address=address))
    assert str(no.value).startswith(f"address={address}: ")
    assert not ray.is_initialized()


def test_ray_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OptionError, match=r"submit them with ray job submit\)$"):
            check_address(SweepOptions(address=address))


def test_the_environments_address_counts(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port}")
    with pytest.raises(OptionError, match=f"address=127.0.0.1:{closed_port}: must be the address"):
        check_address(SweepOptions())


class _Nodes:
    """Two nodes, of 2 and 4 CPUs and one with a GPU, in place of Ray's; a larger one is gone."""

    @staticmethod
    def nodes() -> list[dict[str, Any]]:
        return [
            {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}},
            {"Alive": True, "Resources": {"CPU": 4.0}},
            {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
        ]


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"cpus_per_trial": 4}, None),
        ({"gpus_per_trial": 0.5}, None),
        ({"cpus_per_trial": 4.5}, "cpus_per_trial=4.5: must fit on one node of this cluster, with "
         "cpus_per_trial=4.5 and gpus_per_trial=0; "),
        ({"gpus_per_trial": 2}, "gpus_per_trial=2: must fit on one node of this cluster, with "
         "cpus_per_trial=1 and gpus_per_trial=2; "),
        ({"cpus_per_trial": 4, "gpus_per_trial": 1}, "cpus_per_trial=4: must fit on one node of "
         "this cluster, with cpus_per_trial=4 and gpus_per_trial=1; "),
    ],
)  # fmt: skip
def test_a_trial_must_fit_on_one_node(
    options: dict[str, float], refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", _Nodes.nodes)
    monkeypatch.setattr("raylot.trials.ray_internals.is_autoscaling", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("the session is not ours"))
    options = {**options, "node_patience": 0}
    if refused is None:
        with ray_session(SweepOptions(**options)):
            return
    with pytest.raises(OptionError) as told, ray_session(SweepOptions(**options)):
        pytest.fail("no node can ever grant that")
    nodes = "its nodes have 2 CPUs and 1 GPUs, 4 CPUs and 0 GPUs"
    assert str(told.value) == refused + nodes


@pytest.mark.parametrize(("gpus", "name"), [(0, "cpus_per_trial=1"), (1, "gpus_per_trial=1")])
def test_a_cluster_without_nodes_lacks_what_a_trial_wants(
    gpus: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", list)
    monkeypatch.setattr("raylot.trials.ray_internals.is_autoscaling", lambda: False)
    options = SweepOptions(gpus_per_trial=gpus, node_patience=0)
    with pytest.raises(OptionError, match=f"^{name}: must .* its nodes have nothing$"):
        ray_session(options).__enter__()


def test_a_jobs_own_environment_is_added_to_and_never_contradicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stays here")
    there = SweepOptions(address="127.0.0.1:6379")
    (package,) = _runtime_environment(there)["py_modules"]
    assert (Path(package) / "storage" / "storage.py").exists()
    assert _runtime_environment(there)["env_vars"] == {
        "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://store:9000",
    }  # fmt: skip
    job = {"working_dir": "gcs://x.zip", "env_vars": {"AWS_ENDPOINT_URL": "http://other"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": job}))
    assert _runtime_environment(there) == {"env_vars": {"AWS_DEFAULT_REGION": "eu-west-1"}}


def test_a_ray_that_does_not_start_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its processes is killed meanwhile; what Ray raises then is of no special type."""

    def fail(**told: Any) -> None:
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(ray, "init", fail)
    study = Study.checked(address="local")
    outcome = Sweep(study, Storage(tmp_path), {"seed": 0}, {"task": 0, "sparsity": 0.5}).run()
    assert outcome.lost == ["Ray could not be started: The current node timed out during startup."]
    assert outcome.missing == 1 + 6 + 1
    assert "The same command tries missing runs again." in outcome.summary()
    assert not list(Path(tmp_path, "drivers").iterdir())


def test_a_missing_token_is_named() -> None:
    """As Ray raises it, whose last error says that it could not connect, and no more."""
    try:
        try:
            raise ray.exceptions.AuthenticationError("InvalidAuthToken: missing or incorrect")
        except ray.exceptions.AuthenticationError as cause:
            raise ConnectionError("Failed to connect to Ray cluster at host:6379") from cause
    except ConnectionError as error:
        told = str(_unreachable(SweepOptions.checked(address="host:6379"), error))
    assert told.startswith("address=host:6379: must be the address of a Ray cluster that can be")
    assert "it asks for another token than is here: set RAY_AUTH_MODE=token" in told
