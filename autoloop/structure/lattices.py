"""Oriented lattices: their vectors, and the periods that two of them have in common.

Vectors are in the boundary frame, rows, Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain
from autoloop.errors import ConfigError
from autoloop.geometry import orientation, shortest_basis
from autoloop.structure.integers import kernel

Array = NDArray[np.float64]

_TOLERANCE: Final = 1e-3  # [Å]: below any atomic shift that matters, above rounding
ROUNDED: Final = 1.005
"""Limits hold to this factor: one of 1.01 % admits what is printed as 1.01 %."""
_WORTH_NAMING: Final = 0.1  # strain above which a best cell is no help to anyone
_MAX_ROWS: Final = 600  # pairs of them are compared at once
_MAX_INDEX: Final = 2000  # of a lattice plane taken to be one
_INDEX_RANGE: Final = 12  # primitive indices searched for vectors normal to the beam


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
    indices = lattice_indices(primitive_vectors(grain), np.array([0.0, 0.0, length]))
    return length / int(np.gcd.reduce(indices))


def lattice_indices(lattice: Array, vector: Array) -> NDArray[np.int64]:
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
    pair = _plane_across(primitive_vectors(grain))
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


def _plane_across(lattice: Array) -> tuple[Array, Array] | None:
    """Return two short vectors (x, y) that make the lattice plane normal to z."""
    vectors = _integers(_INDEX_RANGE) @ lattice
    pair = _shortest_pair(vectors[np.abs(vectors[:, 2]) < _TOLERANCE][:, :2])
    # Of a plane of high indices so small a search sees nothing, or not every point.
    tallest = np.abs(lattice[:, 2]).max()
    ratios = [
        Fraction(float(h)).limit_denominator(_MAX_INDEX)
        for h in lattice[:, 2] / tallest
    ]
    if np.abs(lattice[:, 2] / tallest - np.array(ratios, float)).max() > 1e-10:
        return pair
    common = lcm(*[r.denominator for r in ratios])
    normal = np.array([int(r * common) for r in ratios])
    normal //= np.gcd.reduce(normal)
    first, second = (kernel(normal) @ lattice)[:, :2]
    if pair is not None and abs(_area(*pair)) < 1.001 * abs(_area(first, second)):
        return pair
    return shortest_basis(first, second)


def _area(first: Array, second: Array) -> float:
    return float(first[0] * second[1] - first[1] * second[0])


def _shortest_pair(vectors: Array) -> tuple[Array, Array] | None:
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths, kind="stable")
    ordered = vectors[order][lengths[order] > _TOLERANCE]
    for second in ordered[1:]:
        first = ordered[0]
        if abs(_area(first, second)) > _TOLERANCE:
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
        If every period within `max_period` needs more strain than allowed; the message
        names the one that needs least.
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
            if period.strain() > ROUNDED * max_strain or turn > 2 * max_strain:
                continue
            price = penalty(width, 2 * period.strain() + turn)
            if best is None or price < best[0] - 1e-9:
                best = (price, period)
    if best is None:
        raise ConfigError(
            f"no common period up to {max_period:g} Å with a strain below "
            f"{100 * max_strain:g} %; allow more with cell.max_period [Å] or "
            "cell.max_strain, or check rotation_deg of both grains"
            + _best_along(upper, lower, max_period)
        )
    return best[1]


def penalty(length: float, misfit: float) -> float:
    """Return what a common period costs, by its length [Å] and relative misfit."""
    # Misfit grows as strain times length; length costs atoms. One ångström counts as
    # much as 0.1 % of misfit; what fits exactly comes before all that does not.
    return length * (1e-3 if misfit >= 1e-4 else 1e-6) + misfit


def _best_along(upper: Grain, lower: Grain, max_period: float) -> str:
    """Return what an error says of the period that needs least strain."""
    rows = [
        rows_near_x(g, max_period, _WORTH_NAMING)[:_MAX_ROWS] for g in (upper, lower)
    ]
    if not (len(rows[0]) and len(rows[1])):
        return ""
    lengths = [np.hypot(*row.T) for row in rows]
    angles = [np.arctan2(row[:, 1], row[:, 0]) for row in rows]
    first, second = lengths[0][:, None], lengths[1][None]
    stretch = np.abs(first - second) / (2 * np.minimum(first, second))
    turn = np.abs(angles[0][:, None] - angles[1][None])
    aside = np.maximum(np.abs(angles[0])[:, None], np.abs(angles[1])[None])
    needed = np.maximum.reduce((stretch, turn / 2, aside))
    i, j = np.unravel_index(int(np.argmin(np.round(needed, 6))), needed.shape)
    if needed[i, j] > _WORTH_NAMING:
        return ""
    width = (lengths[0][i] + lengths[1][j]) / 2
    return (
        f"; the best is {width:.2f} Å with a strain of {100 * stretch[i, j]:.2f} % and "
        f"{np.rad2deg(turn[i, j]):.2f} degrees of turn, which a cell.max_strain of "
        f"{rounded_up(float(needed[i, j])):g} allows"
    )


def rounded_up(strain: float) -> float:
    """Return a strain as a limit to four decimals that admits it."""
    return float(np.ceil(strain * 1e4 + 1e-6) / 1e4)


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
