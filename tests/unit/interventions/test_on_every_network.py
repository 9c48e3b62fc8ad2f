"""Which method goes with which network, as docs/interventions.md has it."""

from __future__ import annotations

import pytest
from torch import nn

from raylot import interventions, networks
from raylot.config import StreamRun
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey

_METHODS = [name for name in BUILT_IN["intervention"] if name != "none"]


def _refusal(network: str, method: str, norm: str) -> str | None:
    """The line that refuses a method with a network, by its options or by the network itself."""
    try:
        run = StreamRun.checked(
            dataset="mnist", network=network, norm=norm, intervention=method, width_scale=0.1,
            width=4, carry_optimizer=method == "optimizer_reset",
        )  # fmt: skip
        built = networks.build(run, (1, 16, 16), 3, RandomKey((0, "test")))
        made = interventions.make(run)
        assert made is not None
        made.prepare(built)
        made.check(built)
    except OptionError as error:
        return str(error)
    return None


@pytest.mark.parametrize("network", BUILT_IN["network"])
@pytest.mark.parametrize("norm", ["none", "group", "batch"])
def test_all_methods_go_with_all_networks_but_these(network: str, norm: str) -> None:
    refused = {m: line for m in _METHODS if (line := _refusal(network, m, norm)) is not None}
    expected = {}
    if network == "vit":
        expected["weight_projection"] = (
            "intervention=weight_projection: must go with a network other than vit"
        )
    elif norm == "none":
        expected["weight_projection"] = (
            "intervention=weight_projection: must go with a norm other than none"
        )
    elif norm == "batch":
        expected["plasticity_injection"] = (
            "norm=batch: must be another with intervention plasticity_injection, whose frozen "
            "networks cannot share running statistics"
        )
    assert refused == expected


def test_a_network_without_units_that_feed_one_layer_alone_is_refused() -> None:
    for method in ("redo", "cbp", "snr"):
        made = interventions.make(StreamRun(intervention=method))
        assert made is not None
        with pytest.raises(OptionError, match=f"^intervention={method}: must go with a network w"):
            made.check(nn.Sequential(nn.Linear(2, 3)))
