"""Coincidence boundaries of cubic crystals from rotation axis, Sigma and plane.

A rotation about [h k l] of a cubic lattice has coincidence points if it is that of the
quaternion (m, n h, n k, n l) with whole m and n [1]_: by the angle
2 atan(n |hkl| / m), with Sigma the odd part of m² + n² (h² + k² + l²).

References
----------
.. [1] H. Grimmer, Acta Cryst. A 40, 108 (1984), doi:10.1107/S0108767384000246
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations, product
from math import atan2, degrees, gcd, isqrt, lcm, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain, GrainBoundary
from autoloop.errors import ConfigError
from autoloop.structure.cells import is_small

Integers = NDArray[np.int64]
Indices = tuple[int, int, int]

_SAME_ANGLE: Final = 0.05  # [degrees]: tables print two decimals, people write one
_REACH: Final = 16  # indices searched for the edges of the cell in a twist boundary


@dataclass(frozen=True, slots=True, kw_only=True)
class CoincidenceRotation:
    """A rotation that brings part of a cubic lattice onto itself.

    Attributes
    ----------
    axis : (3,) int tuple
        Without a common divisor.
    m, n : int
        Of the quaternion (m, n axis); without a common divisor, n not negative.
    """

    axis: Indices
    m: int
    n: int

    @property
    def sigma(self) -> int:
        """Volume of the coincidence cell over that of the lattice's."""
        return _odd_part(self._norm)

    @property
    def angle_deg(self) -> float:
        """Angle, in (-180, 180] [degrees]."""
        length = sqrt(sum(i * i for i in self.axis))
        angle = 2 * degrees(atan2(self.n * length, self.m))
        return angle if angle < 180 + 1e-9 else angle - 360

    @property
    def _norm(self) -> int:
        return self.m**2 + self.n**2 * sum(i * i for i in self.axis)

    def turned(self, direction: Indices) -> Indices:
        """Return where the rotation takes a direction, without a common divisor."""
        a, v = np.array(self.axis) * self.n, np.array(direction)
        # The quaternion product, times the square of its length: whole numbers.
        long = (self.m**2 - int(a @ a)) * v + 2 * int(a @ v) * a
        return primitive_indices(long + 2 * self.m * np.cross(a, v))


def primitive_indices(direction: Indices | Integers) -> Indices:
    """Return indices divided by what they have in common.

    Raises
    ------
    ConfigError
        If all are zero.
    """
    first, second, third = (int(i) for i in direction)
    divisor = gcd(first, second, third)
    if divisor == 0:
        raise ConfigError("indices [0, 0, 0] give no direction; give others")
    return first // divisor, second // divisor, third // divisor


def _odd_part(number: int) -> int:
    while number % 2 == 0:
        number //= 2
    return number


def coincidence_rotations(axis: Indices, sigma: int) -> list[CoincidenceRotation]:
    """Return all rotations about an axis that have a Sigma, by size of the angle.

    Parameters
    ----------
    axis : (3,) int tuple
        Direction in a cubic crystal.
    sigma : int
        Odd.
    """
    axis = primitive_indices(axis)
    square = sum(i * i for i in axis)
    found = set()
    # The square of a quaternion without common divisor is Sigma, twice or four times.
    for norm in (sigma, 2 * sigma, 4 * sigma):
        for n in range(1, isqrt(norm // square) + 1):
            m = isqrt(norm - n * n * square)
            if m * m + n * n * square == norm and gcd(m, n) == 1:
                found |= {(m, n), (-m, n)}
    turns = [CoincidenceRotation(axis=axis, m=m, n=n) for m, n in found]
    return sorted(turns, key=lambda t: (round(abs(t.angle_deg), 6), t.angle_deg < 0))


def coincidence_boundary(
    crystal: Crystal,
    axis: Indices,
    sigma: int,
    plane: Indices,
    *,
    angle_deg: float | None = None,
) -> GrainBoundary:
    """Return the boundary of a cubic crystal with a coincidence lattice and a plane.

    Parameters
    ----------
    crystal : Crystal
        Cubic, in its conventional cell.
    axis : (3,) int tuple
        The grains differ by a turn about this direction, which both have in common. In
        the plane it makes a tilt boundary and lies along the beam; normal to it a twist
        boundary; else a mixed one. The beam is then along a short common period.
    sigma : int
        Volume of the coincidence cell over that of the lattice's.
    plane : (3,) int tuple
        Indices of the boundary plane in the upper grain, its normal pointing into it.
    angle_deg : float, optional
        Which turn, where several have the Sigma: positive takes directions of the upper
        grain counterclockwise about the axis to their parallels in the lower. Without
        it, one that makes both planes equivalent (a symmetric boundary), with the same
        side of the plane upwards in a polar crystal; of these the smallest.

    Raises
    ------
    ConfigError
        If the crystal is not cubic, or no turn about the axis has this Sigma and angle.
    """
    _check_cubic(crystal)
    if sigma < 3 or sigma % 2 == 0:
        raise ConfigError(
            f"sigma {sigma}: a cubic crystal has coincidence boundaries of odd sigma "
            "from 3 on; give one of these"
        )
    plane = primitive_indices(plane)
    turn = _chosen(crystal, primitive_indices(axis), sigma, plane, angle_deg)
    if np.dot(turn.axis, plane) == 0:
        beam = turn.axis
    else:
        beam = _shortest_beam(crystal, turn, plane)
    return GrainBoundary(
        upper=Grain(crystal=crystal, zone_axis=beam, up=plane),
        lower=Grain(
            crystal=crystal, zone_axis=turn.turned(beam), up=turn.turned(plane)
        ),
    )


def _check_cubic(crystal: Crystal) -> None:
    edge = float(np.linalg.norm(crystal.cell[0]))
    off = float(np.abs(crystal.cell @ crystal.cell.T / edge**2 - np.eye(3)).max())
    if off > 1e-4 or len(crystal.rotations) < 12:
        raise ConfigError(
            f"crystal {crystal.name} is not cubic, or not given in its conventional "
            "cell: sigma and plane say nothing of it; give zone_axis, up and "
            "rotation_deg of both grains"
        )


def _chosen(
    crystal: Crystal,
    axis: Indices,
    sigma: int,
    plane: Indices,
    angle_deg: float | None,
) -> CoincidenceRotation:
    turns = coincidence_rotations(axis, sigma)
    if not turns:
        raise ConfigError(
            f"no turn about {list(axis)} has sigma {sigma}; about it there are "
            f"{', '.join(map(str, _available(axis, sigma)))}"
        )
    if angle_deg is not None:
        for turn in turns:
            if abs((turn.angle_deg - angle_deg + 180) % 360 - 180) < _SAME_ANGLE:
                return turn
        raise ConfigError(
            f"no turn about {list(axis)} by {angle_deg:g} degrees has sigma {sigma}; "
            f"these have: {', '.join(f'{t.angle_deg:.2f}' for t in turns)}"
        )
    alike, same_side = _equivalent_planes(plane), _same_side(crystal, plane)
    return min(
        turns,
        key=lambda turn: (
            turn.turned(plane) not in alike,
            turn.turned(plane) not in same_side,
        ),
    )


def _available(axis: Indices, sigma: int) -> list[int]:
    """Return a few possible values of Sigma on either side of one that is not."""
    low, high = max(3, sigma - 20), sigma + 20
    return [s for s in range(low | 1, high, 2) if coincidence_rotations(axis, s)]


def _equivalent_planes(plane: Indices) -> set[Indices]:
    return {
        (a * p[0], b * p[1], c * p[2])
        for p in permutations(plane)
        for a, b, c in product((1, -1), repeat=3)
    }


def _same_side(crystal: Crystal, plane: Indices) -> set[Indices]:
    turned = np.rint(crystal.rotations @ np.array(plane)).astype(int)
    return {primitive_indices(indices) for indices in turned}


def _shortest_beam(
    crystal: Crystal, turn: CoincidenceRotation, plane: Indices
) -> Indices:
    """Return the shorter edge of the smallest rectangular cell in the plane.

    Where that is large, the shortest common period in the plane: on it stands an
    oblique cell as small as any.
    """
    axis = np.arange(-_REACH, _REACH + 1)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    every = every[(every @ np.array(plane) == 0) & (np.gcd.reduce(every, axis=1) == 1)]
    # Short ones first; of equally good ones that with the largest leading index stays.
    order = np.lexsort((*(-every.T[::-1]), (every**2).sum(axis=1)))
    ranked: list[tuple[float, float, int]] = []
    for i, direction in enumerate(every[order]):
        beam = primitive_indices(direction)
        across = primitive_indices(np.cross(plane, beam))
        depth, width = (_common(crystal, turn, d) for d in (beam, across))
        ranked.append((round(depth * width, 6), round(depth, 6), i))
    area, _, chosen = min(ranked)
    edge = float(np.linalg.norm(crystal.cell[0]))
    if not is_small(area * edge**2, crystal):
        chosen = min(ranked, key=lambda entry: entry[1:])[2]
    return primitive_indices(every[order][chosen])


def _common(crystal: Crystal, turn: CoincidenceRotation, direction: Indices) -> float:
    """Return the period that both lattices have along a direction, in cell edges."""
    other = turn.turned(direction)
    length, length_other = (sum(i * i for i in d) for d in (direction, other))
    # The turn keeps lengths, and its matrix is rational: so is the ratio of both.
    ratio = Fraction(length_other, length)
    root = Fraction(isqrt(ratio.numerator), isqrt(ratio.denominator))
    first = _period(crystal, direction)
    second = _period(crystal, other) * root
    common = Fraction(
        lcm(first.numerator, second.numerator),
        gcd(first.denominator, second.denominator),
    )
    return float(common) * sqrt(length)


def _period(crystal: Crystal, direction: Indices) -> Fraction:
    """Return the share of primitive indices that is the shortest lattice vector."""
    for divisor in (4, 3, 2):
        step = crystal.translations - np.array(direction) / divisor
        if np.abs(step - np.round(step)).max(axis=1).min() < 1e-6:
            return Fraction(1, divisor)
    return Fraction(1)
