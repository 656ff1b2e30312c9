"""Both lattices of a boundary and the line between them, from an image alone.

Given are the crystals and, if somebody knows it, some of the angles. Trial lines cut
the image in two; the spectra of both sides are compared with every zone of low indices
at every angle; the best are fitted to the pixels; the pair that holds is refined
together; the line is where the one lattice gives way to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoloop.domain import Crystal, Grain, GrainBoundary, Image, Reading
from autoloop.errors import DataError
from autoloop.geometry import Frame
from autoloop.microscopy.boundary_line import angle_sigma
from autoloop.microscopy.candidates import Judged, in_line_frame, rival
from autoloop.microscopy.known import Known, KnownGrain, demand_whole
from autoloop.microscopy.lattice import confidences_of, demand_likely, reading_of
from autoloop.microscopy.lattice_search import Placement, View, view_of, working_step
from autoloop.microscopy.pair import Fitted, fitted_pair, in_final_terms, shared_start
from autoloop.microscopy.polarity import Polarity, polarity_of
from autoloop.microscopy.reflections import Array
from autoloop.microscopy.sides import two_lattices
from autoloop.microscopy.stray import strongest_stray
from autoloop.microscopy.translation import (
    Displacement,
    NearlyExact,
    displacement_of,
    nearly_exact,
    origin_sigma,
)
from autoloop.microscopy.trial_lines import patterns_for, searched

RESOLUTION: Final = 1.0
"""Finest lattice spacing looked for [Å]."""

CLEAR: Final = 0.75
"""Another pattern that explains this share of what the best one does is a near tie."""

MOST_STRAY: Final = 0.4
"""Strength of a reflection that a crystal does not have, relative to its strongest.

Up to 0.17 in images of boundaries, 0.9 and more where a crystal has only every other
reflection of the one that is there.
"""

LEAST_CONFIDENCE: Final = 0.4
"""Below this nothing is claimed; a measured, drifting grain reaches 0.78.

A wrong crystal whose lattice is a part of the right one passes here: `MOST_STRAY` is
what catches it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrainReading:
    """What the image says of one grain, in canonical form.

    Attributes
    ----------
    crystal : str
        Name.
    zone_axis, up : (3,) int tuples
        As in `domain.Grain`.
    rotation_deg : float
        As in `domain.Grain`, known to about 0.3 degrees.
    polarity : str
        "none" if the crystal has no polarity, "given", "seen" in the image, or
        "undecided": the opposite one explains the image as well.
    polarity_confidence : float
        0.5 to 1.
    confidence : float
        0 to 1: how clearly the lattice is seen and no other explains it.
    """

    crystal: str
    zone_axis: tuple[int, int, int]
    up: tuple[int, int, int]
    rotation_deg: float
    polarity: str
    polarity_confidence: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundaryReading:
    """What the image says of a boundary.

    Attributes
    ----------
    reading : Reading
        The frame, the line, the phases of both lattices.
    boundary : GrainBoundary
        Both grains as they lie in the frame.
    upper, lower : GrainReading
        The same for people, with confidences.
    translation_angstrom, expansion_angstrom : float
        Displacement of the upper against the lower lattice along the boundary and along
        its normal (see `microscopy.translation` for how it is reduced).
    translation_sigma, expansion_sigma : float
        Their standard deviations [Å].
    displacement_modulo : (2, 2) float array, optional
        Rows: displacements that change nothing; None where there is no such lattice.
    nearly_exact : NearlyExact
        Planes and coincidences that the angles come close to.
    angle_sigma_deg : float
        Standard deviation of the angle of the line, and so of both rotations alike;
        the angle between the grains is known to about 0.2 degrees.
    core_angstrom : float
        Width of the strip that shows neither lattice.
    alternatives : tuple of str
        Readings that are nearly as good, in words.
    """

    reading: Reading
    boundary: GrainBoundary
    upper: GrainReading
    lower: GrainReading
    translation_angstrom: float
    expansion_angstrom: float
    translation_sigma: float
    expansion_sigma: float
    displacement_modulo: Array | None
    nearly_exact: NearlyExact
    angle_sigma_deg: float
    core_angstrom: float
    alternatives: tuple[str, ...]


def read_boundary(
    image: Image,
    crystals: tuple[Crystal, ...],
    *,
    crop: tuple[int, int, int, int],
    known: Known | None = None,
) -> BoundaryReading:
    """Read both lattices and the boundary from an image.

    Parameters
    ----------
    image : Image
        The micrograph, with its nominal pixel size, right within 5 %.
    crystals : tuple of Crystal
        One for both grains, or two; which is which is found.
    crop : (int, int, int, int)
        First row, end of rows, first column, end of columns [pixels].
    known : Known, optional
        What is known already.

    Raises
    ------
    DataError
        If a grain cannot be indexed, with the reason and what may be given instead.

    Notes
    -----
    A crystal of the same structure whose lattice constant is within 5 % fits as well:
    the pixel size is not known better.
    """
    known = known or Known()
    demand_whole(known)
    finest = max(RESOLUTION, 2.3 * image.pixel_size * working_step(image.pixel_size))
    patterns = patterns_for(crystals, known, finest)
    coarsest = max(
        float(1 / np.linalg.norm(p.reflections.g, axis=1).min()) for p in patterns
    )
    view = view_of(image, crop, known.point_px, coarsest)
    point = None
    if known.point_px is not None:
        point = (np.asarray(known.point_px) - view.corner) / view.step
    found = searched(view, patterns, crystals, known, point)
    line, sides = two_lattices(view, found, known, finest)
    return _read_pair(image, view, line, sides, known, point, finest)


def _read_pair(
    image: Image,
    view: View,
    line: Placement,
    sides: tuple[list[Judged], list[Judged]],
    known: Known,
    point: Array | None,
    finest: float,
) -> BoundaryReading:
    start = shared_start(view, line, sides)
    boundary = GrainBoundary(
        upper=in_line_frame(sides[0][0], line.angle_deg),
        lower=in_line_frame(sides[1][0], line.angle_deg),
    )
    fitted = fitted_pair(view, start, boundary, known, point, finest)
    demand_likely(image, fitted.placement)
    _demand_explained(view, fitted)
    seen = confidences_of(view, fitted.placement, fitted.seen)
    confidences = tuple(
        c * _clearness(side) for c, side in zip(seen, sides, strict=True)
    )
    for name, confidence, grain in zip(
        ("upper", "lower"),
        confidences,
        (fitted.boundary.upper, fitted.boundary.lower),
        strict=True,
    ):
        _demand(name, confidence, grain)
    polarities = tuple(
        polarity_of(grain, s, finest)
        for grain, s in zip(
            (fitted.boundary.upper, fitted.boundary.lower), fitted.seen, strict=True
        )
    )
    final = in_final_terms(view, fitted, polarities, known, point, finest)
    return _result(image, view, final, polarities, confidences, sides, known)


def _demand(name: str, confidence: float, grain: Grain) -> None:
    if confidence < LEAST_CONFIDENCE:
        raise DataError(
            f"cannot index the {name} grain: {grain.crystal.name} along "
            f"{list(grain.zone_axis)} fits best, but with a confidence of only "
            f"{confidence:.2f} ({LEAST_CONFIDENCE} is needed); check the crystal and "
            f"the pixel_size, or give the {name} grain's zone_axis, up and rotation_deg"
        )


def _demand_explained(view: View, fitted: Fitted) -> None:
    """Refuse crystals that lack a strong reflection that the image shows."""
    pixel_size = fitted.placement.frame(view).pixel_size
    grains = (fitted.boundary.upper, fitted.boundary.lower)
    for name, seen, grain in zip(("upper", "lower"), fitted.seen, grains, strict=True):
        stray = strongest_stray(view, seen, pixel_size)
        if stray.strength > MOST_STRAY:
            raise DataError(
                f"cannot index the {name} grain: {grain.crystal.name} along "
                f"{list(grain.zone_axis)} fits best, but the image shows a spacing of "
                f"{stray.spacing:.2f} Å, {stray.strength:.1f} times as strong as any "
                f"of it, that this crystal does not have; check the crystal, or give "
                f"the {name} grain's zone_axis, up and rotation_deg"
            )


def _clearness(found: list[Judged]) -> float:
    """Return 1 if no other pattern comes near, 0 if one does as well."""
    other = rival(found)
    if other is None:
        return 1.0
    return float(np.clip((1 - other.quality / found[0].quality) / (1 - CLEAR), 0, 1))


def _result(
    image: Image,
    view: View,
    final: Fitted,
    polarities: tuple[Polarity, ...],
    confidences: tuple[float, ...],
    sides: tuple[list[Judged], list[Judged]],
    known: Known,
) -> BoundaryReading:
    reading = reading_of(image, view, final.placement, final.seen, min(confidences))
    # Drift bends the two grains apart: each is placed best by its own map.
    upper_matrix, lower_matrix = (_pairs(s.matrix * view.step) for s in final.seen)
    reading = replace(reading, upper_matrix=upper_matrix, lower_matrix=lower_matrix)
    near = nearly_exact(final.boundary, angle_sigma(view, final.placement))
    displacement = _displacement(view, final, reading, near)
    upper, lower = (
        _grain_reading(g, p, c, k)
        for g, p, c, k in zip(
            (final.boundary.upper, final.boundary.lower),
            polarities,
            confidences,
            (known.upper, known.lower),
            strict=True,
        )
    )
    return BoundaryReading(
        reading=reading,
        boundary=final.boundary,
        upper=upper,
        lower=lower,
        translation_angstrom=displacement.translation,
        expansion_angstrom=displacement.expansion,
        translation_sigma=displacement.sigmas[0],
        expansion_sigma=displacement.sigmas[1],
        displacement_modulo=displacement.modulo,
        nearly_exact=near,
        angle_sigma_deg=angle_sigma(view, final.placement),
        core_angstrom=max(0.0, final.core.top - final.core.bottom),
        alternatives=_alternatives(sides, (upper, lower)),
    )


def _pairs(matrix: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    (a, b), (c, d) = matrix.tolist()
    return (a, b), (c, d)


def _displacement(
    view: View, final: Fitted, reading: Reading, near: NearlyExact
) -> Displacement:
    frame = Frame(
        origin_px=reading.origin_px,
        pixel_size=reading.pixel_size,
        angle_deg=reading.angle_deg,
        shear=reading.shear,
    )
    origins = frame.to_boundary(
        np.array([reading.upper_origin_px, reading.lower_origin_px])
    )
    point = (np.asarray(reading.origin_px) - view.corner) / view.step
    sigmas = tuple(origin_sigma(s, point, view.pixel_size) for s in final.seen)
    return displacement_of(
        final.boundary, near, (origins[0], origins[1]), (sigmas[0], sigmas[1])
    )


def _grain_reading(
    grain: Grain, polarity: Polarity, confidence: float, known: KnownGrain
) -> GrainReading:
    given = known.rotation_deg is not None and polarity.verdict != "none"
    return GrainReading(
        crystal=grain.crystal.name,
        zone_axis=grain.zone_axis,
        up=grain.up,
        rotation_deg=grain.rotation_deg,
        polarity="given" if given else polarity.verdict,
        polarity_confidence=polarity.confidence,
        confidence=confidence,
    )


def _alternatives(
    sides: tuple[list[Judged], list[Judged]], grains: tuple[GrainReading, GrainReading]
) -> tuple[str, ...]:
    said = []
    for name, found, grain in zip(("upper", "lower"), sides, grains, strict=True):
        other = rival(found)
        if other is not None and other.quality > CLEAR * found[0].quality:
            said.append(
                f"{name} grain {other.grain.crystal.name} along "
                f"{list(other.grain.zone_axis)}: explains "
                f"{other.quality / found[0].quality:.2f} of what the best does"
            )
        if grain.polarity == "undecided":
            said.append(
                f"{name} grain of opposite polarity: probability "
                f"{1 - grain.polarity_confidence:.2f}"
            )
    return tuple(said)
