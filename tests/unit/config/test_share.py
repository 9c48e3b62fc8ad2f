"""How the streams of a study are dealt out to commands."""

from __future__ import annotations

from collections import Counter

import pytest

from raylot.config import Study
from raylot.config.runs import StreamRun
from raylot.config.share import Share
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep.sweep import Sweep


def _streams(seeds: str, interventions: str = "none") -> list[StreamRun]:
    study = Study.checked(seeds=seeds, interventions=interventions, shifts="stationary")
    return list(Sweep(study, Storage("."), *study_spaces(study))._all_streams)


def _shares(streams: list[StreamRun], of: int) -> list[list[StreamRun]]:
    return [Share(number, of).dealt(streams) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", [1, 2, 3, 4, 6, 7, 16])
@pytest.mark.parametrize("interventions", ["none", "none,l2", "none,l2,reset"])
def test_every_stream_is_in_one_share_and_shares_differ_by_one(interventions: str, of: int) -> None:
    streams = _streams("0-4", interventions)
    shares = _shares(streams, of)
    dealt = [run.run_id for share in shares for run in share]
    assert sorted(dealt) == sorted(run.run_id for run in streams)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_streams_stay_in_their_share_when_seeds_are_added_in_any_order() -> None:
    few, many = _streams("0-4", "none,l2,reset"), _streams("9,7,8,5,6,0-4", "none,l2,reset")
    for before, after in zip(_shares(few, 4), _shares(many, 4), strict=True):
        assert {run.run_id for run in before} <= {run.run_id for run in after}


@pytest.mark.parametrize("of", [2, 3, 4, 6])
def test_no_share_has_all_the_slow_ones(of: int) -> None:
    """Of an intervention's 12 streams, each share gets as many as any other."""
    streams = _streams("0-11", "none,l2,reset")
    for share in _shares(streams, of):
        assert set(Counter(run.intervention for run in share).values()) == {12 // of}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"share": text}, f"share={text}: must be K/N, the share and the number of shares, with")
        for text in ("0/4", "5/4", "1/100001", "1/0", "3", "3/", "/4", "-1/4", "1/4/2", "a/b", "")
    ]
    + [
        (
            {"share": "1/2", "until_width": 0.1},
            "share=1/2: must be given without until_width, as only the whole study says",
        )
    ],
)
def test_what_is_no_share_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError) as refused:
        Study.checked(**options)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


def test_a_share_is_written_in_one_way() -> None:
    assert Study.checked(share="03/016").share == "3/16"
