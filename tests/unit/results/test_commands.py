"""What was run is on record, once each, and nothing that is no record."""

from __future__ import annotations

from pathlib import Path

from raylot.results.commands import commands, record
from raylot.storage import Storage


def test_commands_are_noted_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert commands(storage) == []
    for line in ("python b.py --seeds '0 1'", "python a.py", "python b.py --seeds '0 1'"):
        record(storage, line)
    assert {command.line for command in commands(storage)} == {
        "python b.py --seeds '0 1'", "python a.py",
    }  # fmt: skip
    assert not any(command.adds_seeds for command in commands(storage))
    for _ in range(2):  # as with a configuration file that has been changed since
        record(storage, "python a.py", adds_seeds=True)
    assert [command.line for command in commands(storage) if command.adds_seeds] == ["python a.py"]
    assert len(commands(storage)) == 3


def test_commands_are_in_the_order_in_which_they_were_first_given(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    for line in ("python b.py", "python a.py", "python b.py"):
        record(storage, line)
    firsts = [command.first for command in commands(storage)]
    assert len(firsts) == 2
    assert firsts == sorted(firsts)
