"""The commands and their options, from the parser that reads them."""

from __future__ import annotations

import argparse
import os
import textwrap
from typing import Any

MARK = "<!-- generated: commands -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the commands in the place of the mark."""
    return markdown.replace(MARK, _reference()) if MARK in markdown else markdown


def _reference() -> str:
    from autoloop import cli

    os.environ["COLUMNS"] = "80"  # argparse would fold text to the terminal it is in
    lines: list[str] = []
    for name, parser in _verbs(cli.make_parser()).items():
        lines += _verb(f"autoloop {name}", parser)
    return "\n".join(lines)


def _verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _verb(name: str, parser: argparse.ArgumentParser) -> list[str]:
    lines = [f"## {name}", "", parser.description or "", ""]
    usage = parser.format_usage().removeprefix("usage: ")
    lines += ["```text", *_dedented(usage), "```", ""]
    rows = [row for action in parser._actions if (row := _row(action))]
    if rows:
        head = ["| argument | meaning |", "| --- | --- |"]
        lines += ['<div class="keys" markdown>', "", *head, *rows, "", "</div>", ""]
    epilog = (parser.epilog or "").strip()
    if epilog:
        lines += _epilog(epilog)
    for inner, below in _verbs(parser).items():
        lines += [
            line.replace("## ", "### ", 1) for line in _verb(f"{name} {inner}", below)
        ]
    return lines


def _dedented(usage: str) -> list[str]:
    first, *rest = usage.rstrip().split("\n")
    return [first, *(f"    {line.strip()}" for line in rest)]


def _row(action: argparse.Action) -> str:
    """Return a row of the table; nothing for --help and the list of verbs below."""
    skipped = argparse._HelpAction | argparse._SubParsersAction
    if isinstance(action, skipped) or action.help == argparse.SUPPRESS:
        return ""
    shown = action.metavar or action.dest
    values = " ".join(shown) if isinstance(shown, tuple) else str(shown)
    if action.choices:
        values = ", ".join(str(choice) for choice in action.choices)
    if action.nargs == 0:
        values = ""
    name = ", ".join(
        f"`{o} {values}`".replace(" `", "`") for o in action.option_strings
    )
    meaning = (action.help or "") % {**vars(action), "prog": "autoloop"}
    return f"| {name or f'`{values}`'} | {meaning} |"


def _epilog(text: str) -> list[str]:
    """Return examples as commands, what is indented as it is, and the rest as text."""
    lines = []
    for part in text.split("\n\n"):
        head, *rest = part.split("\n")
        if head.startswith("example"):
            commands = [line.strip() for line in rest]
            lines += ["```bash", *commands, "```", ""]
        elif head.startswith(" "):
            lines += ["```text", *textwrap.dedent(part).split("\n"), "```", ""]
        else:
            lines += [" ".join(part.split()), ""]
    return lines
