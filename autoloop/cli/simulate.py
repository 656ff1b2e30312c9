"""`autoloop simulate`: the image that a structure would give."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloop.cli.arguments import (
    Arguments,
    Parser,
    add_json,
    add_verb,
    count,
    natural,
    not_negative,
    number,
    positive,
)
from autoloop.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ase import Atoms

    from autoloop.cli.arguments import Verbs
    from autoloop.domain import Image
    from autoloop.imaging.multislice import Multislice
    from autoloop.imaging.probe import Microscope
    from autoloop.imaging.specimen import Specimen


def add_to(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(
        verbs,
        "simulate",
        _simulate,
        purpose="Simulate the HAADF-STEM image of a structure",
        example="autoloop simulate runs/quickstart/best/1/structure.extxyz -o best.tif"
        " --repeat 4\n"
        "autoloop simulate slab.cif -o slab.tif --engine abtem --thickness 80",
    )
    parser.epilog = (
        f"{parser.epilog}\nSTRUCTURE is any file that ASE reads. It is seen along z, x "
        "to the right and y up, the frame of\nwhat autoloop exports. Intensities are "
        "shares of the beam. The abtem engine takes minutes: PRISM\nwith frozen "
        "phonons, for checks and for specimens too thick for the convolution."
    )
    parser.add_argument("structure", metavar="STRUCTURE", type=Path, help="the file")
    parser.add_argument(
        "-o", "--output", metavar="IMAGE.tif", type=Path, required=True, help="to write"
    )
    parser.add_argument(
        "--engine",
        choices=("convolution", "abtem"),
        default="convolution",
        help="default: convolution",
    )
    _add_view(parser)
    _add_microscope(parser)
    _add_abtem(parser)
    add_json(parser)


def _add_view(parser: Parser) -> None:
    parser.add_argument(
        "--pixel-size",
        metavar="Å",
        type=positive,
        default=0.15,
        help="of the image [Å] (default: 0.15)",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--size",
        metavar=("ROWS", "COLUMNS"),
        nargs=2,
        type=count,
        help="of the image, about the structure's middle [px] (default: all of it)",
    )
    group.add_argument(
        "--repeat",
        metavar="N",
        type=count,
        default=1,
        help="cells along x that are shown (default: 1)",
    )
    parser.add_argument(
        "--angle",
        metavar="DEG",
        type=number,
        default=0.0,
        help="counterclockwise angle of x from the image's right (default: 0)",
    )


def _add_microscope(parser: Parser) -> None:
    for flag, unit, kind, default, what in (
        ("--beam-energy", "keV", positive, 200.0, "of the electrons [keV]"),
        ("--convergence", "MRAD", positive, 22.0, "semi-angle of the aperture [mrad]"),
        ("--defocus", "Å", number, 0.0, "positive for underfocus [Å]"),
        ("--c3", "MM", number, 0.0, "spherical aberration [mm]"),
        ("--source-size", "Å", not_negative, 0.8, "full width at half maximum [Å]"),
        ("--vibration", "Å", not_negative, 0.08, "r.m.s. along each axis [Å]"),
    ):
        parser.add_argument(
            flag,
            metavar=unit,
            type=kind,
            default=default,
            help=f"{what} (default: {default:g})",
        )
    parser.add_argument(
        "--detector",
        metavar=("INNER", "OUTER"),
        nargs=2,
        type=positive,
        default=[80.0, 150.0],
        help="angles of the annular detector [mrad] (default: 80 150)",
    )
    parser.add_argument(
        "--thickness",
        metavar="Å",
        type=positive,
        help="of the specimen, in whole cells [Å] (default: one cell)",
    )


def _add_abtem(parser: Parser) -> None:
    parser.add_argument(
        "--phonons",
        metavar="N",
        type=count,
        default=8,
        help="frozen-phonon configurations of the abtem engine (default: 8)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=natural,
        default=0,
        help="of their displacements (default: 0)",
    )


def _simulate(arguments: Arguments) -> int:
    _refuse(arguments)
    from autoloop.imaging.limits import linear_warning
    from autoloop.imaging.simulation import make_view, simulate, source_blur
    from autoloop.imaging.specimen import from_atoms
    from autoloop.microscopy.writing import write_image_tif

    specimen = from_atoms(_atoms(arguments.structure), str(arguments.structure))
    layers = specimen.n_layers(arguments.thickness or specimen.depth)
    microscope = _microscope(arguments, layers * specimen.depth)
    multislice = _multislice(arguments)
    view = make_view(
        specimen,
        arguments.pixel_size,
        size=None if arguments.size is None else tuple(arguments.size),
        repeat=arguments.repeat,
        angle_deg=arguments.angle,
    )
    blur = source_blur(
        arguments.source_size,
        arguments.vibration,
        multislice=multislice is not None,
    )
    image = simulate(specimen, view, microscope, blur, multislice)
    warning = linear_warning(microscope) if multislice is None else None
    write_image_tif(arguments.output, image)
    _say(arguments, specimen, microscope, image, warning)
    return 0


def _atoms(path: Path) -> Atoms:
    from autoloop.structure.crystal_files import read_atoms

    if not path.is_file():
        raise DataError(f"{path}: no such file; give a structure file that ASE reads")
    return read_atoms(path)


def _refuse(arguments: Arguments) -> None:
    """Refuse, before anything is computed, what could not be meant or written."""
    output: Path = arguments.output
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"-o {output}: the image is a TIFF; end its name in .tif")
    if output.exists():
        raise ConfigError(
            f"{output}: exists already and is not overwritten; "
            "remove it or name another file with -o"
        )
    if not output.parent.is_dir():
        raise ConfigError(
            f"{output}: the folder {output.parent} does not exist; make it"
        )
    inner, outer = arguments.detector
    if not inner < outer:
        raise ConfigError(
            f"--detector {inner:g} {outer:g}: the outer angle must exceed the inner "
            "one; write inner, then outer [mrad]"
        )


def _microscope(arguments: Arguments, thickness: float) -> Microscope:
    from autoloop.imaging.probe import Microscope

    inner, outer = arguments.detector
    return Microscope(
        beam_energy_kev=arguments.beam_energy,
        convergence_mrad=arguments.convergence,
        detector_mrad=(inner, outer),
        defocus=arguments.defocus,
        spherical_aberration_mm=arguments.c3,
        thickness=thickness,
    )


def _multislice(arguments: Arguments) -> Multislice | None:
    if arguments.engine != "abtem":
        return None
    from autoloop.imaging.multislice import Multislice

    return Multislice(
        n_phonons=arguments.phonons, vibration=arguments.vibration, seed=arguments.seed
    )


def _say(
    arguments: Arguments,
    specimen: Specimen,
    microscope: Microscope,
    image: Image,
    warning: str | None,
) -> None:
    values = image.values
    if warning is not None:
        print(f"autoloop: warning: {warning}", file=sys.stderr)
    if not arguments.json:
        print(
            f"{arguments.output}: {values.shape[0]} x {values.shape[1]} pixels of "
            f"{image.pixel_size:g} Å, {microscope.thickness:.1f} Å thick, "
            f"{values.min():.3g} to {values.max():.3g} of the beam"
        )
        return
    found: dict[str, Any] = {
        "output": str(arguments.output),
        "engine": arguments.engine,
        "shape": list(values.shape),
        "pixel_size": image.pixel_size,
        "n_atoms": len(specimen.numbers),
        "thickness": microscope.thickness,
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "mean": float(values.mean()),
        "warning": warning,
    }
    print(json.dumps(found, allow_nan=False))
