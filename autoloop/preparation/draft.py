"""A first run file for a micrograph: what was read, what is assumed, both said."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloop.domain import Grain
from autoloop.errors import DataError
from autoloop.preparation.coincidence import exact_boundary
from autoloop.preparation.defaults import usual_optics
from autoloop.preparation.gaps import placed
from autoloop.preparation.inspection import Inspection, tilt_deg
from autoloop.relax.table import default_potential

if TYPE_CHECKING:
    from autoloop.config.models import BoundarySection
    from autoloop.microscopy.indexing import GrainReading

EVALUATIONS: Final = 200
WIDTH: Final = 88
"""Of lines of comment."""
DOUBTFUL: Final = 0.5
"""Confidence below which a person should look before running."""
_OTHER_MEANING: Final = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
"""Names that YAML reads as something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the user said of the image, to be repeated in the run file.

    Attributes
    ----------
    pixel_size : float, optional
        As given [Å].
    index : int, optional
        As given.
    """

    pixel_size: float | None = None
    index: int | None = None


def draft_run_file(
    found: Inspection, source: Source, path: Path, notes: Sequence[str] = ()
) -> str:
    """Return the text of a run file that `path` may hold.

    Parameters
    ----------
    found : Inspection
        With both lattices.
    source : Source
        What the file did not say.
    path : Path
        Where it is going to be written; paths in it start from there.
    notes : sequence of str
        How the crystals were found, to be written above the grains.

    Raises
    ------
    DataError
        If the lattices cannot be told.
    """
    if found.boundary is None:
        raise DataError(
            f"{found.micrograph.path}: no run file can be written: "
            f"{found.cannot_tell or 'no crystal is given'}"
        )
    sections = (
        _head(found, path),
        _image(found, source, path),
        _optics(found),
        _notes(notes),
        _boundary(found, path),
        _energy(found),
        _rest(),
    )
    return "\n".join(line for section in sections for line in section) + "\n"


def run_name(path: Path) -> str:
    """Return a campaign's name from the name of its file."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).lstrip("_.-")[:100]
    return name or "boundary"


def _head(found: Inspection, path: Path) -> Iterator[str]:
    image = Path(found.micrograph.path).name
    yield f"# Which structure does the boundary in {_plain(image)} have?"
    yield "#"
    yield "# Written by `autoloop init` from the image. Look at what is marked (check)."
    yield "# A picture of what was read: autoloop inspect IMAGE --crystal C --figure F"
    yield f"name: {_text(run_name(path))}"
    yield "seed: 1"
    yield ""


def _image(found: Inspection, source: Source, path: Path) -> Iterator[str]:
    micrograph = found.micrograph
    for note in found.notes:
        yield f"# {_plain(note)}"
    yield "micrograph:"
    yield f"  path: {_text(_relative(Path(micrograph.path), path))}"
    if source.index is not None:
        yield f"  index: {source.index}"
    nominal, size = micrograph.image.pixel_size, found.pixel_size
    shown = f"the lattices show {size:.5f} Å, {100 * (size / nominal - 1):+.1f} %"
    if source.pixel_size is None:
        yield f"  # pixel_size: {nominal:.5f} Å, from the file; {shown}"
    else:
        yield f"  pixel_size: {_number(source.pixel_size)}  # [Å] as given; {shown}"
    n_y, n_x = micrograph.image.values.shape
    if found.crop != (0, n_y, 0, n_x):
        yield f"  crop: {list(found.crop)}  # rows, columns [px]"
    yield ""


def _optics(found: Inspection) -> Iterator[str]:
    known = found.micrograph.beam_energy_kev
    optics = usual_optics(known)
    where = "from the file" if known is not None else "assumed (check)"
    inner, outer = optics.detector_mrad
    yield "microscope:"
    yield f"  beam_energy_kev: {_number(optics.beam_energy_kev)}  # {where}"
    yield "  # The next two are assumed: no image file has them. (check)"
    yield f"  convergence_mrad: {_number(optics.convergence_mrad)}"
    yield f"  detector_mrad: [{_number(inner)}, {_number(outer)}]"
    yield ""


def _notes(notes: Sequence[str]) -> Iterator[str]:
    for note in notes:
        yield from textwrap.wrap(
            _plain(note),
            WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
        )


def _boundary(found: Inspection, path: Path) -> Iterator[str]:
    """Write frame and orientations."""
    read = found.boundary
    if read is None:
        return
    boundary, turn = exact_boundary(read.boundary)
    section = placed(read.reading.angle_deg + turn, read.reading.origin_px)
    yield f"# Frame: confidence {read.reading.confidence:.2f}."
    yield from _frame(section)
    yield "grains:  # above the boundary first"
    yield from _grain(boundary.upper, read.upper, path)
    yield from _grain(boundary.lower, read.lower, path)
    for alternative in read.alternatives:
        yield f"# Or else (check): {_plain(alternative)}"
    tilt = tilt_deg(boundary.upper, boundary.lower)
    if tilt is not None:
        yield f"# Misorientation about the beam: {tilt:.2f} degrees."
    yield ""


def _frame(section: BoundarySection) -> Iterator[str]:
    yield "boundary:"
    if section.angle_deg is not None:
        yield (
            f"  angle_deg: {_number(section.angle_deg)}  # counterclockwise from the "
            "image's right"
        )
    if section.point_px is not None:
        x, y = section.point_px
        yield f"  point_px: [{_number(x)}, {_number(y)}]  # x, y of a point on it"


def _grain(exact: Grain, seen: GrainReading, path: Path) -> Iterator[str]:
    name = exact.crystal.name
    file = Path(name).expanduser()
    shown = _relative(file, path) if file.is_file() else name
    doubt = "" if seen.confidence >= DOUBTFUL else " (check)"
    yield f"  # Confidence {seen.confidence:.2f}{doubt}; measured: {_list(seen.up)} at"
    yield f"  # {seen.rotation_deg:+.2f} degrees from the boundary normal."
    if seen.polarity == "undecided":
        yield "  # Which of its two polarities it has the image does not tell: both are"
        yield "  # tried. Where you know it, leave out `polarity`. (check)"
    yield (
        f"  - {{crystal: {_text(shown)}, zone_axis: {_list(exact.zone_axis)}, "
        f"up: {_list(exact.up)}, "
        f"rotation_deg: {_number(round(exact.rotation_deg, 3))}"
        f"{', polarity: open' if seen.polarity == 'undecided' else ''}}}"
    )


def _energy(found: Inspection) -> Iterator[str]:
    species = {z for crystal in found.crystals for z in crystal.species}
    name = default_potential(tuple(sorted(species)))
    if name is None:
        yield "# No potential that LAMMPS ships is known here for these elements: the"
        yield "# image alone is compared. With one, write (check):"
        yield "# energy: {potential: FILE}"
    else:
        yield "# One that LAMMPS ships; others may suit better. (check)"
        yield f"energy: {{potential: {_text(name)}}}"
    yield ""


def _rest() -> Iterator[str]:
    yield "objective: {ssim: 1.0, emd: 0.5, energy: 0.3}"
    yield "policy: portfolio"
    yield f"budget: {{evaluations: {EVALUATIONS}}}"


def _relative(file: Path, run_file: Path) -> str:
    """Return a path as seen from the folder of the run file."""
    return os.path.relpath(file.resolve(), run_file.resolve().parent)


def _list(indices: tuple[int, int, int]) -> str:
    return "[" + ", ".join(map(str, indices)) + "]"


def _number(value: float) -> str:
    """Write a number as plain decimals, whole ones without a point."""
    return f"{value + 0.0:.6f}".rstrip("0").rstrip(".")  # no -0


def _text(text: str) -> str:
    """Quote text unless it is a plain name; JSON's quotes are YAML's."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text)
    if plain and text.lower() not in _OTHER_MEANING:
        return text
    return json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    """Return text that may stand in a comment."""
    return " ".join(text.split())
