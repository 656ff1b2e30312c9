"""`autoloop inspect`: what one micrograph says, as text, JSON and a figure."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import Arguments, Parser, add_json, add_verb, natural
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
    parser.add_argument(
        "--crop",
        metavar=("R0", "R1", "C0", "C1"),
        nargs=4,
        type=natural,
        help="first row, row after the last, first column, column after the last "
        "(default: all that is a micrograph)",
    )
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
        "or a structure file; twice if the grains differ",
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
    crop = getattr(arguments, "crop", None)
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
    found = inspected(arguments)
    if arguments.figure is not None:
        from autoloop.report.inspection_figure import inspection_figure

        _refuse_image(arguments)
        inspection_figure(arguments.figure, found)
    if arguments.json:
        print(json.dumps(as_json(found), allow_nan=False))
    else:
        from autoloop.cli.inspection_text import as_text

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


def as_json(found: Inspection) -> dict[str, Any]:
    """Return all that was read, as JSON values."""
    from autoloop import __version__

    micrograph = found.micrograph
    values: dict[str, Any] = {
        "autoloop": __version__,
        "file": micrograph.path,
        "shape": list(micrograph.image.values.shape),
        "crop": list(found.crop),
        "notes": list(found.notes),
        "sources": micrograph.sources,
        "beam_energy_kev": micrograph.beam_energy_kev,
        "magnification": micrograph.magnification,
        "pixel_size": found.pixel_size,
        "pixel_size_nominal": micrograph.image.pixel_size,
        "cannot_tell": on_command_line(found.cannot_tell) or None,
        **_lattices(found),
        "column_width_angstrom": found.column_width,
        "no_motifs": found.no_motifs or None,
        "motifs": _motif_list(found),
        "columns": _column_list(found),
    }
    return values


def _lattices(found: Inspection) -> dict[str, Any]:
    """Return what the lattices tell; without them the line that the motifs show."""
    from autoloop.preparation.inspection import tilt_deg

    line, read, grains = found.line, found.boundary, found.grains
    boundary = None
    if line is not None:
        boundary = {
            "angle_deg": line.angle_deg,
            "angle_sigma_deg": None if read is None else read.angle_sigma_deg,
            "point_px": list(line.point_px),
            "source": line.source,
        }
    if read is None or grains is None:
        return {
            "shear": None,
            "boundary": boundary,
            "grains": [],
            "misorientation_deg": None,
            "translation_angstrom": None,
            "expansion_angstrom": None,
            "confidence": None,
        }
    return {
        "shear": read.reading.shear,
        "boundary": boundary,
        "grains": [
            {
                "crystal": grain.crystal,
                "zone_axis": list(grain.zone_axis),
                "up": list(grain.up),
                "rotation_deg": grain.rotation_deg,
                "polarity": grain.polarity,
                "polarity_confidence": grain.polarity_confidence,
                "confidence": grain.confidence,
            }
            for grain in (read.upper, read.lower)
        ],
        "misorientation_deg": tilt_deg(*grains),
        "translation_angstrom": read.translation_angstrom,
        "translation_sigma_angstrom": read.translation_sigma,
        "expansion_angstrom": read.expansion_angstrom,
        "expansion_sigma_angstrom": read.expansion_sigma,
        "displacement_modulo_angstrom": None
        if read.displacement_modulo is None
        else read.displacement_modulo.tolist(),
        "core_angstrom": read.core_angstrom,
        "alternatives": list(read.alternatives),
        "confidence": read.reading.confidence,
    }


def _motif_list(found: Inspection) -> list[dict[str, Any]]:
    if found.motifs is None:
        return []
    labels = found.motifs.labels.tolist()
    return [
        {"name": motif.name, "region": motif.region, "columns": labels.count(index)}
        for index, motif in enumerate(found.motifs.motifs)
    ]


def _column_list(found: Inspection) -> list[dict[str, Any]]:
    columns, motifs = found.columns, found.motifs
    n = len(columns)
    names = [None] * n if motifs is None else list(motifs.names)
    sure = [None] * n if motifs is None else motifs.confidence.tolist()
    return [
        {
            "x_px": x,
            "y_px": y,
            "intensity": intensity,
            "motif": name,
            "confidence": confidence,
        }
        for (x, y), intensity, name, confidence in zip(
            columns.positions.tolist(),
            columns.intensities.tolist(),
            names,
            sure,
            strict=True,
        )
    ]
