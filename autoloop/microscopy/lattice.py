"""The frame, the boundary line and both lattices of a micrograph of known crystals.

Everything comes from the lattices that the image shows. A search of the spectra finds
the frame roughly; least squares of both grains' reflections find it exactly; the line
lies where the one lattice stops to be seen and the other begins; the phases of the
reflections place each lattice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoloop.domain import Grain, GrainBoundary, Image, Reading
from autoloop.errors import DataError
from autoloop.microscopy.lattice_fit import (
    Fit,
    Patch,
    SeenLattice,
    confidence_of,
    fit_lattice,
    fit_reflections,
    turn_between,
    unit_waves,
)
from autoloop.microscopy.lattice_search import (
    Placement,
    View,
    ramp,
    search,
    view_of,
    working_step,
)
from autoloop.microscopy.reflections import (
    Array,
    Reflections,
    lattice_origin,
    nearest_lattice_point,
    zone_reflections,
)

logger = logging.getLogger(__name__)

RESOLUTION: Final = 1.0
"""Finest lattice spacing looked for [Å]."""

CORE: Final = 3.0
"""Half width of the strip along the boundary that belongs to neither lattice [Å]."""

LEAST_AREA: Final = 100.0
"""Less of a grain than this shows no lattice [Å²]."""

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
    # At first the line is known too badly to leave out a strip along it.
    for core in (0.0, CORE, CORE):
        placement, seen = _refine(view, grains, placement, core)
        placement = _with_line(view, placement, seen, point)
    placement, seen = _refine(view, grains, placement, CORE)
    _demand_likely(image, placement)
    confidences = _confidences(view, placement, seen, boundary)
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
        reading=_reading(image, view, placement, seen, min(confidences)),
        upper_matrix=seen[0].matrix * view.step,
        lower_matrix=seen[1].matrix * view.step,
        upper_confidence=confidences[0],
        lower_confidence=confidences[1],
        upper_turn_deg=turn,
    )


def _reading(
    image: Image,
    view: View,
    placement: Placement,
    seen: tuple[SeenLattice, SeenLattice],
    confidence: float,
) -> Reading:
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


def _refine(
    view: View,
    grains: tuple[Reflections, Reflections],
    placement: Placement,
    core: float,
) -> tuple[Placement, tuple[SeenLattice, SeenLattice]]:
    """Refine the frame on both grains at once, then each grain's own map."""
    upper, lower = (_patch(view, placement, side, core) for side in (1, -1))
    limit = np.array([0.3, 0.005, 0.005])
    for _ in range(8):
        fits = [
            _shared_fit(view, grains[0], upper, placement),
            _shared_fit(view, grains[1], lower, placement),
        ]
        curvature = fits[0].curvature + fits[1].curvature
        change = np.linalg.solve(curvature, fits[0].slope + fits[1].slope)
        placement = placement.moved(np.clip(change, -limit, limit))
        if np.all(np.abs(change) < 1e-3 * limit):
            break
    return placement, (
        _see(view, grains[0], upper, placement),
        _see(view, grains[1], lower, placement),
    )


def _patch(view: View, placement: Placement, side: int, core: float) -> Patch:
    weights = view.edge_weights * ramp(side * placement.heights(view) - core)
    if weights.sum() * view.pixel_size**2 < LEAST_AREA:
        name = "upper" if side > 0 else "lower"
        raise DataError(
            f"cannot see the lattice of the {name} grain: less than 1 nm² of the "
            f"micrograph's crop seems to lie on its side of the boundary; check the "
            f"grains and their order, give a crop with the boundary in its middle, or "
            f"boundary: {{angle_deg, point_px}}"
        )
    inside = weights > 1e-3
    points, kept = view.grid[inside], weights[inside]
    centre = kept @ points / kept.sum()
    return Patch(
        values=view.values[inside],
        positions=points - centre,
        weights=kept,
        centre=centre,
    )


def _shared_fit(
    view: View, grain: Reflections, patch: Patch, placement: Placement
) -> Fit:
    """Fit a grain with the frame of both; differences serve as derivatives."""
    derivatives = []
    for change in np.diag([1e-3, 1e-5, 1e-5]):
        ends = (
            placement.moved(c).frequencies(view, grain.g) for c in (change, -change)
        )
        derivatives.append((next(ends) - next(ends)) / (2 * change.sum()))
    f = placement.frequencies(view, grain.g)
    return fit_reflections(patch, f, np.array(derivatives))


def _see(
    view: View, grain: Reflections, patch: Patch, placement: Placement
) -> SeenLattice:
    matrix, fit = fit_lattice(patch, grain.g, placement.frame(view).matrix)
    return SeenLattice(
        reflections=grain,
        patch=patch,
        matrix=matrix,
        fit=fit,
        shared=_shared_fit(view, grain, patch, placement),
    )


def _with_line(
    view: View,
    placement: Placement,
    seen: tuple[SeenLattice, SeenLattice],
    point: Array | None,
) -> Placement:
    """Put the line where the image changes from the one lattice to the other."""
    if point is not None:
        height = float(placement.frame(view).to_boundary(point)[1])
        return replace(placement, offset=height)
    gain = np.zeros(view.shape)
    for grain, sign in zip(seen, (1, -1), strict=True):
        # Unit waves: else a dark core would go to the grain of weaker contrast.
        gain += sign * view.values * unit_waves(grain, view.shape)
    heights = placement.heights(view) + placement.offset
    gain *= view.edge_weights
    return replace(placement, offset=_change_point(heights.ravel(), gain.ravel()))


def _change_point(heights: Array, gain: Array) -> float:
    """Return the height above which gains are positive, below which negative."""
    from scipy.ndimage import gaussian_filter1d

    width = 0.1
    first = heights.min()
    profile = np.bincount(((heights - first) / width).astype(int), gain)
    k = int(np.argmin(np.cumsum(profile)))
    # Rows of columns make the profile lumpy: its zero, once they are smoothed out, is
    # the middle of the core.
    smooth = gaussian_filter1d(profile, 2.0 / width)
    rising = np.flatnonzero((smooth[:-1] < 0) & (smooth[1:] >= 0))
    if len(rising):
        k = int(rising[np.argmin(np.abs(rising - k))])
    return float(first + (k + 1) * width)


def _confidences(
    view: View,
    placement: Placement,
    seen: tuple[SeenLattice, SeenLattice],
    boundary: GrainBoundary,
) -> tuple[float, float]:
    shared = placement.frame(view).matrix
    upper = confidence_of(seen[0], seen[1], shared, view.shape)
    lower = confidence_of(seen[1], seen[0], shared, view.shape)
    _demand("upper", upper, boundary.upper)
    _demand("lower", lower, boundary.lower)
    return upper, lower


def _demand_likely(image: Image, placement: Placement) -> None:
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
