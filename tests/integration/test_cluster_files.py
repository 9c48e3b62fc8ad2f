"""The files in ``sweeps/cluster/``: run where this machine can, checked against schemas elsewhere.

Clusters here are real. A job's is a Ray of its own, with ports, folder and token of its own; nodes
of Slurm are namespaces, as `ray symmetric-run` refuses to start beside another Ray and stops all
that it sees. What a test started is ended by its process group: other Rays here are not ours.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.runtime_env import RuntimeEnv

from raylot import results
from tests.integration.rayjob_schema import RAYJOB
from tests.support import needs

_ROOT = Path(__file__).parents[2]
_CLUSTER = _ROOT / "sweeps" / "cluster"
_SLURM = Path(__file__).parent / "slurm"
_SCRIPTS = sorted(_CLUSTER.glob("*.sh"))
_TINY = [
    "--tasks", "2", "--snapshots", "1", "--epochs", "1", "--batch-size", "256", "--hidden", "8",
    "--tickets", "2", "--rewired-masks", "0", "--random-masks", "1", "--reinit-tickets", "0",
    "--rounds", "1", "--sparsities", "0.8", "--seeds", "0-1", "--shifts", "stationary",
    "--probe-size", "50", "--ntk-examples", "0", "--sharpness-iterations", "0",
    "--interventions", "none", "--probe-tasks", "1",
]  # fmt: skip


def _environment(**more: str) -> dict[str, str]:
    """This process's, without what another Ray may have left there, and with this Python first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", **more}


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process that leads a session, and all that it started there."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)  # Ray gives its own processes half a minute
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _assert_finished(storage: Path) -> None:
    runs = results.read(storage, "runs")
    assert len(runs) == 12, (
        "a stream, probe tasks, 3 measurements and a search for each of two seeds"
    )
    assert set(runs["status"]) == {"finished"}
    assert results.read(storage, "snapshots")["ticket_count"].between(1, 2).all()
    assert (storage / "analysis" / "correlation.csv").exists()


# ------------------------------------------------------------------ a job on a running cluster


@dataclass(frozen=True)
class Head:
    """A cluster of one node, as its README says to start one.

    Attributes:
        port: of dashboard and job server.
        environment: in which the cluster's token is known.
    """

    port: int
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in with_ports]
    for server in with_ports:
        server.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    token = tmp_path_factory.mktemp("token") / "auth_token"
    token.write_text("f00d" * 16)
    environment = _environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    gcs, dashboard, agent, client = _free_ports(4)
    # Sockets lie in the folder, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="rl", dir="/tmp", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "head.txt"
        with log.open("w") as written:
            process = subprocess.Popen(
                [
                    "ray", "start", "--head", "--block", f"--port={gcs}",
                    f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
                    f"--ray-client-server-port={client}", f"--temp-dir={folder}/ray",
                    "--num-cpus=2", "--object-store-memory=100000000", "--disable-usage-stats",
                ],
                env=environment, cwd=folder, text=True, start_new_session=True,
                stdout=written, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            for _ in range(900):
                if "Ray runtime started" in log.read_text() or process.poll() is not None:
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
            assert process.poll() is None, log.read_text()
            yield Head(dashboard, environment)
        finally:
            _end(process)


def _listening(port: int) -> set[str]:
    """Addresses, as the kernel writes them, at which something listens on a port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


def test_a_submitted_sweep_runs_and_its_cluster_asks_for_the_token(
    head: Head, tmp_path: Path
) -> None:
    """The sweep uses a plugin that lies in the folder that is submitted."""
    clone = tmp_path / "clone"
    for part in ("raylot", "sweeps", "analysis"):
        shutil.copytree(_ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "mine.py").write_text(
        "from raylot import plugins\n"
        "plugins.shift('same')(lambda dataset, options, key, t: dataset)\n"
    )
    submit = [str(clone / "sweeps" / "cluster" / "submit.sh"), head.address, *_TINY]
    submit += ["--storage", str(tmp_path / "study"), "--plugin", "mine.py", "--shifts", "same"]
    submit += ["--max-concurrent", "1"]  # each worker takes seconds to start

    nobody = {k: v for k, v in head.environment.items() if not k.startswith("RAY_AUTH")}
    for credentials, answer in (
        ({"RAY_AUTH_MODE": "disabled"}, "Missing authentication token"),
        ({"RAY_AUTH_TOKEN": "beef" * 16}, "Invalid authentication token"),
    ):
        refused = subprocess.run(
            submit, env={**nobody, **credentials}, cwd=tmp_path,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert refused.returncode != 0
        assert answer in refused.stderr
    assert not (tmp_path / "study").exists()
    assert _listening(head.port) == {"0100007F"}, "loopback, and nothing else"

    done = subprocess.run(
        submit, env=head.environment, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Job 'raysubmit_\w+' succeeded", done.stdout + done.stderr)
    assert "12 runs finished" in done.stdout
    assert "Traceback" not in done.stdout
    _assert_finished(tmp_path / "study")
    assert set(results.read(tmp_path / "study", "runs")["shift"]) == {"same"}


def test_a_job_may_not_leave_results_in_its_own_folder(head: Head) -> None:
    """Ray unpacks and deletes it, and the job would be called a success."""
    submit = [str(_CLUSTER / "submit.sh"), head.address, "--dry-run", "--storage", "results/mine"]
    refused = subprocess.run(
        submit, env=head.environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert refused.returncode != 0
    assert "results/mine: must be a folder that all nodes see, with its whole path" in (
        refused.stdout + refused.stderr
    )


@pytest.mark.parametrize("arguments", [[], ["--install"], ["--storage", "x"], ["127.0.0.1:8265"]])
def test_without_an_address_nothing_is_submitted(arguments: list[str]) -> None:
    refused = subprocess.run(
        [str(_CLUSTER / "submit.sh"), *arguments], env=_environment(),
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["job.yaml", "job_installs.yaml"])
def test_ray_accepts_the_jobs_runtime_environments(name: str) -> None:
    runtime_env = yaml.safe_load((_CLUSTER / name).read_text())
    assert RuntimeEnv(**runtime_env)["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "120"


# ------------------------------------------------------------------ Slurm


def _can_make_namespaces() -> bool:
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc",
         "ip", "link", "add", "x0", "type", "bridge"],
        capture_output=True, check=False,
    )  # fmt: skip
    return tried.returncode == 0


def _slurm_environment(folder: Path, **more: str) -> dict[str, str]:
    environment = _environment(
        SLURM_JOB_ID="7",
        SLURM_JOB_NODELIST="node[0-1]",
        SLURM_CPUS_PER_TASK="1",
        RAY_AUTH_TOKEN_PATH=str(folder / "secrets" / "token"),
        NODES_FOLDER=str(folder),
        **more,
    )
    return {**environment, "PATH": f"{_SLURM}{os.pathsep}{environment['PATH']}"}


@pytest.mark.slow  # and its nodes see no clone below /tmp
def test_a_sweep_on_two_slurm_nodes() -> None:
    if not _can_make_namespaces():
        needs.skip_without("the right to make namespaces (run the tests as root)")
    # Not below /tmp, which is another folder on each of the nodes.
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".raylot-test-") as name:
        folder = Path(name)
        process = subprocess.Popen(
            ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child",
             str(_CLUSTER / "slurm.sh"), "--storage", str(folder / "study"), *_TINY],
            env=_slurm_environment(folder), cwd=_ROOT, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            _end(process)
        nodes = [(folder / f"node{n}.txt").read_text() for n in range(2)]
        assert process.returncode == 0, "\n".join([said, *nodes])
        assert "12 runs finished" in nodes[0]
        assert "Connecting to Ray cluster at node0:6379" in nodes[1]
        assert "Ray runtime started" in nodes[1]
        _assert_finished(folder / "study")
        token = folder / "secrets" / "token"
        assert re.fullmatch("[0-9a-f]{64}", token.read_text())
        assert token.stat().st_mode & 0o077 == 0
    assert not list(_ROOT.glob(".raylot-ended-*"))


def _recorder(folder: Path, name: str, then: str) -> None:
    """A command that writes down its arguments, and does something."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {folder}/{name}.txt\n{then}\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("ray", "status"),
    [
        ("exit 0", 1),  # as `ray symmetric-run` does when Ray could not be started
        ('while [[ $1 != -- ]]; do shift; done; "${@:2:5}" true; exit 1', 0),
        ('while [[ $1 != -- ]]; do shift; done; "${@:2:5}" bash -c "exit 3"', 3),
    ],
)
def test_slurm_asks_for_what_it_was_granted_and_tells_how_it_ended(
    ray: str, status: int, tmp_path: Path
) -> None:
    _recorder(tmp_path, "srun", 'while [[ $1 == --* ]]; do shift; done; "$@"')
    _recorder(tmp_path, "ray", ray)
    environment = _slurm_environment(tmp_path, SWEEP="sweeps/ticket_plasticity.py")
    environment["PATH"] = f"{tmp_path}/bin{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(
        [str(_CLUSTER / "slurm.sh"), "--storage", "/shared/a b", "--seeds", "0-9"],
        env={**environment, "SLURM_CPUS_PER_TASK": "16"}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert ended.returncode == status, ended.stderr
    assert ("did not start" in ended.stderr) == (status == 1)
    asked = (tmp_path / "srun.txt").read_text().splitlines()
    assert asked[:4] == ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=16"]
    started = (tmp_path / "ray.txt").read_text().splitlines()
    options, command = started[: started.index("--")], started[started.index("--") + 1 :]
    assert options == [
        "symmetric-run", "--address", "node0:6379", "--min-nodes", "2", "--num-cpus=16",
        "--disable-usage-stats",
    ]  # fmt: skip
    assert command[5:] == [
        "python", "sweeps/ticket_plasticity.py", "--address", "node0:6379",
        "--storage", "/shared/a b", "--seeds", "0-9",
    ]  # fmt: skip
    assert not list(tmp_path.glob(".raylot-ended-*"))


@pytest.mark.parametrize(
    ("given", "share", "where"),
    [
        ({"SLURM_CPUS_PER_TASK": "4"}, "3/16", ["--address", "local", "--max-concurrent", "4"]),
        ({"SHARES": "20"}, "3/20", ["--local"]),
    ],
)
def test_a_job_of_an_array_computes_its_share(
    given: dict[str, str], share: str, where: list[str], tmp_path: Path
) -> None:
    _recorder(tmp_path, "srun", "exit 3")
    environment = _environment(SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_COUNT="16", **given)
    environment["PATH"] = f"{tmp_path}/bin{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(
        [str(_CLUSTER / "slurm_array.sh"), "--storage", "/shared/a b"], env=environment,
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    asked = (tmp_path / "srun.txt").read_text().splitlines()
    assert asked[2:4] == ["python", "sweeps/ticket_count_vs_plasticity.py"]
    assert asked[4:] == [*where, "--share", share, "--storage", "/shared/a b"]


# ------------------------------------------------------------------ what cannot be run here


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_bash(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert script.stat().st_mode & 0o111 == 0o111


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_CLUSTER / name).read_text())
    return content


@pytest.mark.parametrize(
    ("name", "provider", "workers"), [("aws.yaml", "aws", 8), ("local.yaml", "local", 2)]
)
def test_the_launcher_accepts_its_files(name: str, provider: str, workers: int) -> None:
    config = prepare_config(_read(name))
    validate_config(config)
    assert config["provider"]["type"] == provider
    assert config["max_workers"] == workers
    for group in ("head", "worker"):
        start = config[f"{group}_start_ray_commands"][-1]
        assert "RAY_AUTH_MODE=token" in start
        assert "0.0.0.0" not in start
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**config, "max_wrokers": 2})


def test_workers_of_aws_are_spot_machines_and_may_reach_the_bucket() -> None:
    types = _read("aws.yaml")["available_node_types"]
    machine = types["trials"]["node_config"]
    assert machine["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert "IamInstanceProfile" in machine
    assert types["head"]["resources"] == {"CPU": 0}


def test_kuberay_accepts_the_rayjob() -> None:
    job = _read("rayjob.yaml")
    jsonschema.validate(job, RAYJOB)
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    names = {
        (container["name"], variable["name"]): variable
        for part in (cluster["headGroupSpec"], group)
        for container in part["template"]["spec"]["containers"]
        for variable in container["env"]
    }
    for container in ("ray-head", "ray-worker"):
        for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert "valueFrom" in names[container, secret], "no secret is written down"
    for wrong in (
        {**job, "spec": {**job["spec"], "entrypont": "python"}},
        {**job, "spec": {**job["spec"], "backoffLimit": "2"}},
        {**job, "spec": {"entrypoint": "python"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, RAYJOB)


def test_the_rayjob_installs_what_raylot_needs() -> None:
    runtime_env = yaml.safe_load(_read("rayjob.yaml")["spec"]["runtimeEnvYAML"])
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert runtime_env["pip"] == project["dependencies"]
    assert RuntimeEnv(**runtime_env)["working_dir"].endswith(".zip")


def test_all_templates_mean_the_same_ray() -> None:
    text = "\n".join((_CLUSTER / n).read_text() for n in ("aws.yaml", "local.yaml", "rayjob.yaml"))
    versions = re.findall(
        r"(?:rayproject/ray:|ray\[default\]==|rayVersion: \")(\d+\.\d+\.\d+)", text
    )
    assert len(versions) >= 5
    assert len(set(versions)) == 1


def test_readme_names_every_file() -> None:
    readme = (_CLUSTER / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in _CLUSTER.iterdir() if path.name != "README.md")
    assert len(files) >= 5
    assert not [name for name in files if f"sweeps/cluster/{name}" not in readme]
