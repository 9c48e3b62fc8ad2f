"""The base of options that take names, built in or added by plugins."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Self

from pydantic import model_validator
from pydantic.fields import FieldInfo

from raylot.config.options import PLUGINS_ADD, Options, accepted, did_you_mean, named_by
from raylot.config.plugin_options import WithPluginOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError, shown

#: What some call an intervention, and which option of networks it is.
_OPTIONS_OF_NETWORKS = {
    "crelu": "activation=crelu", "fourier": "activation=fourier", "prelu": "activation=prelu",
    "adalin": "activation=prelu", "layer_norm": "norm=layer", "layernorm": "norm=layer",
}  # fmt: skip


class NamingOptions(WithPluginOptions):
    """Base of options that take names, built in or added by plugins."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        """Refuses unknown names; those in `StreamRun.plugins` are known to another process."""
        used = registry.listed(getattr(self, "plugins", None))
        for name, field, kind in naming_fields(type(self)):
            for word in names_in(getattr(self, name)):
                if (kind, word) in used or word in registry.names(kind):
                    continue
                if registry.find(kind, word) is None:
                    meant = _meant(kind, word)
                    hint = "; ".join([*meant, PLUGINS_ADD, *registry.broken()])
                    raise OptionError(f"{name}={shown(word)}: must be {accepted(field)}; {hint}")
        return self


def names_in(value: Any) -> tuple[str, ...]:
    """The names in the value of an option that takes names: one, several, or none."""
    return (value,) if isinstance(value, str) else tuple(value or ())


@functools.cache
def naming_fields(model: type[Options]) -> list[tuple[str, FieldInfo, str]]:
    """A model's options that take names: the option, its declaration, and the kind of the names."""
    return [
        (name, field, named.kind)
        for name, field in model.model_fields.items()
        if (named := named_by(field)) is not None
    ]


def _meant(kind: str, word: str) -> Iterator[str]:
    """What a name that is not known may stand for: ``did you mean redo?``"""
    option = _OPTIONS_OF_NETWORKS.get(word.lower()) if kind == "intervention" else None
    if option is not None:
        yield f"{word} is the option {option}, which goes with all of them"
    elif close := did_you_mean(word, registry.names(kind)):
        yield close
