"""What pydantic found wrong, in words for the person who wrote the run file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from autoloop.config.hints import (
    DIRECTIONS,
    direction_in,
    other_unit_in_key,
    other_unit_of_value,
    policy_hint,
    policy_list,
    section_for,
    similar,
)
from autoloop.config.marked import KeyPath, Problem, dotted
from autoloop.config.models import Campaign, DaskSection
from autoloop.plugins import nearest

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "tuple_type": "a list of numbers",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "dict_type": "a section of keys",
}
_FAR = 0.75
"""Letters in common from which on a key of another section may be meant."""
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def problems_of(error: ValidationError) -> list[Problem]:
    """Translate every finding; those about the length of one list become one.

    Of a key that is missing because it is misspelt only the misspelling is told.
    """
    problems: dict[tuple[KeyPath, str], Problem] = {}
    findings = error.errors(include_url=False)
    meant = {
        (*path[:-1], key)
        for finding in findings
        if finding["type"] == "extra_forbidden"
        for path in [finding["loc"]]
        for key in [_meant_sibling(path, finding["input"])]
        if key
    }
    for finding in findings:
        if finding["type"] == "missing" and finding["loc"] in meant:
            continue
        problem = _translate(finding)
        problems.setdefault((problem.path, problem.message), problem)
    lists = {path for path, _ in problems if path and path[-1] in DIRECTIONS}
    return [p for p in problems.values() if p.path[:-1] not in lists]


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
        return _wrong_kind(_KINDS[kind], value) + _remedy_of_kind(kind, path, value)
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        unit = other_unit_of_value(str(path[-1]), value)
        return f"must be {words} {context[key]:g}, got {_shown(value)}{unit}"
    if kind == "literal_error":
        return _wrong_choice(context["expected"], value) + _cluster_hint(path, value)
    if kind == "value_error":
        return str(context["error"])
    by_kind = {
        "missing": lambda: f"is missing; {_example(path)}",
        "extra_forbidden": lambda: _unknown_key(path, value),
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


def _unknown_key(path: KeyPath, value: Any) -> str:
    """Say what an unknown key may have meant: a sibling, or a key of elsewhere."""
    *parents, key = path
    word = str(key)
    section = section_at(tuple(parents))
    known = list(section.model_fields) if section else []
    if owners := [owner for owner, keys in _all_keys() if word in keys]:
        return f"unknown key '{word}' here; it {_belongs(owners)}"
    if instead := other_unit_in_key(word, value, known):
        return (
            f"unknown key '{word}'; did you mean '{instead.partition(':')[0]}'? write "
            f"'{instead}'"
        )
    if hint := similar(word, known):
        return f"unknown key '{word}'; did you mean '{hint}'?"
    if hint := policy_hint(path, value):
        return f"unknown key '{word}'; {hint}"
    elsewhere = [name for _, keys in _all_keys() for name in keys]
    if hint := similar(word, elsewhere, _FAR):
        owners = [owner for owner, keys in _all_keys() if hint in keys]
        return f"unknown key '{word}'; did you mean '{hint}'? That {_belongs(owners)}"
    return f"unknown key '{word}'; known: {_join(known)}"


def _meant_sibling(path: KeyPath, value: Any) -> str:
    """Return the key of the same section that an unknown one stands for."""
    section = section_at(path[:-1])
    known = list(section.model_fields) if section else []
    word = str(path[-1])
    if any(word in keys for _, keys in _all_keys()):
        return ""
    instead = other_unit_in_key(word, value, known)
    return instead.partition(":")[0] or similar(word, known)


def _belongs(owners: list[str]) -> str:
    named = [f"'{owner}'" for owner in dict.fromkeys(owners) if owner]
    under = f"belongs under {' or '.join(named)}" if named else ""
    top = "belongs to the top level" if "" in owners else ""
    return " or ".join(filter(None, [top, under]))


def _all_keys() -> Iterator[tuple[str, list[str]]]:
    yield "", list(Campaign.model_fields)
    for name, field in Campaign.model_fields.items():
        for model in _models_in(field.annotation):
            yield name, list(model.model_fields)
    yield "execution.dask", list(DaskSection.model_fields)


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


def _remedy_of_kind(kind: str, path: KeyPath, value: Any) -> str:
    """Say what to write instead of a value of the wrong kind."""
    key = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    if key in DIRECTIONS and (direction := direction_in(value)):
        return f"; write '{key}: {direction}'"
    if kind.startswith("model"):
        return policy_list(value) if key == "policy" else section_for(key, value)
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"; write {value:.0f}"
    if kind == "tuple_type" and key not in DIRECTIONS:
        return f"; {_example(path)}"
    return ""


def _cluster_hint(path: KeyPath, value: Any) -> str:
    """Say how a queue is named where somebody takes it for an engine."""
    clusters = get_args(DaskSection.model_fields["cluster"].annotation)
    if path[-1:] == ("engine",) and value in clusters:
        return f"; write 'engine: dask, dask: {{cluster: {value}}}'"
    return ""


def _wrong_length(path: KeyPath, value: Any) -> str:
    if dotted(path) == "grains":
        return (
            f"must be a list of exactly two grains, the upper one first, got "
            f"{len(value)}"
        )
    section = section_at(path[:-1])
    field = section.model_fields.get(str(path[-1])) if section else None
    wanted = _tuple_length(field.annotation) if field else None
    said = f"must have {wanted} values, got {len(value)}: {_shown(value)}"
    if path[-1] in DIRECTIONS and (direction := direction_in(value)):
        said += f"; write '{path[-1]}: {direction}'"
    return said


def _tuple_length(annotation: Any) -> int | None:
    if getattr(annotation, "__origin__", None) is tuple:
        return len(get_args(annotation))
    lengths = [_tuple_length(argument) for argument in get_args(annotation)]
    return next((length for length in lengths if length), None)


def _wrong_choice(expected: str, value: Any) -> str:
    choices = expected.replace("'", "")
    hint = nearest(str(value), re.findall(r"\w+", choices))
    return f"must be {choices}, got {_shown(value)}{hint}"
