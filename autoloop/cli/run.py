"""`autoloop run`: start a run from a run file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb, count, natural

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "run",
        _run,
        purpose="Search for the structure that a run file describes",
        example="autoloop run experiments/quickstart.yaml\n"
        "autoloop run my_boundary.yaml --out runs/second_try --evaluations 100",
        after_interrupt=_after_interrupt,
    )
    parser.add_argument("run_file", metavar="RUN.yaml", type=Path, help="the run file")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="run folder (default: runs/NAME)"
    )
    parser.add_argument(
        "--evaluations", metavar="N", type=count, help="instead of budget.evaluations"
    )
    parser.add_argument(
        "--workers", metavar="N", type=count, help="instead of execution.workers"
    )
    parser.add_argument("--seed", metavar="N", type=natural, help="instead of seed")


def _run(arguments: Arguments) -> int:
    from autoloop.assembly import start_run

    return start_run(
        arguments.run_file,
        out=arguments.out,
        evaluations=arguments.evaluations,
        workers=arguments.workers,
        seed=arguments.seed,
        command=arguments.command_line,
    )


def _after_interrupt(arguments: Arguments) -> str:
    folder = arguments.out or "the run folder"
    return f"; if the run has begun, continue with: autoloop resume {folder}"
