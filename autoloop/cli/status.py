"""`autoloop status`: how far a run is, and its best so far."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from autoloop.cli.arguments import Arguments, add_json, add_verb, run_folder

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs

INTERVAL_S: Final = 2.0
"""Time between two looks with ``--follow`` [s]."""

_CLEAR: Final = "\x1b[H\x1b[2J"


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "status",
        _status,
        purpose="Show how far a run is and its best so far",
        example="autoloop status runs/quickstart --follow\n"
        "autoloop status runs/quickstart --json",
    )
    parser.add_argument("folder", metavar="DIR", type=run_folder, help="the run folder")
    parser.add_argument(
        "--follow", action="store_true", help="look again every 2 s until the run ends"
    )
    add_json(parser)


def _status(arguments: Arguments) -> int:
    from autoloop.report.status import read_status

    shown = ""
    while True:
        state = read_status(arguments.folder)
        text = _text(state, as_json=arguments.json)
        if text != shown:
            on_terminal = arguments.follow and sys.stdout.isatty()
            print(_CLEAR + text if on_terminal else text, flush=True)
            shown = text
        # All other states are final: nothing writes to the run any more.
        if not arguments.follow or state["state"] != "running":
            return 0
        time.sleep(INTERVAL_S)


def _text(state: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(state, allow_nan=False)
    from autoloop.report.status import format_status

    return format_status(state).rstrip("\n")
