"""What a micrograph says, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoloop.domain import Crystal
    from autoloop.microscopy.indexing import GrainReading
    from autoloop.preparation.inspection import Inspection


def as_text(found: Inspection) -> str:
    """Return the lines that `autoloop inspect` prints."""
    lines = [
        *_image_lines(found),
        *_lattice_lines(found),
        *_column_lines(found),
    ]
    return "\n".join(f"{name:16}{text}".rstrip() for name, text in lines)


def _image_lines(found: Inspection) -> Iterator[tuple[str, str]]:
    micrograph = found.micrograph
    n_y, n_x = micrograph.image.values.shape
    yield "image", f"{Path(micrograph.path).name}, {n_y} rows x {n_x} columns"
    first_row, end_row, first, end = found.crop
    if (first_row, end_row, first, end) == (0, n_y, 0, n_x):
        yield "region", "all of it"
    else:
        yield "region", f"rows {first_row} to {end_row}, columns {first} to {end}"
    for note in found.notes:
        yield "", note
    nominal, source = micrograph.image.pixel_size, micrograph.sources["pixel_size"]
    if found.boundary is None:
        yield "pixel size", f"{nominal:.5f} Å ({source}; not checked by a lattice)"
    else:
        size = found.pixel_size
        yield (
            "pixel size",
            f"{size:.5f} Å as the lattices show it, "
            f"{100 * (size / nominal - 1):+.1f} % of {nominal:.5f} Å ({source})",
        )
    if micrograph.beam_energy_kev is not None:
        energy = f"{micrograph.beam_energy_kev:g} kV"
        yield "beam energy", f"{energy} ({micrograph.sources['beam_energy_kev']})"
    else:
        yield "beam energy", "not in the file"
    if micrograph.magnification is not None:
        yield (
            "magnification",
            f"{micrograph.magnification:.4g} ({micrograph.sources['magnification']})",
        )


def _lattice_lines(found: Inspection) -> Iterator[tuple[str, str]]:
    line, read = found.line, found.boundary
    if line is not None:
        x, y = line.point_px
        yield (
            "boundary",
            f"at {line.angle_deg:+.2f}{_sigma(found)} degrees from the image's right "
            f"(counterclockwise) through x = {x:.1f}, y = {y:.1f} px"
            + (", from the columns alone" if line.source == "columns" else ""),
        )
    if read is None:
        yield "lattices", _no_lattices(found)
        return
    yield "shear", f"{read.reading.shear:+.4f} of the scan"
    for name, grain in (("upper grain", read.upper), ("lower grain", read.lower)):
        yield (
            name,
            f"{grain.crystal} along {_direction(grain.zone_axis)}, "
            f"{_direction(grain.up)} at {grain.rotation_deg:+.2f} degrees from the "
            f"boundary normal, {_polarity(grain)}confidence {grain.confidence:.2f}",
        )
    yield from _relation_lines(found)


def _sigma(found: Inspection) -> str:
    return "" if found.boundary is None else f" ± {found.boundary.angle_sigma_deg:.2f}"


def _no_lattices(found: Inspection) -> str:
    if not found.crystals:
        return "need a crystal: give --crystal, a name such as Cu or a structure file"
    return f"cannot be told with {_names(found.crystals)} (see the last line)"


def _relation_lines(found: Inspection) -> Iterator[tuple[str, str]]:
    from autoloop.preparation.inspection import tilt_deg

    read, grains = found.boundary, found.grains
    if read is None or grains is None:
        return
    tilt = tilt_deg(*grains)
    if tilt is not None:
        yield "misorientation", f"{tilt:.2f} degrees about the beam"
    yield (
        "translation",
        f"{read.translation_angstrom:.2f} ± {read.translation_sigma:.2f} Å of "
        "the upper grain along the boundary",
    )
    yield (
        "expansion",
        f"{read.expansion_angstrom:+.2f} ± {read.expansion_sigma:.2f} Å "
        f"between the grains, core {read.core_angstrom:.1f} Å wide",
    )
    if read.displacement_modulo is not None:
        steps = " or ".join(f"({x:.2f}, {y:.2f})" for x, y in read.displacement_modulo)
        yield "", f"the same but for whole steps of {steps} Å"
    else:
        yield (
            "",
            "between the lattice points nearest the line: without a coincidence "
            "another choice of points gives other figures",
        )
    for alternative in read.alternatives:
        yield "or else", alternative


def _column_lines(found: Inspection) -> Iterator[tuple[str, str]]:
    yield (
        "columns",
        f"{len(found.columns)}, {found.column_width:.2f} Å wide (full width at half "
        "maximum)",
    )
    motifs = found.motifs
    if motifs is None:
        yield "motifs", f"none: {found.no_motifs}"
        return
    labels = motifs.labels
    for index, motif in enumerate(motifs.motifs):
        members = labels == index
        n = int(members.sum())
        if not n:
            continue
        sure = float(motifs.confidence[members].mean())
        yield (
            "motifs" if index == 0 else "",
            f"{motif.name}: {n} columns, mean confidence {sure:.2f}",
        )


def _direction(indices: tuple[int, int, int]) -> str:
    return "[" + " ".join(map(str, indices)) + "]"


def _polarity(grain: GrainReading) -> str:
    if grain.polarity == "none":
        return ""
    return f"polarity {grain.polarity} ({grain.polarity_confidence:.2f}), "


def _names(crystals: tuple[Crystal, ...]) -> str:
    return " and ".join(crystal.name for crystal in crystals)
