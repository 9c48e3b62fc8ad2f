"""A real Ray cluster of several nodes on this machine, and an S3 server with a proxy before it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from pyarrow import fs

from tests.faults.processes import Family, comes_true

_RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


class RayCluster:
    """A head that runs no trials, and nodes of one CPU each; all with a token of their own.

    Args:
        nodes: how many at first.
        environment: of all nodes, as for their storage's credentials.
    """

    def __init__(self, nodes: int, environment: Mapping[str, str] | None = None) -> None:
        # Short: the paths of sockets in it must not have more than 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
        token = self._folder / "token"
        token.write_text(uuid.uuid4().hex * 2)
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_DISABLE_IMPORT_WARNING": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **(environment or {}),
        }
        self.address = f"127.0.0.1:{free_port()}"
        self._first = nodes
        self.head: Family | None = None
        self.nodes: list[Family] = []

    def __enter__(self) -> Self:
        port = self.address.rpartition(":")[2]
        self.head = self._start(
            "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false",
            f"--temp-dir={self._folder}", "--node-ip-address=127.0.0.1",
        )  # fmt: skip
        assert comes_true(lambda: is_listening(int(port)) and self._sockets() == 1, 60)
        for _ in range(self._first):
            self.add_node()
        return self

    def __exit__(self, *raised: object) -> None:
        for family in [*self.nodes, *([self.head] if self.head else [])]:
            family.__exit__()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add_node(self, cpus: int = 1) -> None:
        before = self._sockets()
        self.nodes.append(
            self._start(
                f"--address={self.address}", f"--num-cpus={cpus}", "--node-ip-address=127.0.0.1"
            )
        )
        # Nodes of one machine that start at once may choose the same socket: then one ends.
        assert comes_true(lambda: self._sockets() > before, 60)

    def remove_node(self) -> None:
        """Without a word, as a spot machine goes."""
        self.nodes.pop(0).__exit__()

    def _sockets(self) -> int:
        return len(list(self._folder.glob("session_2*/sockets/raylet*")))

    def _start(self, *arguments: str) -> Family:
        return Family([_RAY, "start", "--block", *arguments], self.environment)


class ObjectStore:
    """A real S3 server on loopback (moto's), behind a proxy that can refuse all connections."""

    def __init__(self) -> None:
        self._server_port, self._port = free_port(), free_port()
        self.refuses = threading.Event()
        self.environment = {
            "AWS_ACCESS_KEY_ID": "the-key-id",
            "AWS_SECRET_ACCESS_KEY": "the-secret-key",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
        }
        self.refused = 0

    def __enter__(self) -> Self:
        arguments = [sys.executable, "-m", "moto.server", "-p", str(self._server_port)]
        # Its log of requests would fill the pipe that nobody reads.
        self._server = Family(["sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh", *arguments], {})
        assert comes_true(lambda: is_listening(self._server_port), 60)
        self._proxy = socket.create_server(("127.0.0.1", self._port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()
        self.filesystem = fs.S3FileSystem(
            access_key="the-key-id",
            secret_key="the-secret-key",
            endpoint_override=f"http://127.0.0.1:{self._server_port}",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        self.filesystem.create_dir("bucket")
        return self

    def __exit__(self, *raised: object) -> None:
        self._proxy.close()
        self._server.__exit__()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Answers nobody, and cuts off who is being answered."""
        self.refuses.set()
        try:
            yield
        finally:
            self.answer()

    def answer(self) -> None:
        """Ends refusing."""
        self.refuses.clear()

    def download(self, root: str, folder: Path) -> Path:
        """Copies what lies below a key to a local folder."""
        for found in self.filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
            if found.type == fs.FileType.File:
                target = folder / found.path.removeprefix(root).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                with self.filesystem.open_input_file(found.path) as file:
                    target.write_bytes(file.read())
        return folder

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._proxy.accept()
            except OSError:
                return
            if self.refuses.is_set():
                self.refused += 1
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source, target:
            source.settimeout(0.2)
            while not self.refuses.is_set():
                try:
                    data = source.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    return
                target.sendall(data)
            self.refused += 1
