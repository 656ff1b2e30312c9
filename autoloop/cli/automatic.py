"""`--crystal auto`: the library is asked which crystals an image shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloop.cli.arguments import Arguments
from autoloop.errors import AutoloopError, ConfigError

if TYPE_CHECKING:
    from autoloop.preparation.identification import Identified

AUTO: Final = "auto"
"""In place of a crystal's name."""


def wanted(arguments: Arguments) -> bool:
    """Whether the crystals are to be found.

    Raises
    ------
    ConfigError
        If one is given as well.
    """
    if AUTO not in arguments.crystal:
        return False
    if set(arguments.crystal) != {AUTO}:
        others = [name for name in arguments.crystal if name != AUTO]
        raise ConfigError(
            f"--crystal auto finds the crystals of both grains; leave out "
            f"{', '.join(others)}, or auto"
        )
    return True


def identified(arguments: Arguments) -> Identified:
    """Return what the library says of the image of the command line.

    Raises
    ------
    AutoloopError
        With remedies in terms of the command line; also where there is no library.
    """
    from autoloop.cli.inspect import on_command_line
    from autoloop.library.store import load
    from autoloop.microscopy.reading import read_micrograph
    from autoloop.preparation.identification import identify

    library = load(arguments.library)
    crop = arguments.crop
    if crop and not (crop[0] < crop[1] and crop[2] < crop[3]):
        raise ConfigError(
            f"--crop {' '.join(map(str, crop))} is empty; give first row, row after "
            "the last, first column, column after the last"
        )
    try:
        micrograph = read_micrograph(
            arguments.image, pixel_size=arguments.pixel_size, index=arguments.index
        )
        return identify(micrograph, library, crop=tuple(crop) if crop else None)
    except AutoloopError as error:
        message = on_command_line(str(error)).replace(
            "give the crystal", "give --crystal"
        )
        raise type(error)(message) from error


@contextmanager
def beside(found: Identified, folder: Path) -> Iterator[list[str]]:
    """Give the crystals as a run file in a folder may name them.

    Structure files are copied into the folder, and taken away again when what is done
    with them fails.
    """
    from autoloop.preparation.identification import copied

    before = {path.name for path in folder.iterdir()}
    names = [copied(source, folder) for source in found.sources]
    try:
        yield names
    except BaseException:
        for name in names:
            path = Path(name)
            if path.parent == folder and path.name not in before:
                path.unlink(missing_ok=True)
        raise
