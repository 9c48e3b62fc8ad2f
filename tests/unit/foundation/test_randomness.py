"""A path names its numbers, in every process, and shares them with no other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from raylot.foundation.randomness import RandomKey

Path = tuple[int | str, ...]

paths = st.lists(
    st.integers(0, 2**63 - 1) | st.integers(0, 3) | st.text(max_size=8), max_size=5
).map(tuple)

#: Drawn once and written down: if these change, no old result can be reproduced any more.
PINNED: list[tuple[Path, list[int], int]] = [
    ((), [850, 636, 511, 269, 307], 7896617691693857887),
    ((0,), [837, 261, 109, 298, 413], 5064105440874769477),
    (
        (0, "shift", "permuted_pixels", "pixels", 0),
        [22, 589, 757, 337, 430],
        1665199727434016034,
    ),
    ((3, "ticket", 1), [565, 882, 900, 147, 905], 6127058463515669754),
]


def draws(path: Path) -> list[int]:
    return [int(value) for value in RandomKey(path).generator().integers(0, 2**63, 4)]


@pytest.mark.parametrize(("path", "integers", "torch_seed"), PINNED)
def test_the_scheme_is_pinned(path: Path, integers: list[int], torch_seed: int) -> None:
    key = RandomKey(path)
    assert key.generator().integers(0, 1000, 5).tolist() == integers
    assert key.torch_seed() == torch_seed


def _integers(part: int | str) -> list[int]:
    if isinstance(part, str):
        return [1, len(part.encode()), int.from_bytes(part.encode(), "little")]
    return [2, part] if part < 2**32 else [3, (part.bit_length() + 31) // 32, part]


@given(st.lists(st.integers(0) | st.integers(2**32 - 1, 2**32) | st.text(max_size=9)).map(tuple))
@example(("four", "\x00" * 8, "a\x00\x00\x00\x00", 2**64))
def test_numbers_are_those_of_numpy_for_the_parts_as_integers(path: Path) -> None:
    plain = np.random.SeedSequence([number for part in path for number in _integers(part)])
    assert np.array_equal(
        RandomKey(path).seed_sequence().generate_state(8), plain.generate_state(8)
    )


@given(paths)
def test_same_path_same_numbers(path: Path) -> None:
    first = RandomKey(path).generator()
    first.random(3)  # what was drawn before is of no account
    assert draws(path) == draws(path)
    assert RandomKey(path).torch_seed() == RandomKey(path).torch_seed()


@given(paths, paths)
def test_a_child_is_its_whole_path(path: Path, parts: Path) -> None:
    assert draws(RandomKey(path).child(*parts).path) == draws(path + parts)


@given(paths, paths)
@example(("ab", "c"), ("a", "bc"))
@example((1, "x"), ("x", 1))
@example((1,), ("1",))
@example((1,), ("\x01",))
@example((0,), ())
@example(("",), ())
@example(("",), ("\x00",))
@example(("a",), ("a\x00",))
@example((1, 2), (2, 1))
@example((0,), (0, 0))
@example((0,), (2**32,))
def test_different_paths_differ(path: Path, other: Path) -> None:
    assume(path != other)
    assert draws(path) != draws(other)
    assert RandomKey(path).torch_seed() != RandomKey(other).torch_seed()


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ((2 << 32, 2 + (7 << 32)), (0, 2, 7)),
        ((1 + (1 << 32) + (1 << 64) + (ord("b") << 96),), (1, "b")),
    ],
)
def test_large_numbers_are_not_taken_for_longer_paths(path: Path, other: Path) -> None:
    assert draws(path) != draws(other)


@pytest.mark.parametrize("purpose", ["shift", "ticket"])
def test_neighbouring_seeds_and_indices_are_uncorrelated(purpose: str) -> None:
    keys = [(seed, purpose, index) for seed in range(4) for index in range(4)]
    values = np.array([RandomKey(path).generator().normal(size=2000) for path in keys])
    correlations = np.corrcoef(values)[np.triu_indices(len(keys), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


@given(paths)
def test_torch_seeds_have_63_bits(path: Path) -> None:
    assert 0 <= RandomKey(path).torch_seed() < 2**63


def test_another_process_draws_the_same() -> None:
    path: Path = (5, "ticket", 3, "epoch", 0)
    program = f"from raylot.foundation.randomness import RandomKey as K; k = K({path!r}); print("
    program += "k.generator().integers(0, 2**63, 4).tolist(), k.torch_seed())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {f"{draws(path)} {RandomKey(path).torch_seed()}\n"}


@pytest.mark.parametrize("path", [(-1,), (0, "shift", -1)])
def test_negative_numbers_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="seed=-1: must be 0 or greater"):
        RandomKey(path).generator()


def test_fractions_are_refused() -> None:
    """Cut off, all of a plugin's learning rates would draw the same numbers."""
    with pytest.raises(TypeError):
        RandomKey((0.8,)).seed_sequence()  # type: ignore[arg-type]
    assert RandomKey((np.int64(3),)).torch_seed() == RandomKey((3,)).torch_seed()  # type: ignore[arg-type]
