"""The real TensorBoard as a process of its own, asked over HTTP as its pages ask it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.faults.processes import comes_true

#: Never through a proxy that the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class TensorBoardServer:
    """Shows a folder for as long as the context lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.address = folder, ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(self._folder)]
        self._log = tempfile.NamedTemporaryFile("w")
        self._process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", "0"],  # it chooses one that is free
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        if not comes_true(lambda: bool(self._find_address()), 120):
            self.__exit__()
            raise AssertionError("TensorBoard does not start")
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def tags(self, runs: int, within: float = 120) -> dict[str, list[str]]:
        """Run -> tags of its scalars, as soon as so many runs are loaded, with all of theirs."""
        give_up = time.monotonic() + within
        before: dict[str, list[str]] = {}
        while True:
            found = {run: sorted(tags) for run, tags in self._ask("scalars/tags").items()}
            if len(found) == runs and found == before:
                return found
            assert time.monotonic() < give_up, f"{len(found)} of {runs} runs; {self._said()}"
            before = found
            time.sleep(1)

    def _find_address(self) -> str:
        assert self._process.poll() is None, self._said()
        found = re.search(r"http://127\.0\.0\.1:\d+", self._said())
        self.address = found[0] if found else ""
        return self.address

    def _said(self) -> str:
        return Path(self._log.name).read_text()

    def scalars(self, run: str, tag: str) -> dict[int, float]:
        """Step -> value."""
        place = urllib.parse.urlencode({"run": run, "tag": tag})
        return {step: value for _, step, value in self._ask(f"scalars/scalars?{place}")}

    def hparams(self) -> list[tuple[dict[str, Any], dict[str, float]]]:
        """The options and the measures of each run, as its table and parallel axes show them."""
        experiment = self._ask("hparams/experiment", {"includeMetrics": True})
        columns: list[dict[str, Any]] = [{"hparam": i["name"]} for i in experiment["hparamInfos"]]
        columns += [{"metric": info["name"]} for info in experiment["metricInfos"]]
        wanted = {
            "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"],
            "colParams": columns,
            "includeMetrics": True,
            "startIndex": 0,
            "sliceSize": 1000,
        }
        groups = self._ask("hparams/session_groups", wanted)["sessionGroups"]
        return [
            (g["hparams"], {m["name"]["tag"]: m["value"] for m in g["metricValues"]})
            for g in groups
        ]

    def _ask(self, what: str, told: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.address}/data/plugin/{what}",
            data=None if told is None else json.dumps(told).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _OPENER.open(request, timeout=30) as answer:
            return json.load(answer)
