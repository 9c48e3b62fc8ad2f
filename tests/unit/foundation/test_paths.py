"""Which texts cannot be a folder or URI, and what the message says; reading of regular files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raylot.config import DataOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.paths import is_uri, read_regular, why_refused
from raylot.storage import Storage

_SCHEMES = "a URI begins with one of s3, gs, gcs, abfs, abfss, hdfs, viewfs, file"
_BUCKET = "it names no bucket; write s3://BUCKET/FOLDER"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3:/bucket/x", "write s3://bucket/x"),
        ("s3:bucket/x", "write s3://bucket/x"),
        ("S3://bucket/x", "write s3://bucket/x"),
        ("S3:/bucket/x", "write s3://bucket/x"),
        ("gs:/bucket", "write gs://bucket"),
        ("s3:///x", _BUCKET),
        ("s3://bucket/../x", "no folder in a URI may be empty, . or .."),
        ("s3://bucket//x", "no folder in a URI may be empty, . or .."),
        ("file:/x", "write /x"),
        ("FILE:///x", "write file:///x"),
        ("file://host/x", "a file's URI begins with three slashes, as in file:///data/results"),
        ("local:///x/y", "write /x/y"),
        ("local:/x", "write /x"),
        ("http://host/x", _SCHEMES),
        ("mock:///x", _SCHEMES),
        ("://x", _SCHEMES),
        ("C:\\x", "folders are separated by / here, as in /data/results"),
        ("C:/x", "a drive of Windows is none here; write a folder as /data/results"),
        ("a\\b", "folders are separated by / here, as in /data/results"),
        ("study:1", "write ./study:1 for a folder of that name"),
        ("$HOME/x", "nothing replaces $HOME here; write what it stands for"),
        ("${HOME}/x", "nothing replaces ${HOME} here; write what it stands for"),
        ("/scratch/$USER/x", "nothing replaces $USER here; write what it stands for"),
        ("s3://$BUCKET/x", "nothing replaces $BUCKET here; write what it stands for"),
        ("%TEMP%/x", "nothing replaces %TEMP% here; write what it stands for"),
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("x ", "it begins or ends with a space"),
        (" s3://bucket/x", "it begins or ends with a space"),
        ("a\nb", "it has characters that cannot be printed"),
        ("a\x1b[2J", "it has characters that cannot be printed"),
    ],
)
def test_what_nobody_can_mean_is_refused_with_what_to_write(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_refused(text) == reason
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="must be a folder that can be written, or a URI") as told:
        Storage(text)
    assert str(told.value).endswith(f"({reason})")
    with pytest.raises(OptionError, match=r"^data_root=.*: must be a folder that holds MNIST"):
        DataOptions.checked(data_root=text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "results/x", "/data/x", "./s3:/x", "~/x", ".", "..", "x y", "a/b:c", "ü", "100%", "a$",
        "a~", "s3://bucket", "s3://bucket/", "s3://bucket/a b/c", "gs://bucket/x", "file:///data/x",
        "hdfs://node:8020/x", "abfs://container@account/x", "s3://bucket/x?region=eu-central-1",
    ],
)  # fmt: skip
def test_what_somebody_can_mean_is_not(text: str) -> None:
    assert why_refused(text) is None
    assert is_uri(text) == ("://" in text)


@pytest.mark.parametrize("name", ["$HOME", "a\\b", "%TEMP%", "x "])
def test_a_folder_that_exists_may_be_called_anything(name: str, tmp_path: Path) -> None:
    """If its whole path is given: a path beside the working directory may be a slip."""
    folder = tmp_path / name
    assert why_refused(str(folder)) is not None
    Storage(folder).write("x", b"a Path is no text that somebody typed")
    assert why_refused(str(folder)) is None
    assert Storage(str(folder)).read("x") is not None


@pytest.mark.parametrize("name", ["$HOME", "a\\b", "%TEMP%"])
def test_what_was_opened_once_is_opened_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it exists, too: nobody has typed the name of the working directory."""
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    root = Storage("results").root
    assert why_refused(root) is not None
    assert Storage.again(root).root == root == str(tmp_path / name / "results")
    assert Storage.again("file:///data/x").root == "file:///data/x"


def test_a_slip_of_a_uri_does_not_show_its_password() -> None:
    with pytest.raises(OptionError, match="must hold no credentials") as told:
        Storage("s3:/key:secret@bucket/x")
    assert "secret@" not in str(told.value)


def test_a_data_root_is_no_uri() -> None:
    with pytest.raises(OptionError, match="it must be a folder of this machine"):
        DataOptions.checked(data_root="s3://bucket/x")
    assert DataOptions.checked(data_root="/data/x").data_root == Path("/data/x")


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link") == read_regular(str(tmp_path / "file")) == b"abcdef"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_pipe").symlink_to("pipe")
    for name in ("pipe", "to_pipe", ".", "missing", "~no_such_user_at_all"):
        with pytest.raises(OSError, match=r"it is a folder, a pipe|No such file"):
            read_regular(tmp_path / name if "~" not in name else name)
