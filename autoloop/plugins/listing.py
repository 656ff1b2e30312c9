"""Which policies there are, and what their options are."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autoloop.plugins.docstrings import description, meanings, summary
from autoloop.plugins.loading import (
    mentions_policy,
    options_of,
    policy_class,
    policy_file,
    policy_names,
)
from autoloop.protocols import Policy

POLICY_REFERENCE: Final = {"$ref": "#/definitions/policy"}
"""In the schema of an option: whatever `policy` of a run file may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a policy.

    Attributes
    ----------
    name : str
        As in the run file.
    type : str
        What it may be, in words, with its bounds.
    required : bool
        Whether it has no default.
    default : object
        JSON value; None if it has none.
    meaning : str
        What it does; "" if the policy does not say.
    schema : mapping
        The same as JSON Schema.
    """

    name: str
    type: str
    required: bool
    default: Any
    meaning: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDescription:
    """A policy as its class describes itself.

    Attributes
    ----------
    name : str
        As in the run file.
    file : Path
        Where it is written.
    purpose : str
        One sentence.
    details : str
        More than that; "" if there is no more.
    options : tuple of Option
        In the order of the class.
    """

    name: str
    file: Path
    purpose: str
    details: str
    options: tuple[Option, ...]


def describe_policies() -> tuple[PolicyDescription, ...]:
    """Describe the policies that come with autoloop, sorted by name."""
    return tuple(describe_policy(name, Path()) for name in policy_names())


def describe_policy(name: str, base: Path) -> PolicyDescription:
    """Describe a policy.

    Parameters
    ----------
    name : str
        ``random_search``, or ``./my_policy.py``; a file is code, and is run for it.
    base : Path
        Folder that a relative file starts from.

    Raises
    ------
    PolicyError
        If there is no such policy.
    """
    kind = policy_class(name, base)
    own = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    if own.startswith(f"{kind.__name__}("):  # made by dataclass, for want of another
        own = ""
    teller: object = kind if own else sys.modules[kind.__module__]
    return PolicyDescription(
        name=name,
        file=policy_file(name, base),
        purpose=summary(teller),
        details=description(teller),
        options=_options(kind),
    )


def _options(kind: type) -> tuple[Option, ...]:
    fields = options_of(kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    said = meanings(kind, "Attributes") | meanings(kind, "Parameters")
    options = []
    for name, field in fields.items():
        required, default = _default(field)
        schema = _schema(hints[name])
        options.append(
            Option(
                name=name,
                type=type_in_words(schema),
                required=required,
                default=default,
                meaning=said.get(name, ""),
                schema=schema,
            )
        )
    return tuple(options)


def _default(field: dataclasses.Field[Any]) -> tuple[bool, Any]:
    """Return whether an option must be given, and its default as a JSON value."""
    if "policies" in field.metadata:
        return False, list(field.metadata["policies"])
    if field.default is not dataclasses.MISSING:
        return False, _plain(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return False, _plain(field.default_factory())
    return True, None


def _plain(value: Any) -> Any:
    """Return a default as JSON has it; of other things their text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def _schema(hint: Any) -> dict[str, Any]:
    """Return the JSON Schema of an option; of policies in it only a reference."""
    if not mentions_policy(hint):
        from pydantic import TypeAdapter

        return TypeAdapter(hint).json_schema()
    if hint is Policy:
        return dict(POLICY_REFERENCE)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        bounds = {
            f"{word}Items": getattr(mark, f"{word}_length")
            for mark in arguments[1:]
            for word in ("min", "max")
            if getattr(mark, f"{word}_length", None) is not None
        }
        return {**_schema(arguments[0]), **bounds}
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[-1])}
    if type(None) in arguments:
        inner = next(a for a in arguments if mentions_policy(a))
        return {"anyOf": [_schema(inner), {"type": "null"}]}
    return {"type": "array", "items": _schema(arguments[0])}


_WORDS: Final = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "section of keys",
    "array": "list",
}
_BOUNDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minLength": "length at least",
    "maxLength": "length at most",
    "minItems": "at least",
    "maxItems": "at most",
}


def type_in_words(schema: Mapping[str, Any]) -> str:
    """Return what a JSON Schema asks for, in words.

    Examples
    --------
    >>> type_in_words({"type": "number", "minimum": 0, "maximum": 1})
    'number from 0 to 1'
    >>> type_in_words({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'whole number, at least 1; or null'
    """
    if "$ref" in schema:
        return "policy"
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return " or ".join(str(choice) for choice in choices)
    if "anyOf" in schema:
        return "; or ".join(type_in_words(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return _list_in_words(schema)
    words = _WORDS.get(str(schema.get("type")), "any value")
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"{words}, each a {type_in_words(schema['additionalProperties'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{words} from {low:g} to {high:g}"
    return ", ".join([words, *_bounds(schema)])


def _list_in_words(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        kinds = [type_in_words(part) for part in schema["prefixItems"]]
        same = len(set(kinds)) == 1
        return f"list of {len(kinds)}: " + (kinds[0] if same else ", ".join(kinds))
    items = schema.get("items")
    of = {"policy": "policies", "whole number": "whole numbers", "number": "numbers"}
    word = type_in_words(items) if items else ""
    listed = f"list of {of.get(word, word)}" if word else "list"
    return ", ".join([listed, *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    return [f"{word} {schema[key]:g}" for key, word in _BOUNDS.items() if key in schema]
