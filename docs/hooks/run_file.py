"""Every key of a run file, from the models that check it: this page cannot go stale.

Types, defaults and limits are those of the fields; what a key means stands in the
docstring of its section. A key without a meaning stops the build.
"""

from __future__ import annotations

import json
import re
from typing import Any, get_args

from autoloop.plugins.docstrings import description, meanings, summary
from autoloop.plugins.listing import type_in_words

MARK = "<!-- generated: run file -->"
_UNIT = re.compile(r" ?\[([^\]\d,]{1,28}|10⁹ bytes|hh:mm:ss)\]")
_UNIT_OF_NAME = {"_deg": "degrees", "_mrad": "mrad", "_kev": "keV", "_mm": "mm"}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the tables in the place of the mark."""
    return markdown.replace(MARK, _reference()) if MARK in markdown else markdown


def _reference() -> str:
    from autoloop.config.models import Campaign

    return "\n".join(["## At the top", "", *_tables(Campaign, "", level=2)])


def _tables(model: Any, prefix: str, *, level: int) -> list[str]:
    """Return the lines of a section's table, and those of the sections within it."""
    said = meanings(model, "Attributes")
    schema = model.model_json_schema()
    rows: list[str] = []
    inner: list[str] = []
    for name, field in model.model_fields.items():
        if not said.get(name):
            raise ValueError(f"{model.__name__}.{name}: no meaning in the docstring")
        section = _section(field.annotation)
        meaning, unit = _meaning_and_unit(_code(said[name]), name)
        key = f"[`{name}`](#{_anchor(prefix + name)})" if section else f"`{name}`"
        kind = _type(schema["properties"][name], section, name)
        cells = (key, kind, unit, _default(name, field, section), meaning)
        rows.append("| " + " | ".join(cells) + " |")
        if section:
            inner += ["", f"{'#' * level} {prefix}{name} {{#{_anchor(prefix + name)}}}"]
            inner += ["", _paragraphs(section), ""]
            inner += _tables(section, f"{prefix}{name}.", level=min(level + 1, 3))
    head = ["| key | type | unit | default | meaning |", "| --- " * 5 + "|"]
    return ['<div class="keys" markdown>', "", *head, *rows, "", "</div>", *inner]


def _section(annotation: Any) -> Any:
    """Return the model that an annotation holds, None if it holds none."""
    if hasattr(annotation, "model_fields"):
        return annotation
    found = [_section(part) for part in get_args(annotation)]
    return next((model for model in found if model is not None), None)


def _paragraphs(model: Any) -> str:
    """Return what the docstring of a section says, but for remarks on the program."""
    kept = [summary(model), *description(model).split("\n\n")]
    return _code("\n\n".join(part for part in kept if "load_campaign" not in part))


def _code(text: str) -> str:
    return text.replace("``", "`")


def _meaning_and_unit(meaning: str, name: str) -> tuple[str, str]:
    """Take the unit, which stands in brackets, out of a meaning."""
    found = _UNIT.search(meaning)
    unit = found[1] if found else ""
    for ending, of_name in _UNIT_OF_NAME.items():
        unit = of_name if name.endswith(ending) else unit
    return _UNIT.sub("", meaning), unit


def _type(schema: dict[str, Any], section: Any, name: str) -> str:
    if name == "grains":
        return "list of 2 sections"
    if section:
        return "section"
    kinds = [part for part in schema.get("anyOf", [schema]) if part != _NULL]
    words = [type_in_words(kind) for kind in kinds]
    return " or ".join(words).replace("section of keys", "mapping")


_NULL = {"type": "null"}


def _default(name: str, field: Any, section: Any) -> str:
    if name in ("grains", "coincidence"):
        return "one of `grains` and `coincidence` is **needed**"
    if field.is_required():
        return "**needed**"
    if name == "workers":
        return "the usable cores"
    value = field.get_default(call_default_factory=True)
    if name == "policy":
        return f"`{value.name}`"
    if value is None or section:
        return "left out" if value is None else ""
    return f"`{json.dumps(value).strip(chr(34))}`"


def _anchor(name: str) -> str:
    return name.replace(".", "-")
