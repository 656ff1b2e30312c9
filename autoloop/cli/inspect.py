"""`autoloop inspect`: what one micrograph says, as text, JSON and a figure."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autoloop.cli.arguments import Arguments, Parser, add_json, add_verb, natural
from autoloop.cli.library import add_place
from autoloop.errors import DataError

if TYPE_CHECKING:
    from autoloop.cli.arguments import Verbs
    from autoloop.preparation.inspection import Inspection

_FLAGS = {
    "micrograph.pixel_size": "--pixel-size",
    "micrograph.index": "--index",
    "micrograph.crop": "--crop",
    "micrograph.path": "IMAGE",
}
"""What a key of the run file is on the command line, for remedies in messages."""


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "inspect",
        _inspect,
        purpose="Read columns, lattices, boundary and motifs from a micrograph",
        example="autoloop inspect image.dm3 --crystal CdTe --figure image.png\n"
        "autoloop inspect image.tif --pixel-size 0.172 --crystal Cu --json",
    )
    parser.epilog = (
        f"{parser.epilog}\nWithout --crystal there are columns, motifs and, from them, "
        "the boundary line; lattices need a\ncrystal. Where the lattices cannot be "
        "told, the rest is printed, the reason on stderr and in\nthe JSON "
        "(cannot_tell), and the exit status is 4."
    )
    add_image_arguments(parser)
    add_place(parser)
    parser.add_argument(
        "--figure", metavar="F.png", type=Path, help="draw what was read into a PNG"
    )
    add_json(parser)


def add_image_arguments(parser: Parser) -> None:
    """Add what `inspect` and `init` want to know of an image."""
    parser.add_argument("image", metavar="IMAGE", type=Path, help="the image file")
    parser.add_argument(
        "--crystal",
        metavar="C",
        action="append",
        default=[],
        help="a crystal that the image shows: a built-in name such as Cu, Si or CdTe, "
        "a structure file, or auto to look for it in the library; twice if the grains "
        "differ",
    )
    parser.add_argument(
        "--pixel-size",
        metavar="Å",
        type=length,
        help="pixel size [Å] over that of the file",
    )
    parser.add_argument(
        "--index",
        metavar="N",
        type=natural,
        help="which image of a file that holds several, counted from 0",
    )
    parser.add_argument(
        "--crop",
        metavar=("R0", "R1", "C0", "C1"),
        nargs=4,
        type=natural,
        help="first row, row after the last, first column, column after the last "
        "(default: all that is a micrograph)",
    )


def length(text: str) -> float:
    """Read a length above 0.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be a length above 0 [Å], got '{text}'")
    return number


def inspected(arguments: Arguments) -> Inspection:
    """Read the image of the command line.

    Raises
    ------
    AutoloopError
        With remedies in terms of the command line.
    """
    from autoloop.errors import AutoloopError, ConfigError
    from autoloop.microscopy.reading import read_micrograph
    from autoloop.preparation.inspection import inspect_micrograph
    from autoloop.structure.crystals import find_crystal

    names = list(dict.fromkeys(arguments.crystal))
    if len(names) > 2:
        raise ConfigError(
            f"{len(names)} crystals are given ({', '.join(names)}); a boundary has two "
            "grains: give --crystal once or twice"
        )
    crop = arguments.crop
    if crop and not (crop[0] < crop[1] and crop[2] < crop[3]):
        raise ConfigError(
            f"--crop {' '.join(map(str, crop))} is empty; give first row, row after "
            "the last, first column, column after the last"
        )
    try:
        return inspect_micrograph(
            read_micrograph(
                arguments.image, pixel_size=arguments.pixel_size, index=arguments.index
            ),
            tuple(find_crystal(name) for name in names),
            crop=tuple(crop) if crop else None,
        )
    except AutoloopError as error:
        raise type(error)(on_command_line(str(error))) from error


def on_command_line(message: str) -> str:
    """Return a message with flags instead of keys of the run file.

    Examples
    --------
    >>> on_command_line("no pixel size; give micrograph.pixel_size [Å]")
    'no pixel size; give --pixel-size [Å]'
    """
    for key, flag in _FLAGS.items():
        message = message.replace(key, flag)
    return message


def _inspect(arguments: Arguments) -> int:
    from autoloop.cli.automatic import identified, wanted

    if wanted(arguments):
        automatic = identified(arguments)
        arguments.crystal = list(automatic.sources)
        print(*automatic.lines, sep="\n", file=sys.stderr)
    found = inspected(arguments)
    if arguments.figure is not None:
        from autoloop.report.inspection_figure import inspection_figure

        _refuse_image(arguments)
        inspection_figure(arguments.figure, found)
    if arguments.json:
        from autoloop.report.inspection_table import as_json

        why = on_command_line(found.cannot_tell) or None
        print(json.dumps({**as_json(found), "cannot_tell": why}, allow_nan=False))
    else:
        from autoloop.report.inspection_text import as_text

        print(as_text(found))
        if arguments.figure is not None:
            print(f"{'figure':16}{arguments.figure}")
    if found.cannot_tell:
        print(f"autoloop: {on_command_line(found.cannot_tell)}", file=sys.stderr)
        return DataError.exit_status
    return 0


def _refuse_image(arguments: Arguments) -> None:
    """Refuse to draw over the image, and into folders that are not there."""
    from autoloop.errors import ConfigError

    figure: Path = arguments.figure
    if figure.exists() and figure.samefile(arguments.image):
        raise ConfigError(f"--figure {figure} is the image itself; choose another file")
    if not figure.parent.is_dir():
        raise ConfigError(
            f"--figure {figure}: no folder {figure.parent}; make it, or choose another"
        )
