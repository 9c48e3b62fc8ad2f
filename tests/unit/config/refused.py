"""How a mistake is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raylot.foundation.errors import OptionError


def refusal(make: Callable[[], object]) -> str:
    """The message with which something is refused, which must be one line."""
    with pytest.raises(OptionError) as caught:
        make()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message
