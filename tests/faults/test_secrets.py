"""No secret of the driver is left behind by a sweep: not in Ray's logs, the storage or the output.

And a local Ray is for this machine and this user alone.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylot import results
from tests.faults.clusters import ObjectStore
from tests.faults.processes import LEAST, SCRIPT

#: A shift and a metric whose errors hold a secret, and what would steer a terminal.
_PLUGIN = """
import os
from raylot import plugins


def tell():
    raise RuntimeError(
        "no answer from s3://user:" + os.environ["PLANTED_WORD"] + "@bucket?token="
        + os.environ["AWS_SESSION_TOKEN"] + "\\x1b]0;owned\\x07"
    )


@plugins.shift("telling")
def telling(dataset, options, key, t):
    tell()


@plugins.metric("loud")
def loud(probe):
    tell()
"""


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray keeps its sessions; short, as sockets' paths are."""
    folder = Path(tempfile.mkdtemp(prefix="rs", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_planted_secrets_are_found_nowhere(tmp_path: Path, ray_folder: Path) -> None:
    planted = {
        name: secrets.token_hex(16)
        for name in (
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "WANDB_API_KEY",
            "PLANTED_WORD",
        )
    }  # fmt: skip
    password, endpoint_password = secrets.token_hex(16), secrets.token_hex(16)
    plugin = tmp_path / "telling.py"
    plugin.write_text(_PLUGIN)
    with ObjectStore() as store:
        environment = {
            **store.environment,
            **planted,
            "MLFLOW_TRACKING_URI": f"http://user:{password}@127.0.0.1:9",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            # Not the one in use: Ray must not be told of it.
            "AWS_ENDPOINT_URL": f"http://user:{endpoint_password}@127.0.0.1:9",
            "AWS_ENDPOINT_URL_S3": store.environment["AWS_ENDPOINT_URL"],
            "RAY_TMPDIR": str(ray_folder),
            "RAY_ADDRESS": "",
        }
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *LEAST, "--plugin", str(plugin), "--metrics", "loud",
             "--logger", "mlflow", "--shifts", "telling,stationary"],
            env={**os.environ, **environment}, cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        found = store.download("bucket", tmp_path / "found")
        assert done.returncode == 1, done.stderr  # the shift fails
        runs = results.read(found / "study", "runs").set_index("shift")
        assert "RuntimeError: no answer from s3://***@bucket" in runs["error"]["telling"]
        assert (
            "loud: NaN, as computing it raised RuntimeError: no answer from s3://***@"
            in runs["notes"].dropna().iloc[0]
        )
    (tmp_path / "output").write_bytes(done.stdout + done.stderr)
    assert b"\x1b]0;" not in done.stdout + done.stderr
    assert b"MLflow: nothing more is logged there" in done.stdout + done.stderr
    wanted = [word.encode() for word in (*planted.values(), password, endpoint_password)]
    files, read = 0, 0
    for root in (tmp_path, ray_folder):
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path != plugin:
                content = path.read_bytes()
                files, read = files + 1, read + len(content)
                held = [word for word in wanted if word in content]
                assert not held, (
                    path,
                    [list(environment.values()).index(w.decode()) for w in held],
                )
    assert list(ray_folder.glob("ray/session_2*/logs/*"))
    print(f"{len(wanted)} secrets looked for in {files} files, {read:,} bytes: none found")


_LISTENING = """
import json, os, psutil, time, ray
from raylot.config import SweepOptions
from raylot.sweep.cluster import ray_session
from raylot.sweep.ray_start import RayStart
start = RayStart(SweepOptions(address="local"), 0)
start.begin()
with ray_session(SweepOptions(address="local"), start=start):
    @ray.remote
    def one():
        return 1
    assert ray.get(one.remote()) == 1
    me = psutil.Process()
    listening = [
        [process.name(), connection.laddr.ip]
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
print(json.dumps(listening))
"""


def test_a_local_ray_listens_on_loopback_and_keeps_its_token_to_itself(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.write_text("0" * 64)
    token.chmod(0o644)  # as Ray 2.60.0 leaves it
    done = subprocess.run(
        [sys.executable, "-c", _LISTENING], capture_output=True, text=True, check=True,
        env={**os.environ, "HOME": str(home), "RAY_ADDRESS": ""}, cwd=tmp_path,
    )  # fmt: skip
    listening = json.loads(done.stdout.splitlines()[-1])
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert token.stat().st_mode & 0o777 == 0o600
