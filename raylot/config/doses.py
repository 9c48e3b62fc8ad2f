"""How doses of shifts and interventions are written: ``l2_init(1e-3)``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from raylot.config.parameters import DOSED, declared, parameters, parameters_used
from raylot.foundation.names import BUILT_IN

#: What a dose has beside a plugin's own options.
_BESIDE_OWN = {*DOSED, *(name for kind in DOSED for name in parameters(kind)), "plugin_options"}

#: The text for an option that was not given.
NOT_GIVEN = "not given"


def with_value(name: str, text: str) -> str:
    """Names an option with its value's text, which may be `NOT_GIVEN`."""
    return f"{name} {text}" if text == NOT_GIVEN else f"{name}={text}"


def labelled(kind: str, dose: Mapping[str, Any], varied: Collection[str] = ()) -> str:
    """Names a shift or intervention with its dose: the parameters that vary, or differ from their
    defaults.

    The value alone stands for the first parameter, as in ``permuted_pixels(0.5)``; others have
    their names, as in ``permuted_pixels(gradual=0.5)``.

    Args:
        kind: ``shift`` or ``intervention``.
        dose: its name, and the values of its parameters and, for a plugin's, its own options.
        varied: parameters that are written even at their defaults.
    """
    name, known = str(dose[kind]), declared(kind)
    # Of a plugin's own options, the defaults are not known where the plugin is not loaded.
    own = [option for option in dose if option not in _BESIDE_OWN]
    used = [p for p in parameters_used(kind, name) if p in dose]
    if name not in BUILT_IN[kind]:  # the tables say which parameters it uses
        used = [p for p in used if dose[p] is not None]
    told = [p for p in used if p in varied or dose[p] != known[p].default]
    told += [option for option in own if option in varied]
    parts = [f"{option}={dose_text(dose[option])}" for option in told]
    if told == [*used, *own][:1]:
        parts = [dose_text(dose[option]) for option in told]
    return f"{name}({', '.join(parts)})" if parts else name


def dose_text(value: Any) -> str:
    """Returns a parameter's value, short and exact: ``1e-3``, ``0.5``, ``100``, ``true``."""
    if value is None:
        return NOT_GIVEN
    if isinstance(value, str):
        return value
    if str(value) in ("True", "False"):  # also numpy's
        return str(value).lower()
    plain = repr(float(value)).removesuffix(".0")
    power = f"{Decimal(plain):e}"
    return power if abs(value) < 1 and len(power) < len(plain) else plain


def in_file_names(label: str) -> str:
    """``redo(redo_interval=50)`` -> ``redo=redo_interval=50``: no plugin's name has a ``=``."""
    return label.replace("(", "=").replace(", ", "=").replace(")", "").replace(" ", "_")
