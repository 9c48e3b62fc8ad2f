"""The registry of plugins: loads files, knows what they have added, and hashes their code.

``--plugin FILE.py``, or `load`, executes a plugin. With the decorators of `raylot.plugins` the
plugin registers what it adds; after that, options accept its names. A module that an installed
package lists as an entry point in the group ``raylot.plugins`` is a plugin too: the registry
executes it when an option gives a name that is not known yet. A plugin that is only imported, as by
its own tests, registers nothing.

A worker gets the plugin's text together with its runs, and executes it. So all nodes need the
packages that the plugin imports. `code_of` makes its code part of a run's identity.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from raylot.foundation.errors import OptionError, shown
from raylot.foundation.git import commit_of
from raylot.foundation.names import BUILT_IN
from raylot.foundation.paths import read_regular
from raylot.foundation.text import is_exit_request, one_line

#: The group of entry points in which an installed package lists its plugins.
ENTRY_POINTS = "raylot.plugins"

_NAME = re.compile("[a-z][a-z0-9_]{0,49}")

#: Characters of an error's text that are kept: one about a state dict can list every parameter.
_LONGEST_REASON = 1000

#: What a metric can look at: see `raylot.plugins.metric`.
Observed = Literal["network", "activations", "weights", "gradients"]
#: From the layers' values and sizes to the value of the whole network.
Combine = Callable[[Sequence[float], Sequence[int]], float]


@dataclass(frozen=True)
class AddedNetwork:
    """A network that a plugin has registered; see `raylot.plugins.network`."""

    function: Callable[..., Any]
    prune: Any


@dataclass(frozen=True)
class CriterionTraits:
    """The traits of a pruning criterion that a search reads before it scores.

    Attributes:
        gradients: it needs the mean gradients of the training that has just ended.
        before_training: it scores before any training, so that rounds train nothing.
        rounds: rounds of a search for which the user gives none; None: 20% of the survivors go in
            each.
        trains_scores: it takes as many steps as a training each time it scores.
    """

    gradients: bool = False
    before_training: bool = False
    rounds: int | None = None
    trains_scores: bool = False


@dataclass(frozen=True)
class AddedCriterion:
    """A pruning criterion that a plugin has registered; see `raylot.plugins.criterion`."""

    function: Callable[..., Any]
    traits: CriterionTraits


@dataclass(frozen=True)
class AddedMetric:
    """A metric that a plugin has registered; see `raylot.plugins.metric`."""

    function: Callable[..., Any]
    of: Observed
    combine: Combine | None


# ------------------------------------------------------------------ executing plugins


@dataclass(frozen=True)
class Plugin:
    """A plugin as text, as workers get it.

    Attributes:
        origin: the file's path as given, or the installed module's name.
        source: the text.
        code: short hash of what the text does.
        package: the package of an installed module, for its relative imports; empty for a file.
        commit: the git commit of a file, see `raylot.foundation.git`; empty if it has none.
    """

    origin: str
    source: str
    code: str
    package: str = ""
    commit: str = ""


@dataclass(frozen=True)
class _Addition:
    """One thing that a plugin has registered.

    Attributes:
        origin: the plugin's.
        it: the object.
        options: pydantic's model of the options of its own; None: it has none.
    """

    origin: str
    it: Any
    options: Any = None


#: What plugins have registered, by kind and name.
_Added = dict[tuple[str, str], _Addition]


@dataclass(frozen=True)
class _Execution:
    """A plugin under execution, the names in its module, and what it has registered so far."""

    plugin: Plugin
    module: dict[str, Any]
    found: _Added


@dataclass
class _Registry:
    """The plugins of this process.

    Attributes:
        plugins: the executed plugins, by origin.
        added: what they have registered.
        executing: the plugin under execution.
        has_looked: whether the plugins of installed packages have been executed.
        broken: why some of those could not be executed.
    """

    plugins: dict[str, Plugin] = field(default_factory=dict)
    added: _Added = field(default_factory=dict)
    executing: _Execution | None = None
    has_looked: bool = False
    broken: list[str] = field(default_factory=list)


_registry = _Registry()


def load(path: str | Path) -> None:
    """Executes a plugin's file. Loaded again, it replaces what it registered before.

    Raises:
        OptionError: the file cannot be read or executed, registers nothing, or registers a name
            that is taken.
    """
    origin = str(path)
    try:
        source = importlib.util.decode_source(read_regular(path))
        commit = commit_of(Path(path)) or ""
        plugin = Plugin(origin, source, _code(source, origin), commit=commit)
    except OSError as error:
        raise OptionError(_must_be(origin, f"it cannot be read: {error.strerror}")) from None
    except (SyntaxError, ValueError) as error:  # no text, or no Python
        raise OptionError(_must_be(origin, describe_error(error))) from None
    _execute(plugin)


def install(plugins: Iterable[Mapping[str, str]]) -> None:
    """Executes plugins that `texts` gave in another process, unless this one has executed them.

    Raises:
        OptionError: a plugin cannot be executed here.
    """
    for plugin in (Plugin(**parts) for parts in plugins):
        if _registry.plugins.get(plugin.origin) != plugin:
            _execute(plugin)


def forget() -> None:
    """Forgets all plugins."""
    global _registry
    _registry = _Registry()


def texts(codes: Iterable[str | None]) -> list[dict[str, str]]:
    """Returns the plugins that runs use, as plain texts for `install`.

    Args:
        codes: the ``plugins`` of each run, from `code_of`.
    """
    return [asdict(plugin) for plugin in _used(codes)]


def commits_of(code: str | None) -> str | None:
    """Returns the git commits of the plugins that a run uses, ``mine.py:1f2e...,other.py:...``.

    Args:
        code: the run's ``plugins``, from `code_of`.

    Returns:
        None if none of them comes from a clone.
    """
    known = [f"{Path(p.origin).name}:{p.commit}" for p in _used([code]) if p.commit]
    return ",".join(sorted(known)) or None


def _used(codes: Iterable[str | None]) -> list[Plugin]:
    used = {key for code in codes for key in listed(code)}
    origins = {_registry.added[key].origin for key in used if key in _registry.added}
    return [plugin for origin, plugin in _registry.plugins.items() if origin in origins]


def _execute(plugin: Plugin) -> None:
    module = types.ModuleType(f"raylot_plugin_{plugin.code}")
    module.__file__, module.__package__ = plugin.origin, plugin.package
    found: _Added = {}
    outer, _registry.executing = _registry.executing, _Execution(plugin, vars(module), found)
    sys.modules[module.__name__] = module  # dataclasses look for it there
    try:
        exec(compile(plugin.source, plugin.origin, "exec", dont_inherit=True), vars(module))
    except BaseException as error:  # a plugin may call sys.exit too
        if is_exit_request(error):
            raise
        raise OptionError(_must_be(plugin.origin, describe_error(error))) from None
    finally:
        _registry.executing = outer
    if not found:
        raise OptionError(_must_be(plugin.origin, "it registers nothing"))
    others = {key: it for key, it in _registry.added.items() if it.origin != plugin.origin}
    _registry.plugins[plugin.origin], _registry.added = plugin, others | found


def load_installed() -> bool:
    """Executes the plugins of installed packages, once per process; returns whether it did now."""
    if _registry.has_looked or _registry.executing:
        return False
    _registry.has_looked = True
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            spec = importlib.util.find_spec(point.module)
            source = getattr(spec and spec.loader, "get_source", lambda name: None)(point.module)
            if spec is None or source is None:
                raise OptionError(_must_be(point.module, "there is no such module"))
            version = "" if point.dist is None else f"{point.dist.name} {point.dist.version}"
            code = _code(source, point.module, version)
            _execute(Plugin(point.module, source, code, spec.parent or ""))
        except BaseException as error:  # the package around the plugin may call sys.exit too
            if is_exit_request(error):
                raise
            told = _must_be(point.module, describe_error(error))
            _registry.broken.append(str(error) if isinstance(error, OptionError) else told)
    return True


def _must_be(origin: str, reason: str) -> str:
    return (
        f"plugin={shown(origin)}: must be a Python file that registers data sets, shifts, "
        f"networks, criteria, metrics or interventions; {reason}"
    )


# ------------------------------------------------------------------ registering


def registers(
    kind: str,
    name: str,
    arguments: str,
    stored: Callable[[Any], Any] = lambda function: function,
    taken: Collection[str] = (),
    options: Any = None,
) -> Callable[[Any], Any]:
    """Returns a decorator that registers a function or class, and leaves it as it is.

    Args:
        kind: what it is, as ``shift``.
        name: what users call it.
        arguments: with which it will be called.
        stored: makes what `find` returns.
        taken: names that it cannot have.
        options: pydantic's model of the options of its own; None: it has none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        given = shown(getattr(name, "__name__", name))  # a function, if the user forgot the name
        raise OptionError(
            f"{kind} {given}: must be given a name of at most 50 small letters, digits and "
            f'"_", as @plugins.{kind}("mine")'
        )
    if name in taken:
        told = "must have another name, as tables or the analysis use this one"
        raise OptionError(f"{kind} {name}: {told}")

    def decorate(function: Any) -> Any:
        _check_arguments(kind, name, function, arguments)
        now = _registry.executing
        if now is not None and sys._getframe(1).f_globals is now.module:  # not from an import
            _check_is_free(kind, name, now)
            now.found[kind, name] = _Addition(now.plugin.origin, stored(function), options)
        return function

    return decorate


def _check_arguments(kind: str, name: str, function: Any, arguments: str) -> None:
    try:
        inspect.signature(function).bind(*arguments.split(", "))
    except ValueError:  # Python does not know the arguments of some builtins
        return
    except TypeError:
        raise OptionError(f"{kind} {name}: must take ({arguments})") from None


def _check_is_free(kind: str, name: str, now: _Execution) -> None:
    if name in BUILT_IN[kind]:
        raise OptionError(f"{kind} {name}: must have another name, as this is built in")
    here = now.plugin.origin
    there = _registry.added.get((kind, name))
    origin = here if there is None else there.origin
    if (kind, name) in now.found or origin != here:
        raise OptionError(f"{kind} {name}: must be registered once; {origin} has it too")


# ------------------------------------------------------------------ what is registered


def names(kind: str) -> list[str]:
    """Returns the names that an option accepts: built in, then added by plugins.

    Built-in metrics are not among them: ``metrics`` names those of plugins alone.
    """
    added = [name for of, name in _registry.added if of == kind]
    return [*(BUILT_IN[kind] if kind != "metric" else ()), *added]


def find(kind: str, name: str) -> Any:
    """Returns what a plugin has registered under a name; None if no plugin has.

    Looks into installed packages if the name is unknown.
    """
    if (kind, name) not in _registry.added and name not in BUILT_IN[kind]:
        load_installed()
    found = _registry.added.get((kind, name))
    return None if found is None else found.it


def options_of(kind: str, name: str) -> Any:
    """Returns pydantic's model of the options of a plugin's shift, network or other thing.

    Returns:
        None if it has none, or if no plugin of this process has registered it.
    """
    found = _registry.added.get((kind, name))
    return None if found is None else found.options


def with_options() -> dict[tuple[str, str], Any]:
    """Returns the models of all that have options of their own, by kind and name.

    A plugin that is being executed again counts as it is now.
    """
    added, now = _registry.added, _registry.executing
    if now is not None:
        others = {key: it for key, it in added.items() if it.origin != now.plugin.origin}
        added = others | now.found
    return {key: it.options for key, it in added.items() if it.options is not None}


def get(kind: str, name: str) -> Any:
    """Returns what a plugin has registered under a name.

    Raises:
        OptionError: this process has not loaded the plugin, as another one had.
    """
    found = find(kind, name)
    if found is None:
        raise OptionError(f"{kind}={name}: must be of a plugin that is loaded here")
    return found


def check_returned(kind: str, name: str, value: object, wanted: type) -> None:
    """Makes sure that a plugin's function has returned an object of the right type.

    Raises:
        TypeError: it has not.
    """
    if not isinstance(value, wanted):
        raise TypeError(
            f"{kind} {name}: must return a {wanted.__name__}, not a {type(value).__name__}"
        )


def broken() -> list[str]:
    """Returns why plugins of installed packages could not be executed."""
    return list(_registry.broken)


def describe_error(error: BaseException, anywhere: bool = False) -> str:
    """Describes an error in one line: ``ValueError: its text (at file.py:12)``.

    Args:
        error: any exception. The type of an `OptionError` is left out.
        anywhere: whether to name the place too if it is not in a plugin.
    """
    kind = "" if isinstance(error, OptionError) else f"{type(error).__name__}: "
    frames = [(frame.f_code.co_filename, n) for frame, n in traceback.walk_tb(error.__traceback__)]
    now = _registry.executing
    plugins = {*_registry.plugins, *([now.plugin.origin] if now else [])}
    of_plugin = [(filename, line) for filename, line in frames if filename in plugins]
    places = of_plugin or (frames if anywhere else [])
    place = "".join(f" (at {Path(filename).name}:{line})" for filename, line in places[-1:])
    return one_line(f"{kind}{one_line(error, _LONGEST_REASON)}{place}")


# ------------------------------------------------------------------ a run's identity


def code_of(used: Iterable[tuple[str, str]]) -> str | None:
    """Returns what a run uses of plugins, and their code: ``shift:darker:1f2e3d4c5b6a,...``.

    The code is a short hash of what the plugin's file does. Comments, docstrings and formatting do
    not count, nor does the code of modules that the file imports. The version of an installed
    plugin's package does.

    Args:
        used: kind and name of everything that a run uses.

    Returns:
        None if the run uses no plugin.
    """
    parts = []
    for kind, name in used:
        if find(kind, name) is not None:
            origin = _registry.added[kind, name].origin
            parts.append(f"{kind}:{name}:{_registry.plugins[origin].code}")
    return ",".join(sorted(parts)) or None


def listed(code: str | None) -> dict[tuple[str, str], str]:
    """Reads what `code_of` returned: (kind, name) -> code."""
    parts = [part.split(":") for part in (code or "").split(",") if part]
    return {(kind, name): of for kind, name, of in parts}


def without(
    code: str | None, kinds: Collection[str], but: Collection[tuple[str, str]] = ()
) -> str | None:
    """Returns a text of parts ``kind:name:...``, as `code_of` returns, without some kinds.

    Of these kinds, ``but`` names what stays.
    """
    kept = [part for part in (code or "").split(",")
            if part.split(":")[0] not in kinds or tuple(part.split(":")[:2]) in but]  # fmt: skip
    return ",".join(kept) or None


def only(code: str | None, used: Collection[tuple[str, str]]) -> str | None:
    """Returns a text of parts ``kind:name:...``, as `code_of` returns, of ``used`` alone."""
    kept = [part for part in (code or "").split(",") if tuple(part.split(":")[:2]) in used]
    return ",".join(kept) or None


_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _code(source: str, origin: str, version: str = "") -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns again when the text is executed
        tree = ast.parse(source, origin)
    text = json.dumps([_plain(tree), version])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(node: object) -> object:
    """Returns a syntax tree as lists, without docstrings and empty fields.

    `ast.dump` writes the same tree differently in different versions of Python.
    """
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    kept = [
        [name, _plain(value)]
        for name, value in fields.items()
        if value is not None and value != [] and name != "kind"  # "kind": of u"..."
    ]
    return [type(node).__name__, *kept]
