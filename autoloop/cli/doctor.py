"""`autoloop doctor`: whether this machine has all that a run needs.

Nothing of the program's own that needs numpy or pydantic is imported here: those are
among the patients.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Final

from autoloop import __version__
from autoloop.cli.arguments import Arguments, add_json, add_verb
from autoloop.errors import InstallationError

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.cli.checkup import Check

_SICK: Final = InstallationError.exit_status


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "doctor",
        _doctor,
        purpose="Check that this machine has all that a run needs",
        example="autoloop doctor\nautoloop doctor --json",
    )
    add_json(parser)


def _doctor(arguments: Arguments) -> int:
    from autoloop.cli.checkup import examine

    checks = list(examine())
    healthy = all(check.ok or not check.needed for check in checks)
    print(_as_json(checks, healthy) if arguments.json else _as_text(checks, healthy))
    return 0 if healthy else _SICK


def _as_json(checks: list[Check], healthy: bool) -> str:
    return json.dumps(
        {
            "healthy": healthy,
            "autoloop": __version__,
            "python": platform.python_version(),
            "executable": sys.executable,
            "cores": len(os.sched_getaffinity(0)),
            "checks": [check.as_dict() for check in checks],
        }
    )


def _as_text(checks: list[Check], healthy: bool) -> str:
    width = max(len(check.name) for check in checks)
    lines = [f"{c.verdict:8} {c.name:{width}}  {c.sentence}" for c in checks]
    missing = sum(check.needed and not check.ok for check in checks)
    end = "all is well" if healthy else f"{missing} needed, see the remedies above"
    return "\n".join([*lines, end])
