"""`autoloop export`: write what a run found, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb, count, run_folder

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs

_FORMATS = (
    *("cif", "poscar", "extxyz", "lammps-data"),
    *("tiff", "hspy", "emd", "csv"),
    *("optuna", "chemiscope"),
)


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "export",
        _export,
        purpose="Write a structure that a run found, its image, or all of the run",
        example="autoloop export runs/quickstart --rank 1 --format cif -o best.cif\n"
        "autoloop export runs/quickstart --format hspy\n"
        "autoloop export runs/quickstart --format optuna",
    )
    parser.epilog = (
        f"{parser.epilog}\nStructures: cif, poscar, extxyz, lammps-data; the last and "
        "cif put the first cell vector along x, so\nthat an oblique cell is turned "
        "about the boundary normal. The simulated image of one, with its\nscale: tiff, "
        "hspy (HyperSpy), emd (NCEM); its columns, in pixels of the micrograph: csv. "
        "All of\nthe run: optuna (a study in a SQLite file), chemiscope (a map of the "
        "best structures); for these\ntwo: pip install 'autoloop[exchange]'."
    )
    parser.add_argument("folder", metavar="DIR", type=run_folder, help="the run folder")
    parser.add_argument(
        "--rank", metavar="K", type=count, help="1 has the lowest cost (default)"
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=_FORMATS,
        help="kind of file",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="default: the run's name, and the rank",
    )


def _export(arguments: Arguments) -> int:
    from autoloop.report.export import export

    path = export(
        arguments.folder,
        rank=arguments.rank,
        format=arguments.format,
        output=arguments.output,
    )
    print(path)
    return 0
