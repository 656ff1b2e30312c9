"""`autoloop policies`: which policies there are, and their options."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import Arguments, add_json, add_verb

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.plugins import Option, PolicyDescription

_NARROWEST, _WIDEST = 60, 100  # of text [characters]


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "policies",
        _policies,
        purpose="List the policies that a run file may name, and their options",
        example="autoloop policies\n"
        "autoloop policies portfolio\n"
        "autoloop policies ./my_policy.py --json",
    )
    parser.epilog = (
        f"{parser.epilog}\nA policy of your own is a .py file beside the run file, "
        "named there as ./my_policy.py. Such a\nfile is code: it is run to be "
        "described, as it is by 'run' and 'validate'. Look into files of\nothers first."
    )
    parser.add_argument(
        "policy",
        metavar="NAME|FILE",
        nargs="?",
        help="only this one, in full (default: all that come with autoloop)",
    )
    add_json(parser)


def _policies(arguments: Arguments) -> int:
    from autoloop.plugins import describe_policies, describe_policy

    name: str | None = arguments.policy
    if name is None:
        found: Sequence[PolicyDescription] = describe_policies()
    else:
        found = [describe_policy(_as_in_run_file(name), Path.cwd())]
    if arguments.json:
        print(json.dumps({"policies": [_values(policy) for policy in found]}))
        return 0
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    texts = [_text(policy, width, in_full=name is not None) for policy in found]
    print("\n\n".join(texts))
    return 0


def _as_in_run_file(name: str) -> str:
    """Return a name as a run file gives it; a file there begins with a dot or slash."""
    if name.endswith(".py") and not name.startswith(("./", "../", "/")):
        return f"./{name}"
    return name


def _values(policy: PolicyDescription) -> dict[str, Any]:
    options = [asdict(option) for option in policy.options]
    return {**asdict(policy), "file": str(policy.file), "options": options}


def _text(policy: PolicyDescription, width: int, *, in_full: bool) -> str:
    said = policy.purpose or "(its class says nothing about itself)"
    lines = textwrap.wrap(
        f"{policy.name}: {said}",
        width,
        subsequent_indent="    ",
        break_long_words=False,
    )
    if in_full:
        for paragraph in filter(None, policy.details.split("\n\n")):
            lines += ["", *textwrap.wrap(paragraph, width)]
        code = policy.name.endswith(".py")
        run = " (code: it was run to be described)" if code else ""
        lines += ["", f"file     {policy.file}{run}", f"in YAML  {_example(policy)}"]
        lines += ["", "options" if policy.options else "no options"]
    for option in policy.options:
        lines += _option_lines(option, width)
    return "\n".join(lines)


def _example(policy: PolicyDescription) -> str:
    """Return how a run file names the policy, with an option where it has one."""
    shown = next((o for o in policy.options if o.required), None)
    shown = shown or next((o for o in policy.options if o.default is not None), None)
    if shown is None:
        return f"policy: {policy.name}"
    value = "..." if shown.required else json.dumps(shown.default).replace('"', "")
    return f"policy: {{name: {policy.name}, options: {{{shown.name}: {value}}}}}"


def _option_lines(option: Option, width: int) -> list[str]:
    default = (
        "must be given" if option.required else f"default {_shown(option.default)}"
    )
    head = f"  {option.name}  ({option.type}; {default})"
    indent = " " * 6
    meaning = textwrap.wrap(
        option.meaning, width, initial_indent=indent, subsequent_indent=indent
    )
    return [head, *meaning]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace('"', "")
