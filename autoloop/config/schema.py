"""The run file as a JSON Schema, for editors that complete and check as one types.

Draft-07, which the YAML extensions of editors take; pydantic writes 2020-12. What the
models say (types, bounds, defaults) is taken over; what they mean comes from their
docstrings; names that are closed lists (built-in crystals, policies and their options)
come from the program. Rules between two values, such as the order of a crop's rows, are
left to `autoloop validate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from autoloop.config.complaints import section_at
from autoloop.config.marked import KeyPath
from autoloop.config.models import Campaign
from autoloop.plugins import Option, describe_policies
from autoloop.plugins.docstrings import description, meanings, summary

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
FILE_NAME: Final = "autoloop.schema.json"
"""What the schema is called beside run files, by custom."""
MODELINE: Final = "# yaml-language-server: $schema={}"
"""First line of a run file that names its schema."""

_OWN_FILE: Final = r"^(\.\.?)?/.*\.py$"
_STRUCTURE_FILE: Final = r"[./]|^(POSCAR|CONTCAR)$"
"""A crystal that is no built-in name is a file: it has a suffix or a folder."""


def run_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of the run file.

    Every key has a description with its unit; keys that may be left out are optional
    here too.
    """
    made = Campaign.model_json_schema()
    sections = made.pop("$defs")
    schema = _draft_07(_inlined(made, sections))
    _describe(schema, ())
    properties = schema["properties"]
    for grain in properties["grains"]["items"]:
        _close_crystal(grain["properties"]["crystal"])
    _close_crystal(_section(properties["coincidence"])["properties"]["crystal"])
    _section(properties["coincidence"])["properties"]["sigma"]["not"] = {
        "multipleOf": 2
    }
    _say_potential(_section(properties["energy"])["properties"]["potential"])
    policy = properties["policy"]
    properties["policy"] = {
        "title": "policy",
        "description": policy["description"],
        "default": "portfolio",
        "allOf": [{"$ref": "#/definitions/policy"}],
    }
    return {
        "$schema": DRAFT,
        "title": "autoloop run file",
        "description": "Which grain boundary is sought, in which image, and how.",
        **{key: schema[key] for key in ("type", "required", "oneOf", "properties")},
        "additionalProperties": False,
        **_rules_between_sections(),
        "definitions": {"policy": _policy_schema(policy)},
    }


def _inlined(node: Any, sections: Mapping[str, Any]) -> Any:
    """Put sections in the place of references: draft-07 ignores what stands beside."""
    if isinstance(node, list):
        return [_inlined(item, sections) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _inlined(item, sections) for key, item in node.items()}
    reference = node.pop("$ref", None)
    if reference is None:
        return node
    return {**_inlined(sections[reference.rpartition("/")[2]], sections), **node}


def _draft_07(node: Any) -> Any:
    """Rewrite what 2020-12 writes otherwise, and drop titles that repeat the key."""
    if isinstance(node, list):
        return [_draft_07(item) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {}
    for key, value in node.items():
        if key == "prefixItems":
            changed["items"] = _draft_07(value)
            changed["additionalItems"] = False
        elif key == "properties":
            changed[key] = {name: _draft_07(item) for name, item in value.items()}
        elif key == "default" and value is None:
            continue  # left out is not the same word as null in a file for people
        elif key in ("default", "examples", "enum"):
            changed[key] = value
        elif key != "title":
            changed[key] = _draft_07(value)
    return changed


def _section(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a schema that is the section, not null."""
    parts = schema.get("anyOf", [schema])
    found: dict[str, Any] = next(part for part in parts if "properties" in part)
    return found


def _describe(schema: dict[str, Any], path: KeyPath) -> None:
    """Write titles, meanings and examples of a section's keys into its schema."""
    model = section_at(path)
    if model is None:
        return
    schema["description"] = " ".join(filter(None, [summary(model), description(model)]))
    said = meanings(model, "Attributes")
    for key, entry in schema["properties"].items():
        for part in [entry, *entry.get("anyOf", ()), *_listed(entry)]:
            if "properties" in part:
                _describe(part, (*path, key))
        rest = {**entry, "title": key, "description": said.get(key, "")}
        if "examples" in entry:
            rest["examples"] = [_as_value(text) for text in entry["examples"]]
        entry.clear()
        entry.update({word: rest.pop(word) for word in ("title", "description")})
        entry.update(rest)


def _listed(entry: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    items = entry.get("items", ())
    return items if isinstance(items, list) else ()


def _as_value(example: Any) -> Any:
    """Return an example as its value; the models hold some as text of a run file."""
    return yaml.safe_load(example) if isinstance(example, str) else example


def _close_crystal(schema: dict[str, Any]) -> None:
    from autoloop.structure.crystals import crystal_names

    schema.pop("type")
    schema.pop("minLength")
    schema["anyOf"] = [
        {"enum": list(crystal_names())},
        {
            "type": "string",
            "pattern": _STRUCTURE_FILE,
            "description": "Structure file that ASE reads, relative to the run file.",
        },
    ]


def _say_potential(schema: dict[str, Any]) -> None:
    """Say which keys a potential may have that is not a name."""
    from autoloop.relax.lines import HYBRIDS, STYLES

    text = {"type": "string"}
    words = "|".join(sorted(STYLES | HYBRIDS))
    schema["anyOf"] = [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "description": "Pair lines of LAMMPS, as data.",
            "required": ["style", "coeff"],
            "additionalProperties": False,
            "properties": {
                "style": {
                    **text,
                    "description": "Arguments of pair_style.",
                    "pattern": rf"^({words})(\s|$)",
                    "examples": ["eam/alloy"],
                },
                "coeff": {
                    "type": "array",
                    "minItems": 1,
                    "items": text,
                    "description": "Arguments of each pair_coeff.",
                    "examples": [["* * Cu_mishin1.eam.alloy Cu"]],
                },
            },
        },
        {
            "type": "object",
            "description": "A calculator of ASE.",
            "required": ["calculator"],
            "additionalProperties": False,
            "properties": {
                "calculator": {**text, "description": "Its class, by module and name."},
                "arguments": {"type": "object", "description": "Its arguments."},
                "modules": {
                    "type": "array",
                    "items": text,
                    "description": "Modules beside ASE's own that it may come from.",
                },
                "reach": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "description": "How far an atom feels another [Å].",
                },
            },
        },
    ]


def _policy_schema(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a policy may be: a name, a file, or {name, options}.

    With the name of one that comes with autoloop only its own options are right.
    """
    described = describe_policies()
    name = {
        **{k: section["properties"]["name"][k] for k in ("title", "description")},
        "default": section["properties"]["name"]["default"],
        "anyOf": [
            {
                "enum": [policy.name for policy in described],
                "enumDescriptions": [policy.purpose for policy in described],
            },
            {
                "type": "string",
                "pattern": _OWN_FILE,
                "description": "A policy of your own: a .py file.",
            },
        ],
    }
    own = [
        {
            "if": {
                "properties": {"name": {"const": policy.name}},
                "required": ["name"],
            },
            "then": {"properties": {"options": _options_schema(policy.options)}},
        }
        for policy in described
    ]
    return {
        "description": "A name, {name, options}, or ./my_policy.py.",
        "anyOf": [
            {"type": "string", "anyOf": name["anyOf"]},
            {
                "type": "object",
                "properties": {
                    "name": name,
                    "options": {
                        "title": "options",
                        "description": section["properties"]["options"]["description"],
                        "type": "object",
                    },
                },
                "additionalProperties": False,
                "allOf": own,
            },
        ],
    }


def _options_schema(options: Sequence[Option]) -> dict[str, Any]:
    properties = {}
    for option in options:
        entry = {
            "title": option.name,
            "description": option.meaning or option.type,
            **_draft_07(dict(option.schema)),
        }
        if option.default is not None:
            entry["default"] = option.default
        properties[option.name] = entry
    return {
        "type": "object",
        "properties": properties,
        "required": [option.name for option in options if option.required],
        "additionalProperties": False,
    }


def _rules_between_sections() -> dict[str, Any]:
    """Return what the sections ask of each other."""
    return {
        "anyOf": [{"required": ["micrograph"]}, {"required": ["energy"]}],
        "dependencies": {"micrograph": ["microscope"]},
        "if": {"not": {"required": ["micrograph"]}, "required": ["grains"]},
        "then": {
            "properties": {"grains": {"items": {"required": ["zone_axis", "up"]}}}
        },
    }
