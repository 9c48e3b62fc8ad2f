"""How much memory there is."""

from __future__ import annotations

from pathlib import Path

from raylot.foundation.memory import memory


def test_a_containers_limit_counts_if_it_is_less(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = memory(())
    assert whole > 2**28
    for text, expected in (("max\n", whole), ("1048576\n", 2**20), (f"{2**62}\n", whole)):
        limit.write_text(text)
        assert memory((str(limit), str(tmp_path / "none"))) == expected
