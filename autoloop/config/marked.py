"""YAML text to plain values, each with its place in the file.

`yaml.safe_load` is not used: it drops the places, lets the last of two equal keys win,
expands aliases without end, and reads ``No`` as false, ``010`` as 8 and ``1:30`` as 90.
Here such text is refused, where a reader of the file can see why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from autoloop.config.hints import misread_direction
from autoloop.errors import ConfigError, DataError
from autoloop.plugins import nearest

KeyPath = tuple[str | int, ...]
"""Keys and list positions that lead from the top of the file to a value."""

MAX_BYTES: Final = 200_000
"""A run file has about 1 kB; this keeps a wrong file from being parsed for minutes."""

MAX_DEPTH: Final = 20
"""Portfolios within portfolios stay below it; the parser recurses once a level."""

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")  # fits SQLite and numpy
_DECIMAL: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_NULLS: Final = ("null", "Null", "NULL", "~")
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column in a file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: its key and the sentence about it; `place` overrides the key's.

    `in_data` if it is that of the content of a file which the run file names.
    """

    path: KeyPath
    message: str
    place: Place | None = None
    in_data: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """The values of a YAML file and where each of them stands.

    Attributes
    ----------
    file : Path
        As the user named it.
    values : dict
        JSON values.
    places : mapping
        Key path to place: of the key in a mapping, of the value in a list.
    overridden : frozenset
        Key paths that come from the command line instead of the file.
    """

    file: Path
    values: dict[str, Any]
    places: Mapping[KeyPath, Place]
    overridden: frozenset[KeyPath] = frozenset()

    def place(self, path: KeyPath) -> Place:
        """Return where a key stands; for one that is not there, its parent."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))

    def describe(self, problem: Problem) -> str:
        """Return ``file:line:column: key.path: message``."""
        name = dotted(problem.path)
        message = " ".join(problem.message.split("\n"))
        subject = f"{name}: {message}" if name else message
        if any(problem.path[: len(path)] == path for path in self.overridden):
            return f"command line: {subject}"
        place = problem.place or self.place(problem.path)
        return f"{self.file}:{place.line}:{place.column}: {subject}"

    def error(self, problems: Iterable[Problem]) -> ConfigError | DataError:
        """Return the error that reports the problems, in the order of the file."""
        ordered = sorted(problems, key=lambda p: p.place or self.place(p.path))
        kind = DataError if all(p.in_data for p in ordered) else ConfigError
        return kind("\n".join(self.describe(p) for p in ordered))


def dotted(path: KeyPath) -> str:
    """Write a key path as people do.

    Examples
    --------
    >>> dotted(("grains", 0, "zone_axis"))
    'grains[0].zone_axis'
    """
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def read_marked(file: Path, text: str | None = None) -> tuple[Marked, str]:
    """Read a YAML file; return its values with their places, and its text.

    Parameters
    ----------
    file : Path
        Names it in messages.
    text : str, optional
        Instead of what the file holds.

    Raises
    ------
    ConfigError
        If the file is missing, unreadable, or not the plain YAML of a run file.
    """
    text = _read_text(file) if text is None else text
    empty = Marked(file=file, values={}, places={})
    try:
        _refuse_hazards(text, empty)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise empty.error([_syntax(error, text)]) from error
    except yaml.YAMLError as error:
        # A character that YAML forbids: the reader gives no mark.
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(root, yaml.MappingNode):
        message = "a run file is a mapping of keys to values, such as 'name: my_run'"
        raise empty.error([Problem(path=(), message=message)])
    places: dict[KeyPath, Place] = {(): _place(root.start_mark)}
    problems: list[Problem] = []
    values = _value(root, (), places, problems)
    marked = Marked(file=file, values=values, places=places)
    if problems:
        raise marked.error(problems)
    return marked, text


def override(marked: Marked, overrides: Mapping[str, Any]) -> Marked:
    """Put values of the command line, by dotted key, over those of the file.

    None means that the command line says nothing.
    """
    values = {**marked.values}
    given = {key: value for key, value in overrides.items() if value is not None}
    for key, value in given.items():
        *parents, last = key.split(".")
        inner = values
        for parent in parents:
            section = inner.get(parent)
            inner[parent] = dict(section) if isinstance(section, dict) else {}
            inner = inner[parent]
        inner[last] = value
    return Marked(
        file=marked.file,
        values=values,
        places=marked.places,
        overridden=frozenset(tuple(key.split(".")) for key in given),
    )


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings = [p.name for p in file.parent.glob("*.y*ml")]
        hint = nearest(file.name, siblings) or "; check the path"
        raise ConfigError(f"{file}: no such run file{hint}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{file}: cannot be read as a run file: {reason}; give the path of a "
            "readable YAML file"
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{file}: larger than {MAX_BYTES} bytes, so not a run file; give the path "
            "of a YAML file as in the README"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError(
            f"{file}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8 text"
        ) from None


def _refuse_hazards(text: str, marked: Marked) -> None:
    """Refuse what the recursive composer would choke on, from the flat event stream."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        message = _hazard(event, depth)
        if message:
            place = _place(event.start_mark) if event.start_mark else None
            raise marked.error([Problem(path=(), message=message, place=place)])


def _hazard(event: yaml.Event, depth: int) -> str:
    if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
        sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
        return (
            f"anchors and aliases are not read in run files ('{sign}{event.anchor}'); "
            "write the value out, or put text that begins with & or * in quotes"
        )
    tag = getattr(event, "tag", None)
    if tag not in (None, "!"):
        return f"tags are not read in run files ('{tag}'); write plain values"
    if depth > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels; a run file needs about 4"
    return ""


def _syntax(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "cannot be read"
    remedy = "check indentation, colons, quotes and brackets here and in the line above"
    if "'\\t'" in problem:
        remedy = "indent with spaces"
    elif mark and "${" in "".join(text.split("\n")[mark.line : mark.line + 1]):
        # Braces mean a mapping, wherever one is written as {key: value}.
        remedy = "put text with ${...} in quotes"
    return Problem(
        path=(),
        message=f"not YAML: {problem}; {remedy}",
        place=_place(mark) if mark else None,
    )


class _Mark(Protocol):
    """PyYAML has two classes of marks, one of them in C."""

    line: int
    column: int


def _place(mark: _Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _value(
    node: yaml.Node,
    path: KeyPath,
    places: dict[KeyPath, Place],
    problems: list[Problem],
) -> Any:
    """Return the plain value of a node; note places and problems on the way."""
    if isinstance(node, yaml.MappingNode):
        return {
            key: _value(child, (*path, key), places, problems)
            for key, child in _entries(node, path, places, problems)
        }
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, child in enumerate(node.value):
            places[*path, index] = _place(child.start_mark)
            items.append(_value(child, (*path, index), places, problems))
        return items
    value, message = _scalar(node)
    if message:
        message = misread_direction(node.value, path) or message
        problems.append(Problem(path=path, message=message))
    return value


def _entries(
    node: yaml.MappingNode,
    path: KeyPath,
    places: dict[KeyPath, Place],
    problems: list[Problem],
) -> Iterator[tuple[str, yaml.Node]]:
    """Give the entries whose key is a name that did not occur before."""
    first: dict[str, int] = {}
    for key_node, child in node.value:
        place = _place(key_node.start_mark)
        key = key_node.value
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z_]\w*", key):
            shown = f"'{key}'" if isinstance(key, str) else "a list or mapping"
            message = f"{shown} is not a key: keys are names such as 'policy'"
            problems.append(Problem(path=path, message=message, place=place))
        elif key in first:
            message = f"given twice, first in line {first[key]}; remove one of the two"
            problems.append(Problem(path=(*path, key), message=message, place=place))
        else:
            first[key] = place.line
            places[*path, key] = place
            yield key, child


def _scalar(node: yaml.Node) -> tuple[Any, str]:
    """Return the value of a scalar and, if it is not plain, what is wrong with it."""
    text = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "str":
        return text, ""
    if kind == "null":
        if text in _NULLS:
            return None, ""
        return None, "has no value; write one after the colon, or remove the key"
    if kind == "bool" and text in ("true", "false"):
        return text == "true", ""
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text), ""
    if kind == "float" and _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text), ""
    return None, _not_plain(kind, text)


def _not_plain(kind: str, text: str) -> str:
    if kind == "bool":
        meaning = "true" if text.lower() in ("yes", "on", "true") else "false"
        return (
            f"YAML reads {text} as {meaning}; write {meaning}, or '{text}' in quotes "
            "if it is meant as text"
        )
    if kind in ("int", "float"):
        return (
            f"{text} is not a plain finite number (YAML has its own reading of it); "
            f"write plain decimals, or '{text}' in quotes if it is meant as text"
        )
    return f"YAML reads {text} as a {kind}; write '{text}' in quotes"
