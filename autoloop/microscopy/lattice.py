"""The frame, the boundary line and both lattices of a micrograph of known crystals.

Everything comes from the lattices that the image shows. A search of the spectra finds
the frame roughly; least squares of both grains' reflections find it exactly; the line
lies where the one lattice stops to be seen and the other begins; the phases of the
reflections place each lattice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoloop.domain import Grain, GrainBoundary, Image, Reading
from autoloop.errors import DataError
from autoloop.microscopy.lattice_fit import SeenLattice, confidence_of, turn_between
from autoloop.microscopy.lattice_pair import settled
from autoloop.microscopy.lattice_search import (
    Placement,
    View,
    search,
    view_of,
    working_step,
)
from autoloop.microscopy.reflections import (
    Array,
    lattice_origin,
    nearest_lattice_point,
    zone_reflections,
)

logger = logging.getLogger(__name__)

RESOLUTION: Final = 1.0
"""Finest lattice spacing looked for [Å]."""

LEAST_CONFIDENCE: Final = 0.25
"""Below this a lattice counts as not seen; the worse one of noise, of exchanged grains
and of wrong crystals reaches 0.17."""

LIKELY_SCALE: Final = 0.07
"""Pixel sizes in files are wrong by a few per cent, not by more than this."""

LIKELY_SHEAR: Final = 0.05
"""Scans are not more slanted than this."""

REMEDY: Final = (
    "check crystal, zone_axis, up and rotation_deg of both grains and the pixel_size, "
    "or give boundary: {angle_deg, point_px}"
)

NOTABLE_TURN: Final = 0.3
"""A misorientation this far from the given one is worth a warning [degrees]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattices:
    """A reading, and each grain's own map where the scan bent the image.

    Attributes
    ----------
    reading : Reading
        With one frame for both grains.
    upper_matrix, lower_matrix : (2, 2) float array
        Map of each grain from the boundary frame (x, y) [Å] to image (x, y) [pixels];
        together with ``reading.upper_origin_px`` and ``lower_origin_px`` they put
        every lattice point where it is seen.
    upper_confidence, lower_confidence : float
        0 to 1: how clearly each lattice is seen, and fits the frame.
    upper_turn_deg : float
        How much farther the upper grain is turned, counterclockwise, against the
        lower one than their `rotation_deg` say [degrees]. Drift does not enter: it
        bends columns of the scan, not its rows.
    """

    reading: Reading
    upper_matrix: Array
    lower_matrix: Array
    upper_confidence: float
    lower_confidence: float
    upper_turn_deg: float


def read_frame(
    image: Image,
    boundary: GrainBoundary,
    *,
    crop: tuple[int, int, int, int],
    angle_deg: float | None = None,
    point_px: tuple[float, float] | None = None,
) -> Reading:
    """Read the frame, the boundary line and the phase of both lattices.

    As `read_lattices`, without each grain's own map.
    """
    return read_lattices(
        image, boundary, crop=crop, angle_deg=angle_deg, point_px=point_px
    ).reading


def read_lattices(
    image: Image,
    boundary: GrainBoundary,
    *,
    crop: tuple[int, int, int, int],
    angle_deg: float | None = None,
    point_px: tuple[float, float] | None = None,
) -> Lattices:
    """Read the frame, the boundary line and both lattices.

    Parameters
    ----------
    image : Image
        The micrograph, with its nominal pixel size, right within 5 %.
    boundary : GrainBoundary
        Crystals and orientations of both grains.
    crop : (int, int, int, int)
        First row, end of rows, first column, end of columns [pixels]. Of a large crop
        only the middle is used.
    angle_deg : float, optional
        Angle of the boundary, right within 3 degrees.
    point_px : (float, float), optional
        A point (x, y) on the boundary line [pixels of the whole image].

    Returns
    -------
    Lattices
        The angle is in (-90, 90]; only where a boundary stands upright may it pass
        these ends by a few degrees, since half a turn would exchange the grains.

    Raises
    ------
    DataError
        If the image does not show both lattices.
    """
    finest = max(RESOLUTION, 2.3 * image.pixel_size * working_step(image.pixel_size))
    grains = (
        zone_reflections(boundary.upper, finest),
        zone_reflections(boundary.lower, finest),
    )
    coarsest = 1 / min(np.linalg.norm(r.g, axis=1).min() for r in grains)
    view = view_of(image, crop, point_px, float(coarsest))
    point = None
    if point_px is not None:
        point = (np.asarray(point_px) - view.corner) / view.step
    placement = search(view, grains, angle_deg, point)
    placement, seen = settled(view, grains, placement, point)
    demand_likely(image, placement)
    confidences = confidences_of(view, placement, seen)
    _demand("upper", confidences[0], boundary.upper)
    _demand("lower", confidences[1], boundary.lower)
    turn = turn_between(*seen)
    if abs(turn) > NOTABLE_TURN:
        logger.warning(
            "the image shows the upper grain turned by %+.2f degrees more than its "
            "rotation_deg %.2f says; %.2f would fit",
            turn,
            boundary.upper.rotation_deg,
            boundary.upper.rotation_deg + turn,
        )
    return Lattices(
        reading=reading_of(image, view, placement, seen, min(confidences)),
        upper_matrix=seen[0].matrix * view.step,
        lower_matrix=seen[1].matrix * view.step,
        upper_confidence=confidences[0],
        lower_confidence=confidences[1],
        upper_turn_deg=turn,
    )


def reading_of(
    image: Image,
    view: View,
    placement: Placement,
    seen: tuple[SeenLattice, SeenLattice],
    confidence: float,
) -> Reading:
    """Write a fit in pixels of the whole image."""
    frame = placement.frame(view)
    on_line = frame.to_pixels(np.array([0.0, placement.offset]))
    origins = []
    for grain in seen:
        to_line = np.linalg.inv(grain.matrix) @ (on_line - grain.patch.centre)
        origin = lattice_origin(grain.reflections, grain.fit.amplitudes)
        nearest = nearest_lattice_point(grain.reflections.cell, origin, to_line)
        origins.append(view.to_image(grain.patch.centre + grain.matrix @ nearest))
    return Reading(
        pixel_size=float(frame.pixel_size / view.step),
        pixel_size_nominal=float(image.pixel_size),
        angle_deg=placement.angle_deg,
        shear=placement.shear,
        origin_px=view.to_image(on_line),
        upper_origin_px=origins[0],
        lower_origin_px=origins[1],
        confidence=confidence,
    )


def confidences_of(
    view: View, placement: Placement, seen: tuple[SeenLattice, SeenLattice]
) -> tuple[float, float]:
    """Return 0 to 1 for each grain: how clearly its lattice is seen."""
    shared = placement.frame(view).matrix
    return (
        confidence_of(seen[0], seen[1], shared, view.shape),
        confidence_of(seen[1], seen[0], shared, view.shape),
    )


def demand_likely(image: Image, placement: Placement) -> None:
    """Refuse pixel sizes and shears that no microscope has."""
    if abs(placement.log_scale) > LIKELY_SCALE or abs(placement.shear) > LIKELY_SHEAR:
        found = image.pixel_size * np.exp(placement.log_scale)
        raise DataError(
            f"cannot see the lattices of both grains in the micrograph: they would "
            f"need a pixel size of {found:.4g} Å instead of {image.pixel_size:.4g} Å "
            f"and a shear of {placement.shear:.3f}; {REMEDY}"
        )


def _demand(name: str, confidence: float, grain: Grain) -> None:
    if confidence < LEAST_CONFIDENCE:
        raise DataError(
            f"cannot see the lattice of the {name} grain ({grain.crystal.name} along "
            f"{list(grain.zone_axis)}) in the micrograph (confidence {confidence:.2f}, "
            f"{LEAST_CONFIDENCE} is needed); {REMEDY}"
        )
