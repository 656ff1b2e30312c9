"""`autoloop init`: write a first run file for a micrograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb
from autoloop.cli.automatic import beside, identified, wanted
from autoloop.cli.inspect import add_image_arguments, inspected, on_command_line
from autoloop.cli.library import add_place
from autoloop.errors import ConfigError, DataError

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "init",
        _init,
        purpose="Write a commented run file from what a micrograph shows",
        example="autoloop init image.dm3 --crystal CdTe -o my_boundary.yaml\n"
        "autoloop init image.dm3 --crystal auto -o my_boundary.yaml",
    )
    parser.epilog = (
        f"{parser.epilog}\nWith --crystal auto each grain is looked for in the library "
        "of prototypes, which\n'autoloop library build' makes; 16 Å of a grain are "
        "needed. What is found, and what else it\nmay be, is written down to be "
        "checked: brightness alone does not tell elements."
    )
    add_image_arguments(parser)
    add_place(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="RUN.yaml",
        type=Path,
        required=True,
        help="the run file to write; one that is there is not replaced",
    )


def _init(arguments: Arguments) -> int:
    output: Path = arguments.output
    _refuse(arguments)
    if not wanted(arguments):
        _write(arguments)
    else:
        found = identified(arguments)
        with beside(found, output.parent) as crystals:
            arguments.crystal = crystals
            _write(arguments, found.lines)
        for line in found.lines:
            print(line)
    print(f"{output}: look through it, then: autoloop run {output}")
    return 0


def _write(arguments: Arguments, notes: Sequence[str] = ()) -> None:
    """Write the run file, with notes on its crystals."""
    output: Path = arguments.output
    from autoloop.preparation.draft import Source, draft_run_file

    found = inspected(arguments)
    source = Source(pixel_size=arguments.pixel_size, index=arguments.index)
    try:
        text = draft_run_file(found, source, output, notes)
    except DataError as error:
        raise DataError(on_command_line(str(error))) from error
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(schema_line(output.parent) + text)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from error


def schema_line(folder: Path) -> str:
    """Return the line that names the schema to editors, if it lies in the folder.

    `autoloop schema -o autoloop.schema.json` puts it there.
    """
    from autoloop.config.schema import FILE_NAME, MODELINE

    if not (folder / FILE_NAME).is_file():
        return ""
    return MODELINE.format(FILE_NAME) + "\n"


def _refuse(arguments: Arguments) -> None:
    """Refuse, before anything is read, what could not be written."""
    output: Path = arguments.output
    if not arguments.crystal:
        raise ConfigError(
            "init needs to know the crystal: give --crystal, a name such as Cu or "
            "CdTe, a structure file, or auto to look for it in the library"
        )
    if output.exists():
        raise ConfigError(f"{output}: exists already; choose another name with -o")
    if not output.parent.is_dir():
        raise ConfigError(
            f"{output}: no folder {output.parent}; make it, or choose another with -o"
        )
