"""What pydantic found wrong, in words for the person who wrote the run file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from autoloop.config.marked import KeyPath, Problem, dotted
from autoloop.config.models import Campaign
from autoloop.plugins import nearest

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "tuple_type": "a list such as [1, 1, 0]",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "dict_type": "a section of keys",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def problems_of(error: ValidationError) -> list[Problem]:
    """Translate every finding; those about the length of one list become one."""
    problems: dict[tuple[KeyPath, str], Problem] = {}
    for finding in error.errors(include_url=False):
        problem = _translate(finding)
        problems.setdefault((problem.path, problem.message), problem)
    return list(problems.values())


def section_at(path: KeyPath) -> type[BaseModel] | None:
    """Return the model of the section at a key path; None where there is none."""
    model: type[BaseModel] = Campaign
    for key in path:
        if isinstance(key, int):
            continue  # all grains are alike
        field = model.model_fields.get(key)
        inner = next(_models_in(field.annotation), None) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _translate(finding: Any) -> Problem:
    path: KeyPath = finding["loc"]
    kind = finding["type"]
    if kind == "missing" and path and isinstance(path[-1], int):
        path, kind = path[:-1], "too_short"  # of a list, `input` is all of it
    return Problem(path=path, message=_message(kind, path, finding))


def _message(kind: str, path: KeyPath, finding: Any) -> str:
    value, context = finding["input"], finding.get("ctx", {})
    if kind in _KINDS:
        return _wrong_kind(_KINDS[kind], value)
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, got {_shown(value)}"
    if kind == "literal_error":
        return _wrong_choice(context["expected"], value)
    if kind == "value_error":
        return str(context["error"])
    by_kind = {
        "missing": lambda: f"is missing; {_example(path)}",
        "extra_forbidden": lambda: _unknown_key(path),
        "too_long": lambda: _wrong_length(path, value),
        "too_short": lambda: _wrong_length(path, value),
        "string_too_short": lambda: f"is empty; {_example(path)}",
        "string_pattern_mismatch": lambda: _bad_name(value),
    }
    if kind in by_kind:
        return by_kind[kind]()
    return f"{finding['msg']}, got {_shown(value)}"


def _bad_name(value: Any) -> str:
    return (
        f"{_shown(value)} cannot name a folder; use letters, digits, '_', '-' and '.', "
        "beginning with a letter or digit"
    )


def _shown(value: Any) -> str:
    """Write a value as the run file would, shortened."""
    if isinstance(value, str):
        text = f"'{value}'"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _example(path: KeyPath) -> str:
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    example = field.examples[0] if field and field.examples else "..."
    return f"write for example '{path[-1]}: {example}'"


def _unknown_key(path: KeyPath) -> str:
    """Say what an unknown key may have meant: a sibling, or a key of elsewhere."""
    *parents, key = path
    word = str(key)
    section = section_at(tuple(parents))
    known = list(section.model_fields) if section else []
    if hint := nearest(word, known):
        return f"unknown key '{word}'{hint}"
    for owner, keys in _all_keys():
        if word in keys:
            where = f"belongs under '{owner}'" if owner else "belongs to the top level"
            return f"unknown key '{word}' here; it {where}"
    elsewhere = [name for _, keys in _all_keys() for name in keys]
    hint = nearest(word, elsewhere)
    return f"unknown key '{word}'{hint}{'' if hint else f'; known: {_join(known)}'}"


def _all_keys() -> Iterator[tuple[str, list[str]]]:
    yield "", list(Campaign.model_fields)
    for name, field in Campaign.model_fields.items():
        for model in _models_in(field.annotation):
            yield name, list(model.model_fields)


def _join(words: list[str]) -> str:
    return ", ".join(words)


def _wrong_kind(wanted: str, value: Any) -> str:
    if isinstance(value, str) and wanted.endswith("number"):
        try:
            number = float(value)
        except ValueError:
            return f"must be {wanted}, got the text {_shown(value)}"
        plain = f"{number:.12f}".rstrip("0").rstrip(".")
        return (
            f"must be {wanted}, got the text {_shown(value)}; write plain decimals: "
            f"{plain}"
        )
    if wanted == "text" and not isinstance(value, dict | list) and value is not None:
        return f"must be text, got {_shown(value)}; put it in quotes"
    return f"must be {wanted}, got {_shown(value)}"


def _wrong_length(path: KeyPath, value: Any) -> str:
    if dotted(path) == "grains":
        return (
            f"must be a list of exactly two grains, the upper one first, got "
            f"{len(value)}"
        )
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    wanted = _tuple_length(field.annotation) if field else None
    return f"must have {wanted} values, got {len(value)}: {_shown(value)}"


def _tuple_length(annotation: Any) -> int | None:
    if getattr(annotation, "__origin__", None) is tuple:
        return len(get_args(annotation))
    lengths = [_tuple_length(argument) for argument in get_args(annotation)]
    return next((length for length in lengths if length), None)


def _wrong_choice(expected: str, value: Any) -> str:
    choices = expected.replace("'", "")
    hint = nearest(str(value), re.findall(r"\w+", choices))
    return f"must be {choices}, got {_shown(value)}{hint}"
