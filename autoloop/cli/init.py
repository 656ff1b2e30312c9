"""`autoloop init`: write a first run file for a micrograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, add_verb
from autoloop.cli.inspect import add_image_arguments, inspected, on_command_line
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
        example="autoloop init image.dm3 --crystal CdTe -o my_boundary.yaml",
    )
    add_image_arguments(parser)
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
    from autoloop.preparation.draft import Source, draft_run_file

    found = inspected(arguments)
    source = Source(pixel_size=arguments.pixel_size, index=arguments.index)
    try:
        text = draft_run_file(found, source, output)
    except DataError as error:
        raise DataError(on_command_line(str(error))) from error
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from error
    print(f"{output}: look through it, then: autoloop run {output}")
    return 0


def _refuse(arguments: Arguments) -> None:
    """Refuse, before anything is read, what could not be written."""
    output: Path = arguments.output
    if not arguments.crystal:
        raise ConfigError(
            "init needs to know the crystal: give --crystal, a name such as Cu or "
            "CdTe, or a structure file"
        )
    if output.exists():
        raise ConfigError(f"{output}: exists already; choose another name with -o")
    if not output.parent.is_dir():
        raise ConfigError(
            f"{output}: no folder {output.parent}; make it, or choose another with -o"
        )
