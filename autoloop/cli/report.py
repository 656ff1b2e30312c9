"""`autoloop report`: write the page that shows a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb, run_folder

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "report",
        _report,
        purpose="Write the page that shows a run, and its figures",
        example="autoloop report runs/quickstart\n"
        "autoloop report /archive/runs/old -o old.html",
    )
    parser.add_argument("folder", metavar="DIR", type=run_folder, help="the run folder")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="default: DIR/report.html; figures go beside it",
    )


def _report(arguments: Arguments) -> int:
    from autoloop.report.page import write_report

    print(write_report(arguments.folder, arguments.output))
    return 0
