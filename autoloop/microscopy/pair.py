"""Both grains of a boundary fitted in one frame: rotations, scale, shear, line."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autoloop.domain import GrainBoundary
from autoloop.microscopy.boundary_line import Core, core_of, line_angle
from autoloop.microscopy.candidates import Judged
from autoloop.microscopy.known import Known, as_given
from autoloop.microscopy.lattice_fit import SeenLattice, own_turn
from autoloop.microscopy.lattice_pair import CORE, refine, with_line
from autoloop.microscopy.lattice_search import Placement, View
from autoloop.microscopy.orientations import canonical, half_turned
from autoloop.microscopy.polarity import Polarity
from autoloop.microscopy.reflections import Array, Reflections, zone_reflections
from autoloop.microscopy.translation import turned


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """Both grains in a frame, with what was seen of them."""

    placement: Placement
    boundary: GrainBoundary
    seen: tuple[SeenLattice, SeenLattice]
    core: Core


def shared_start(
    view: View, line: Placement, sides: tuple[list[Judged], list[Judged]]
) -> Placement:
    """Return a line with the scale and the slant that its sides have on average."""
    log_scale, shear = np.mean([s[0].log_scale_shear for s in sides], axis=0)
    return replace(
        line,
        log_scale=float(log_scale - np.log(view.pixel_size)),
        shear=float(shear),
    )


def fitted_pair(
    view: View,
    placement: Placement,
    boundary: GrainBoundary,
    known: Known,
    point: Array | None,
    finest: float,
) -> Fitted:
    """Refine frame, both rotations and the line by turns."""
    placement, seen = refine(view, _both(boundary, finest), placement, 1.0)
    placement = with_line(view, placement, seen, point)
    for _ in range(2):
        angle = known.angle_deg
        if angle is None:
            angle = line_angle(view, placement, seen)
        shared = placement.frame(view).matrix
        turns = [own_turn(s.matrix, shared) + placement.angle_deg - angle for s in seen]
        boundary = GrainBoundary(
            upper=turned(boundary.upper, turns[0]),
            lower=turned(boundary.lower, turns[1]),
        )
        placement = _through(view, replace(placement, angle_deg=angle), point)
        placement, seen = refine(view, _both(boundary, finest), placement, CORE)
        placement, core = _on_core(view, placement, seen, point)
    return Fitted(placement=placement, boundary=boundary, seen=seen, core=core)


def _both(boundary: GrainBoundary, finest: float) -> tuple[Reflections, Reflections]:
    return (
        zone_reflections(boundary.upper, finest),
        zone_reflections(boundary.lower, finest),
    )


def _through(view: View, placement: Placement, point: Array | None) -> Placement:
    """Lay the line through a point, where there is one."""
    if point is None:
        return placement
    height = float(placement.frame(view).to_boundary(point)[1])
    return replace(placement, offset=height)


def _on_core(
    view: View,
    placement: Placement,
    seen: tuple[SeenLattice, SeenLattice],
    point: Array | None,
) -> tuple[Placement, Core]:
    core = core_of(view, placement, seen)
    if point is None:
        placement = replace(placement, offset=core.middle)
    return _through(view, placement, point), core


def in_final_terms(
    view: View,
    fitted: Fitted,
    polarities: tuple[Polarity, ...],
    known: Known,
    point: Array | None,
    finest: float,
) -> Fitted:
    """Write both grains as given or canonically, and fit once more."""
    found = [p.grain for p in polarities]
    given = [
        as_given(g, k) for g, k in zip(found, (known.upper, known.lower), strict=True)
    ]
    shift = 0.0
    if known.angle_deg is None:
        off = [
            g.rotation_deg - float(k.rotation_deg or 0.0)
            for g, k in zip(given, (known.upper, known.lower), strict=True)
            if g is not None
        ]
        # Angles that are given hold, and the line follows from the lattices.
        shift = float(np.mean(off)) if off else 0.0
    upper, lower = (
        turned(g, -shift) if g is not None else canonical(turned(f, -shift))
        for f, g in zip(found, given, strict=True)
    )
    boundary = GrainBoundary(upper=upper, lower=lower)
    placement = replace(fitted.placement, angle_deg=fitted.placement.angle_deg + shift)
    placement, boundary = _upright(placement, boundary)
    placement = _through(view, placement, point)
    placement, seen = refine(view, _both(boundary, finest), placement, CORE)
    placement, core = _on_core(view, placement, seen, point)
    return Fitted(placement=placement, boundary=boundary, seen=seen, core=core)


def _upright(
    placement: Placement, boundary: GrainBoundary
) -> tuple[Placement, GrainBoundary]:
    """Bring the angle into (-90, 90], exchanging the grains where need be."""
    angle = placement.angle_deg
    if -90.0 < angle <= 90.0:
        return placement, boundary
    exchanged = GrainBoundary(
        upper=canonical(half_turned(boundary.lower)),
        lower=canonical(half_turned(boundary.upper)),
    )
    angle -= np.copysign(180.0, angle)
    return (
        replace(placement, angle_deg=float(angle), offset=-placement.offset),
        exchanged,
    )
