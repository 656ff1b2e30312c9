"""Oriented lattices: their vectors in the boundary plane, common periods, spacings.

Vectors are in the boundary frame, rows, Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain
from autoloop.errors import ConfigError
from autoloop.geometry import orientation

Array = NDArray[np.float64]

_TOLERANCE: Final = 1e-3  # [Å]: below any atomic shift that matters, above rounding
_INDEX_RANGE: Final = 12  # primitive indices searched for vectors normal to the beam
_MAX_DENOMINATOR: Final = 400


def primitive_vectors(grain: Grain) -> Array:
    """Return (3, 3) primitive lattice vectors of a grain in the boundary frame."""
    crystal = grain.crystal
    fractional = np.vstack((np.eye(3), crystal.translations[1:]))
    vectors = fractional @ crystal.cell @ orientation(grain).T
    volume = abs(np.linalg.det(crystal.cell)) / len(crystal.translations)
    for i in range(len(vectors)):
        for j in range(i):
            for k in range(j):
                basis = vectors[[i, j, k]]
                if abs(abs(np.linalg.det(basis)) - volume) < 1e-6 * volume:
                    return np.asarray(basis)
    raise ValueError(f"no primitive basis among the translations of {crystal.name}")


def _integers(limit: int) -> NDArray[np.int64]:
    axis = np.arange(-limit, limit + 1)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def zone_period(grain: Grain) -> float:
    """Return the shortest lattice period along the zone axis [Å]."""
    length = float(np.linalg.norm(np.array(grain.zone_axis) @ grain.crystal.cell))
    indices = _indices(primitive_vectors(grain), np.array([0.0, 0.0, length]))
    return length / int(np.gcd.reduce(indices))


def _indices(lattice: Array, vector: Array) -> NDArray[np.int64]:
    """Return the integers by which a lattice vector is made of the primitive ones."""
    found = np.linalg.solve(lattice.T, vector)
    nearest = np.rint(found)
    if np.abs(found - nearest).max() > 1e-5:
        raise ValueError(f"{vector} Å is no vector of the lattice {lattice.tolist()}")
    return np.asarray(nearest, np.int64)


def rows_near_x(grain: Grain, max_period: float, max_angle: float) -> Array:
    """Return lattice vectors (m, 2), perpendicular to the beam and close to x.

    Parameters
    ----------
    grain : Grain
        Oriented crystal.
    max_period : float
        Longest vector wanted [Å].
    max_angle : float
        Largest angle from x [radians].

    Raises
    ------
    ConfigError
        If the lattice has no plane perpendicular to the beam.
    """
    vectors = _integers(_INDEX_RANGE) @ primitive_vectors(grain)
    flat = vectors[np.abs(vectors[:, 2]) < _TOLERANCE][:, :2]
    pair = _shortest_pair(flat)
    if pair is None:
        raise ConfigError(
            f"zone_axis {list(grain.zone_axis)} of {grain.crystal.name}: no lattice "
            "plane of low indices is perpendicular to it, so no cell repeats along "
            "the boundary; give another zone_axis"
        )
    first, second = pair
    shortest = min(np.linalg.norm(first), np.linalg.norm(second))
    limit = int(np.ceil(2 * max_period / shortest)) + 1
    axis = np.arange(-limit, limit + 1)
    m, n = np.meshgrid(axis, axis, indexing="ij")
    rows = m.ravel()[:, None] * first + n.ravel()[:, None] * second
    length = np.hypot(rows[:, 0], rows[:, 1])
    angle = np.abs(np.arctan2(rows[:, 1], rows[:, 0]))
    keep = (length > _TOLERANCE) & (length <= max_period) & (angle <= max_angle)
    return np.asarray(rows[keep][np.argsort(length[keep], kind="stable")])


def _shortest_pair(vectors: Array) -> tuple[Array, Array] | None:
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths, kind="stable")
    ordered = vectors[order][lengths[order] > _TOLERANCE]
    for second in ordered[1:]:
        first = ordered[0]
        if abs(first[0] * second[1] - first[1] * second[0]) > _TOLERANCE:
            return first, second
    return None


def bulk_atoms(grain: Grain, low: Array, high: Array) -> tuple[Array, Array, float]:
    """Return the atoms of a perfect grain over a rectangle, one period deep.

    Parameters
    ----------
    grain : Grain
        Its conventional origin lies at (0, 0).
    low, high : (2,) float array
        Corners of the rectangle, x and y [Å].

    Returns
    -------
    positions : (n, 2) float array
        x and y [Å].
    numbers : (n,) float array
        Atomic numbers.
    depth : float
        The period along the beam [Å].
    """
    depth = zone_period(grain)
    lattice = primitive_vectors(grain)
    basis, species = primitive_basis(grain)
    reach = float(np.abs(basis[:, :2]).max()) + _TOLERANCE
    corners = np.array(
        [
            [x, y, z]
            for x in (low[0] - reach, high[0] + reach)
            for y in (low[1] - reach, high[1] + reach)
            for z in (0.0, depth)
        ]
    )
    cells = np.linalg.solve(lattice.T, corners.T).T
    axes = [
        np.arange(np.floor(a), np.ceil(b) + 1)
        for a, b in zip(cells.min(axis=0), cells.max(axis=0), strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ lattice
    flat = grid[(grid[:, 2] > -_TOLERANCE) & (grid[:, 2] < depth - _TOLERANCE)][:, :2]
    points = (flat[:, None] + basis[None, :, :2]).reshape(-1, 2)
    inside = np.all((points >= low) & (points <= high), axis=1)
    return points[inside], np.tile(species, len(flat))[inside].astype(float), depth


def primitive_basis(grain: Grain) -> tuple[Array, NDArray[np.int64]]:
    """Return one atom of each class that lattice translations connect.

    Returns
    -------
    positions : (n, 3) float array
        From the conventional origin, in the boundary frame [Å].
    numbers : (n,) int array
        Atomic numbers.
    """
    crystal = grain.crystal
    kept: list[int] = []
    for i, position in enumerate(crystal.scaled_positions):
        step = crystal.scaled_positions[kept][:, None] - position
        step = step + crystal.translations[None]
        step -= np.round(step)
        if not kept or np.abs(step).max(axis=2).min() > 1e-3:
            kept.append(i)
    oriented = crystal.scaled_positions[kept] @ crystal.cell @ orientation(grain).T
    return oriented, crystal.numbers[kept]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommonPeriod:
    """The period that both grains are given along the boundary.

    Attributes
    ----------
    width : float
        Length of the period [Å].
    upper, lower : (2,) float array
        The lattice vector of each grain that is laid along x [Å].
    """

    width: float
    upper: Array
    lower: Array

    def strain(self) -> float:
        """Return the larger of the two grains' strains along x."""
        lengths = [float(np.linalg.norm(v)) for v in (self.upper, self.lower)]
        return max(abs(self.width / length - 1) for length in lengths)

    def turn_deg(self) -> float:
        """Return the error of the misorientation that the period makes [degrees]."""
        angles = [float(np.arctan2(v[1], v[0])) for v in (self.upper, self.lower)]
        return float(np.rad2deg(angles[0] - angles[1]))


def common_period(
    upper: Grain, lower: Grain, *, max_strain: float, max_period: float
) -> CommonPeriod:
    """Return the shortest period along the boundary that suits both grains.

    A coincidence period if there is one within `max_period`; else the approximant
    of lowest misfit per length, in which each grain carries half of the strain.

    Raises
    ------
    ConfigError
        If every period within `max_period` needs more strain than allowed.
    """
    rows = [rows_near_x(g, max_period, max(max_strain, 1e-3)) for g in (upper, lower)]
    best: tuple[float, CommonPeriod] | None = None
    for a in rows[0]:
        lengths = np.linalg.norm(rows[1], axis=1)
        near = np.abs(lengths - np.linalg.norm(a)) <= 2.1 * max_strain * lengths + 1e-6
        for b in rows[1][near]:
            width = float(np.linalg.norm(a) + np.linalg.norm(b)) / 2
            period = CommonPeriod(width=width, upper=a, lower=b)
            turn = abs(np.deg2rad(period.turn_deg()))
            if period.strain() > max_strain or turn > 2 * max_strain:
                continue
            # Misfit grows as strain times width; length costs atoms. One ångström of
            # width counts as much as 0.1 % of misfit.
            misfit = 2 * period.strain() + turn
            exact = misfit < 1e-4
            penalty = width * (1e-3 if not exact else 1e-6) + misfit
            if best is None or penalty < best[0] - 1e-9:
                best = (penalty, period)
    if best is None:
        raise ConfigError(
            f"no common period up to {max_period:g} Å with a strain below "
            f"{100 * max_strain:g} %; allow more with cell.max_period [Å] or "
            "cell.max_strain, or check rotation_deg of both grains"
        )
    return best[1]


def plane_spacing(vectors: Array, width: float, depth: float) -> float:
    """Return the spacing of lattice planes normal to y [Å].

    Parameters
    ----------
    vectors : (3, 3) float array
        Primitive lattice vectors.
    width, depth : float
        Lengths of two lattice vectors, along x and along z [Å].

    Notes
    -----
    Volume of the primitive cell over area of the primitive cell of the plane. Both
    lattice vectors being known in integers, so is how many points the plane has over
    their rectangle: exact for the high indices of approximants too.
    """
    along, beam = (
        _indices(vectors, np.array(v)) for v in ((width, 0.0, 0.0), (0.0, 0.0, depth))
    )
    n_points = int(np.gcd.reduce(np.cross(along, beam)))
    return abs(float(np.linalg.det(vectors))) * n_points / (width * depth)


def in_plane_fractions(vectors: Array, width: float, depth: float) -> Array:
    """Return (m, 2) fractions of the cell by which a lattice repeats in its plane.

    The x and z components, over width and depth, in [0, 1), of lattice vectors with no
    component along y.
    """
    reach = max(width, depth)
    shortest = np.linalg.norm(vectors, axis=1).min()
    limit = min(int(np.ceil(2 * reach / shortest)) + 2, 24)
    points = _integers(limit) @ vectors
    flat = points[np.abs(points[:, 1]) < _TOLERANCE]
    fractions = flat[:, [0, 2]] / (width, depth)
    fractions = fractions[np.all(np.abs(fractions) < 1.5, axis=1)]
    wrapped = np.mod(fractions + 1e-5, 1.0) - 1e-5
    return np.asarray(np.unique(np.round(wrapped, 6), axis=0))


def generated_cell(fractions: Array, width: float, depth: float) -> Array:
    """Return the basis of the planar lattice generated by fractions and whole cells.

    Parameters
    ----------
    fractions : (m, 2) float array
        Of the cell along x and z.
    width, depth : float
        Cell [Å].

    Returns
    -------
    (2, 2) float array
        Rows are basis vectors (x, z) [Å]; the second lies along z, so that only the
        first moves columns in an image.
    """
    from fractions import Fraction

    exact = [
        [Fraction(float(f)).limit_denominator(_MAX_DENOMINATOR) for f in row]
        for row in fractions
    ]
    n = lcm(*[f.denominator for row in exact for f in row], 1)
    rows = [[int(f * n) for f in row] for row in exact] + [[n, 0], [0, n]]
    return np.asarray(np.array(_hermite_rows(rows), float) / n * (width, depth))


def _hermite_rows(rows: list[list[int]]) -> list[list[int]]:
    """Return two rows that generate the same integer lattice in the plane.

    In Hermite form: the second has no first component, both diagonals are positive.
    """
    first = [0, 0]
    rest: list[int] = []
    for row in rows:
        a, b = first, list(row)
        while b[0]:
            q = a[0] // b[0]
            a, b = b, [a[0] - q * b[0], a[1] - q * b[1]]
        first = a
        rest.append(b[1])
    second = 0
    for value in rest:
        second = gcd(second, value)
    if first[0] < 0:
        first = [-first[0], -first[1]]
    return [[first[0], first[1] % second], [0, second]]


def exchanged(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the atomic numbers of a compound of two species with these exchanged."""
    first, second = dict.fromkeys(numbers.tolist())
    return np.asarray(np.where(numbers == first, second, first), np.int64)


def exchange_inverts(crystal: Crystal) -> bool:
    """Whether exchanging its two species turns a crystal into its inverse.

    Then the same sites with the species exchanged are the other polarity, as in
    zincblende. False where inversion changes nothing (rock salt), or more than that.
    """
    if len(crystal.species) != 2:
        return False
    swapped = exchanged(crystal.numbers)
    plain = (crystal.scaled_positions, crystal.numbers)
    inverse = (-crystal.scaled_positions, crystal.numbers)
    other = (crystal.scaled_positions, swapped)
    return _same_crystal(other, inverse) and not _same_crystal(other, plain)


def _same_crystal(
    a: tuple[Array, NDArray[np.int64]], b: tuple[Array, NDArray[np.int64]]
) -> bool:
    """Whether a translation maps one set of fractional sites onto the other."""
    for start in a[0][a[1] == b[1][0]]:
        moved = b[0] - b[0][0] + start
        steps = moved[:, None] - a[0][None]
        steps -= np.round(steps)
        onto = np.abs(steps).max(axis=2) < 1e-3
        onto &= b[1][:, None] == a[1][None]
        if onto.any(axis=1).all():
            return True
    return False


def equivalent(upper: Grain, lower: Grain) -> bool:
    """Whether a symmetry of the crystal maps one orientation onto the other.

    Then there is no boundary, only a perfect crystal or a stacking fault.
    """
    if upper.crystal.name != lower.crystal.name:
        return False
    turn = orientation(upper).T @ orientation(lower)
    differences = np.abs(upper.crystal.rotations - turn).max(axis=(1, 2))
    return bool(differences.min() < 1e-3)
