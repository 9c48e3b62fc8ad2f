"""Contents of a storage that a stranger, or a damaged disk, may have made up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raylot.results.files import schema_of
from raylot.trials.state import tensors_to_bytes

#: Paths that lead out of a storage, or to where no artifact of a run lies.
OUTSIDE = (
    "../outside/kept", "artifacts/../../outside/kept", "artifacts/{run}/../../../outside/kept",
    "/tmp/kept", "artifacts//kept", "artifacts/{run}/sub/kept", "artifacts/{run}/.",
    "artifacts/{run}/..", "artifacts/other/kept", "state/{run}/kept", "tables/tasks/{run}.parquet",
    "artifacts/{run}/\x1b[2J", "artifacts/{run}/a\nb", "artifacts/{run}/\udcff", "./artifacts/x/y",
    "artifacts\\..\\kept",
)  # fmt: skip

_RUN_IDS = (
    None, "", ".", "..", "../../outside/kept", "/etc/passwd", "a/b", "a\nb", "\x1b[2J", "a" * 300,
    "a b", "é",
)  # fmt: skip

_NO_TEXTS: tuple[Any, ...] = (
    1, -(2**63), 1e308, float("nan"), True, b"\xff\xfe", ["a"], [], {"a": 1}, [[["a"]]],
)  # fmt: skip

_MANIFESTS = (
    "", "null", "[]", "5", '"text"', "{", "[" * 100_000, '{"a":' * 50_000, '{"tasks": null}',
    '{"tasks": [-1, "d"]}', '{"tasks": "abc"}',
    '{"tasks": -1}', '{"tasks": 1e999}', '{"tasks": NaN}', '{"tasks": [1]}', '{"tasks": [1, 2, 3]}',
    '{"tasks": ["x", "y"]}', '{"tasks": {"a": 1}}', '{"tasks": true}', '{"": 1}', '{"/": "x"}',
    '{"tasks": ' + "9" * 5000 + "}", '{"unheard": 3}', "\x00", '{"a/b": {"c": []}}',
)  # fmt: skip


def hostile_rows(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Variants of an ended run's row, each with something that no run writes."""
    run_id = row["run_id"]
    yield from ({**row, "run_id": value} for value in (*_RUN_IDS, *_NO_TEXTS))
    for column in ("kind", "status", "files", "inputs"):
        yield from ({**row, column: value} for value in _NO_TEXTS)
    for kind in (None, "", "\x1b]0;title\x07", "a\nb", "x" * 10_000, "damaged"):
        yield {**row, "kind": kind}
    for status in (None, "", "Finished", "running", "a\nb"):
        yield {**row, "status": status}
    for column, text in itertools.product(("files", "inputs"), _MANIFESTS):
        yield {**row, column: text}
    for column, path in itertools.product(("files", "inputs"), OUTSIDE):
        yield {**row, column: json.dumps({path.format(run=run_id): "0" * 64})}


def hostile_files(row: Mapping[str, Any]) -> Iterator[bytes]:
    """Contents for an ended run's file of ``runs``."""
    schema = schema_of("runs")
    for hostile in hostile_rows(row):
        yield _parquet({name: [value] for name, value in hostile.items()})
    whole = pa.Table.from_pylist([dict(row)], schema=schema)
    yield _written(whole.slice(0, 0))
    yield _written(pa.concat_tables([whole, whole]))
    yield _written(whole.drop_columns(["run_id"]))
    yield _written(whole.rename_columns(["run_id"] * len(schema)))
    yield _written(pa.table({"nothing": []}))
    yield from (b"", b"PAR1", b"PAR1PAR1", b"\x00" * 1000, b"{}", b"PAR1" + b"\xff" * 100 + b"PAR1")


def _parquet(columns: dict[str, list[Any]]) -> bytes:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, UnicodeEncodeError):  # a lone surrogate
            arrays[name] = pa.array(
                [str(value).encode(errors="surrogateescape") for value in values]
            )
    return _written(pa.table(arrays))


def _written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def hostile_states() -> Iterator[bytes]:
    """Contents for the saved state of a run, all with a checksum that fits."""
    whole = {"kind": "stream", "label": "a stream", "steps": 1, "of": 2}
    told: list[Any] = [None, [], 5, "text", {}, {**whole, "kind": ["a"]}, {**whole, "kind": None}]
    told += [{**whole, "steps": "many"}, {**whole, "of": {}}, {**whole, "label": "a\n\x1b[2J"}]
    told += [{**whole, "run_id": "other"}, {**whole, "protocol": 3}, {**whole, "plugins": [1]}]
    for state in (*map(json.dumps, told), "[" * 100_000, "{", "9" * 5000):
        yield tensors_to_bytes({}, {"state": state})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
