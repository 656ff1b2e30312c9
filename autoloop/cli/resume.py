"""`autoloop resume`: continue a run that ended early, or extend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb, count, run_folder

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "resume",
        _resume,
        purpose="Continue an interrupted run, or extend a finished one",
        example="autoloop resume runs/quickstart\n"
        "autoloop resume runs/quickstart --evaluations 500",
        after_interrupt=_after_interrupt,
    )
    parser.add_argument("folder", metavar="DIR", type=run_folder, help="the run folder")
    parser.add_argument(
        "--evaluations",
        metavar="N",
        type=count,
        help="new budget: a total, those already done included",
    )
    parser.add_argument(
        "--workers", metavar="N", type=count, help="worker processes from now on"
    )


def _resume(arguments: Arguments) -> int:
    from autoloop.assembly import resume_run

    return resume_run(
        arguments.folder,
        evaluations=arguments.evaluations,
        workers=arguments.workers,
        command=arguments.command_line,
    )


def _after_interrupt(arguments: Arguments) -> str:
    return f"; continue with: autoloop resume {arguments.folder}"
