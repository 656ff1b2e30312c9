"""How the two grains are displaced against each other, and what is nearly exact.

The displacement is that of the origin of the upper grain's conventional cell from that
of the lower one, both continued to the boundary. Lattices fix it only modulo their own
translations: where the two lattices have a coincidence lattice, all combinations of
both make up a lattice, and the shortest equivalent displacement is given. Where they
have none, every displacement is equivalent to nearly every other; then it is that
between the two origins nearest to the boundary's point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from autoloop.domain import Grain, GrainBoundary
from autoloop.geometry import orientation, shortest_basis
from autoloop.microscopy.lattice_fit import SeenLattice
from autoloop.microscopy.reflections import Array, nearest_lattice_point, projected_cell

TOLERANCE_DEG: Final = 0.3
"""The angle between the grains is measured to this: what is nearer to exact may be."""

HIGHEST_INDEX: Final = 5
"""Of planes that a boundary may follow."""

LONGEST_PERIOD: Final = 30.0
"""Of a coincidence along the boundary [Å]."""

MISMATCH: Final = 2e-3
"""Relative difference of two periods that counts as none."""

DENSE: Final = 0.4
"""Displacements closer than this are not told apart in an image [Å]."""

SYSTEMATIC: Final = 0.02
"""Error that no noise explains [Å]: columns are not round, scans are not straight."""

NOISE_AREA: Final = 2.0
"""Area over which the noise in an image is alike, as wide as a probe [Å²]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearlyExact:
    """What the measured angles may mean exactly; nothing is changed by it.

    Attributes
    ----------
    upper_plane, lower_plane : (3,) int tuple, optional
        Plane of each grain, of indices up to 5, that may lie parallel to the boundary.
    upper_turn_deg, lower_turn_deg : float, optional
        What would have to be added to the rotation for it [degrees].
    period_angstrom : float, optional
        Common period of both lattices along the boundary, if both planes are exact.
    """

    upper_plane: tuple[int, int, int] | None = None
    lower_plane: tuple[int, int, int] | None = None
    upper_turn_deg: float | None = None
    lower_turn_deg: float | None = None
    period_angstrom: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Displacement:
    """Of the upper against the lower grain.

    Attributes
    ----------
    translation, expansion : float
        Along the boundary and along its normal [Å].
    sigmas : (float, float)
        Their standard deviations [Å].
    modulo : (2, 2) float array, optional
        Basis (rows) of the displacements that change nothing [Å]; None where both
        lattices together leave no displacement distinct.
    """

    translation: float
    expansion: float
    sigmas: tuple[float, float]
    modulo: Array | None


def nearly_exact(boundary: GrainBoundary, line_sigma_deg: float) -> NearlyExact:
    """Say which low-index planes and coincidences the angles come close to.

    Parameters
    ----------
    boundary : GrainBoundary
        As measured.
    line_sigma_deg : float
        Standard deviation of the angle of the line, which turns both grains alike
        [degrees].
    """
    within = max(TOLERANCE_DEG, line_sigma_deg)
    upper, lower = (_nearest_plane(g, within) for g in (boundary.upper, boundary.lower))
    found = NearlyExact()
    if upper is not None:
        found = replace(found, upper_plane=upper[0], upper_turn_deg=upper[1])
    if lower is not None:
        found = replace(found, lower_plane=lower[0], lower_turn_deg=lower[1])
    if upper is None or lower is None or abs(upper[1] - lower[1]) > TOLERANCE_DEG:
        return found
    exact = exactly(boundary, found)
    periods = [_period_along(g) for g in (exact.upper, exact.lower)]
    for n in range(1, int(LONGEST_PERIOD / min(periods)) + 1):
        longer = n * min(periods)
        times = longer / max(periods)
        if times > 0.5 and abs(times - round(times)) < MISMATCH * times:
            return replace(found, period_angstrom=longer)
    return found


def exactly(boundary: GrainBoundary, found: NearlyExact) -> GrainBoundary:
    """Return a boundary turned to the planes that it comes close to."""
    return GrainBoundary(
        upper=turned(boundary.upper, found.upper_turn_deg or 0.0),
        lower=turned(boundary.lower, found.lower_turn_deg or 0.0),
    )


def turned(grain: Grain, turn_deg: float) -> Grain:
    """Return a grain turned about the beam, counterclockwise."""
    return replace(grain, rotation_deg=grain.rotation_deg + turn_deg)


def _nearest_plane(
    grain: Grain, within_deg: float
) -> tuple[tuple[int, int, int], float] | None:
    """Return the lowest plane within the tolerance, and the turn to it [degrees]."""
    axis = range(-HIGHEST_INDEX, HIGHEST_INDEX + 1)
    every = np.array([i for i in product(axis, repeat=3) if np.gcd.reduce(i) == 1])
    planes = every[every @ np.asarray(grain.zone_axis) == 0]
    normals = planes @ np.linalg.inv(grain.crystal.cell).T @ orientation(grain).T
    turns = np.degrees(np.arctan2(normals[:, 0], normals[:, 1]))
    near = np.abs(turns) <= within_deg
    if not near.any():
        return None
    planes, turns = planes[near], turns[near]
    lowest = np.abs(planes).sum(axis=1).argmin()
    h, k, m = planes[lowest]
    return (int(h), int(k), int(m)), float(turns[lowest])


def _period_along(grain: Grain) -> float:
    """Return the shortest translation of the projected lattice along x [Å]."""
    cell = projected_cell(grain)
    steps = np.array(list(product(range(-20, 21), repeat=2)))
    points = steps @ cell
    along = (np.abs(points[:, 1]) < 1e-3) & (points[:, 0] > 1e-3)
    return float(points[along, 0].min()) if along.any() else np.inf


def displacement_of(
    boundary: GrainBoundary,
    near: NearlyExact,
    origins: tuple[Array, Array],
    sigmas: tuple[Array, Array],
) -> Displacement:
    """Return the displacement between the origins, reduced.

    Parameters
    ----------
    boundary : GrainBoundary
        As measured.
    near : NearlyExact
        Of it.
    origins : two (2,) float arrays
        Where both conventional origins lie, boundary frame, upper first [Å].
    sigmas : two (2,) float arrays
        Their standard deviations [Å].
    """
    step = origins[0] - origins[1]
    modulo = None
    if near.period_angstrom is not None:
        exact = exactly(boundary, near)
        modulo = _sum_lattice(projected_cell(exact.upper), projected_cell(exact.lower))
    if modulo is not None:
        step = nearest_lattice_point(modulo, step, np.zeros(2))
    sigma = np.sqrt(sigmas[0] ** 2 + sigmas[1] ** 2 + SYSTEMATIC**2)
    return Displacement(
        translation=float(step[0]),
        expansion=float(step[1]),
        sigmas=(float(sigma[0]), float(sigma[1])),
        modulo=modulo,
    )


def _sum_lattice(first: Array, second: Array) -> Array | None:
    """Return a basis of all sums of two lattices, None if it is too fine."""
    basis = first
    for vector in second:
        rest = nearest_lattice_point(basis, vector, np.zeros(2))
        # Each remainder is a shorter vector of the sum, until one vanishes.
        for _ in range(30):
            if np.linalg.norm(rest) < 0.02:
                break
            a, b = basis[np.argsort(np.linalg.norm(basis, axis=1))]
            across = abs(a[0] * rest[1] - a[1] * rest[0])
            keep, drop = (a, b) if across > 1e-2 * (a @ a) else (b, a)
            basis = np.array(shortest_basis(keep, rest))
            if np.linalg.norm(basis, axis=1).min() < DENSE:
                return None
            rest = nearest_lattice_point(basis, drop, np.zeros(2))
    return basis


def origin_sigma(seen: SeenLattice, point: Array, pixel_size: float) -> Array:
    """Return the standard deviation of a lattice's phase at a point, (2,) [Å].

    Parameters
    ----------
    seen : SeenLattice
        As fitted.
    point : (2,) float array
        Where it is continued to [working pixels].
    pixel_size : float
        Edge of a working pixel [Å].

    Notes
    -----
    From the noise that the fit leaves: of the phases at the middle of the patch, and of
    the map by which they are continued.
    """
    g, weights = seen.reflections.g, seen.patch.weights
    power = np.abs(seen.fit.amplitudes) ** 2
    variance = float(weights @ seen.fit.residual**2 / weights.sum())
    alike = max(1.0, NOISE_AREA / pixel_size**2)
    phases = 8 * np.pi**2 * (g.T * power) @ g * float(weights.sum()) / variance
    middle = np.diag(np.linalg.inv(phases))
    away = point - seen.patch.centre
    covariance = np.linalg.inv(seen.fit.curvature)
    bent = np.array(
        [away @ covariance[i : i + 2, i : i + 2] @ away for i in (0, 2)],
    )
    return np.asarray(np.sqrt(alike * (middle + bent)))
