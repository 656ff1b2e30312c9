"""The policies that come with autoloop and their options, in their own words."""

from __future__ import annotations

import json
from typing import Any

from autoloop.plugins import PolicyDescription, describe_policies

MARK = "<!-- generated: policies -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the policies in the place of the mark."""
    if MARK not in markdown:
        return markdown
    lines = [line for policy in describe_policies() for line in _policy(policy)]
    return markdown.replace(MARK, "\n".join(lines))


def _policy(policy: PolicyDescription) -> list[str]:
    lines = [f"## {policy.name}", "", policy.purpose, "", policy.details, ""]
    rows = [
        f"| `{option.name}` | {option.type} | {_default(option)} | "
        f"{option.meaning.replace('``', '`')} |"
        for option in policy.options
    ]
    if rows:
        head = ["| option | type | default | meaning |", "| --- " * 4 + "|"]
        lines += ['<div class="keys" markdown>', "", *head, *rows, "", "</div>", ""]
    return lines


def _default(option: Any) -> str:
    if option.required:
        return "**needed**"
    if isinstance(option.default, list):
        return ", ".join(f"`{item}`" for item in option.default)
    return f"`{json.dumps(option.default).strip(chr(34))}`"
