"""`autoloop export`: write a structure that a run found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb, count, run_folder

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "export",
        _export,
        purpose="Write a structure that a run found",
        example="autoloop export runs/quickstart --rank 1 --format cif -o best.cif",
    )
    parser.add_argument("folder", metavar="DIR", type=run_folder, help="the run folder")
    parser.add_argument(
        "--rank", metavar="K", type=count, default=1, help="1 is the best (default)"
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=("cif", "poscar", "extxyz", "lammps-data"),
        help="kind of file",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="default: named by rank"
    )


def _export(arguments: Arguments) -> int:
    from autoloop.report.export import export_structure

    path = export_structure(
        arguments.folder,
        rank=arguments.rank,
        format=arguments.format,
        output=arguments.output,
    )
    print(path)
    return 0
