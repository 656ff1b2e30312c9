"""The cell that two grains share: rectangular, or oblique where that is smaller.

Its edges are (width, 0, shear) and (0, 0, depth) in the boundary frame, so that the
projection along the beam repeats along x with the width, whatever the shear.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Crystal, Grain
from autoloop.errors import ConfigError
from autoloop.geometry import reduced_cell, reduced_shear
from autoloop.structure.beam import CommonDepth, common_depth
from autoloop.structure.integers import completed
from autoloop.structure.lattices import (
    ROUNDED,
    CommonPeriod,
    common_period,
    lattice_indices,
    penalty,
    primitive_vectors,
    zone_period,
)

Array = NDArray[np.float64]

_SMALL: Final = 8.0
"""Rectangular cells up to this area stay so, in primitive volumes to the power 2/3.

Up to some eight atoms a layer: half of them save little, and in a cell with one or two
atoms a layer, none of them could go, or differ from its neighbours.
"""
_SAME: Final = 1e-3  # [Å]: lengths that differ by less are the same
_SAME_MISFIT: Final = 1e-6
_TURNED: Final = 1e-3  # [radians]: rows are looked for this far from x at least


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommonCell:
    """The cell that both grains are given.

    Attributes
    ----------
    period : CommonPeriod
        Along the boundary, as projected along the beam.
    beam : CommonDepth
        Along the beam.
    shear : float
        Step along the beam that goes with one period along the boundary, in
        (-depth/2, depth/2] [Å]; 0 in a rectangular cell.
    slip : float
        By how much more the lower grain steps along the beam than the upper one where
        neither is strained [Å]. Each is sheared by half of it.
    """

    period: CommonPeriod
    beam: CommonDepth
    shear: float = 0.0
    slip: float = 0.0

    @property
    def size(self) -> tuple[float, float, float]:
        """Width, depth and shear [Å]."""
        return self.period.width, self.beam.depth, self.shear

    def strains(self, grain: int) -> tuple[float, float]:
        """Return the stretch of grain 1 or 2 along the boundary and the beam."""
        row = self.period.upper if grain == 1 else self.period.lower
        along = self.period.width / float(np.linalg.norm(row)) - 1
        return along, self.beam.strains[grain - 1]

    def shear_strain(self, grain: int) -> float:
        """Return the angle by which grain 1 or 2 is sheared [radians]."""
        return (1.5 - grain) * self.slip / self.period.width

    def deformation(self, grain: int) -> Array:
        """Return what lays grain 1 or 2 over the cell, (3, 3).

        A turn that lays its row along x, a stretch along x and z, and a shear.
        """
        row = self.period.upper if grain == 1 else self.period.lower
        c, s = row / np.linalg.norm(row)
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        along, beam = self.strains(grain)
        stretch = np.diag([1 + along, 1.0, 1 + beam])
        stretch[2, 0] = self.shear_strain(grain) * (1 + along)
        return np.asarray(stretch @ turn)


def common_cell(
    upper: Grain,
    lower: Grain,
    *,
    max_strain: float,
    max_period: float,
    max_depth: float,
    oblique: bool | None = None,
) -> CommonCell:
    """Return the smallest cell that suits both grains.

    Oblique if that makes it smaller and strains the grains no more than a rectangular
    one, or if there is no rectangular one, as in crystals with oblique axes.

    Parameters
    ----------
    upper, lower : Grain
        Oriented crystals.
    max_strain : float
        Largest stretch and shear of a grain; both share them.
    max_period, max_depth : float
        Longest cell along the boundary and along the beam [Å].
    oblique : bool, optional
        Whether the cell may be oblique; if not given, small ones stay rectangular.

    Raises
    ------
    ConfigError
        If no cell within these limits suits both.
    """
    refusal: ConfigError | None = None
    period: CommonPeriod | None = None
    try:
        period = common_period(
            upper, lower, max_strain=max_strain, max_period=max_period
        )
    except ConfigError as error:
        refusal = error
        if oblique is False:
            raise
    try:
        beam = common_depth(upper, lower, max_strain=max_strain, max_depth=max_depth)
    except ConfigError as error:
        raise refusal or error from None
    slanted = None
    if period is None or _may_be_oblique(oblique, period.width * beam.depth, upper):
        # longer ones than a rectangular cell are not asked for
        longest = max_period if period is None else min(period.width, max_period)
        slanted = _Pairs(upper, lower, beam, longest, max_strain).best(period)
    if slanted is not None:
        return slanted
    if period is None:
        raise ConfigError(
            f"{refusal}; no oblique cell within these limits suits both grains either"
        )
    return CommonCell(period=period, beam=beam)


def _may_be_oblique(oblique: bool | None, area: float, grain: Grain) -> bool:
    return not is_small(area, grain.crystal) if oblique is None else oblique


def is_small(area: float, crystal: Crystal) -> bool:
    """Whether a rectangular cell of an area [Å²] is so small that it stays as it is."""
    volume = abs(float(np.linalg.det(crystal.cell))) / len(crystal.translations)
    return bool(area < _SMALL * volume ** (2 / 3))


def slanted_rows(grain: Grain, max_period: float, max_angle: float) -> Array:
    """Return lattice vectors (m, 3) that project along the beam close to x.

    Of those that differ by whole periods along the beam one each, the shortest first.

    Parameters
    ----------
    grain : Grain
        Oriented crystal.
    max_period : float
        Longest projection wanted [Å].
    max_angle : float
        Largest angle of the projection from x [radians].
    """
    depth = zone_period(grain)
    lattice = primitive_vectors(grain)
    beam = lattice_indices(lattice, np.array([0.0, 0.0, depth]))
    first, second = completed(beam) @ lattice
    # the shortest two in projection, whatever their steps along the beam
    flat = [np.array([*v[:2], 0.0]) for v in (first, second)]
    short = reduced_cell(np.array([flat[0], [0.0, 0.0, 1.0], flat[1]]))[[0, 2]]
    basis = np.linalg.solve(np.array(flat)[:, :2].T, short[:, :2].T).T
    first, second = np.round(basis) @ np.array([first, second])
    limit = int(np.ceil(2 * max_period / np.linalg.norm(short, axis=1).min())) + 1
    axis = np.arange(-limit, limit + 1)
    m, n = np.meshgrid(axis, axis, indexing="ij")
    rows = m.ravel()[:, None] * first + n.ravel()[:, None] * second
    length = np.hypot(rows[:, 0], rows[:, 1])
    angle = np.abs(np.arctan2(rows[:, 1], rows[:, 0]))
    keep = (length > _SAME) & (length <= max_period) & (angle <= max_angle)
    kept = rows[keep][np.argsort(length[keep], kind="stable")]
    kept[:, 2] -= depth * np.floor(kept[:, 2] / depth + 1e-9)
    return np.asarray(kept)


class _Pairs:
    """Rows of both grains of about one length, and what it takes to make them one.

    Attributes
    ----------
    upper, lower : (k, 3) float array
        Rows, their steps along the beam already stretched to the common depth [Å].
    width, slip : (k,) float array
        Their mean length in projection; by how much their steps differ at least [Å].
    misfit : (k,) float array
        Stretch, turn and shear of both grains together.
    allowed : (k,) bool array
        Whether all are within the bound on strain.
    """

    def __init__(
        self,
        upper: Grain,
        lower: Grain,
        beam: CommonDepth,
        max_period: float,
        max_strain: float,
    ) -> None:
        rows = [
            slanted_rows(grain, max_period, max(max_strain, _TURNED))
            * [1.0, 1.0, 1.0 + strain]
            for grain, strain in zip((upper, lower), beam.strains, strict=True)
        ]
        long = [np.hypot(*r[:, :2].T) for r in rows]
        apart = np.abs(long[0][:, None] - long[1][None])
        i, j = np.nonzero(apart <= 2.1 * max_strain * long[1][None] + 1e-6)
        self._beam = beam
        self.upper, self.lower = rows[0][i], rows[1][j]
        lengths = np.array([long[0][i], long[1][j]])
        self.width = lengths.mean(axis=0)
        stretch = np.abs(self.width / lengths - 1).max(axis=0)
        angles = [np.arctan2(r[:, 1], r[:, 0]) for r in (self.upper, self.lower)]
        turn = np.abs(angles[0] - angles[1])
        # whole periods of either grain may be added to its step
        unit = beam.depth / lcm(beam.n_upper, beam.n_lower)
        steps = self.lower[:, 2] - self.upper[:, 2]
        self.slip = steps - unit * np.round(steps / unit)
        shear = np.abs(self.slip) / self.width
        self.misfit = 2 * stretch + turn + shear
        limit = ROUNDED * max_strain
        self.allowed = (
            (stretch <= limit) & (shear / 2 <= limit) & (turn <= 2 * max_strain)
        )

    def best(self, straight: CommonPeriod | None) -> CommonCell | None:
        """Return the best cell that is better than a rectangular one, if any is."""
        allowed = self.allowed
        if straight is not None:
            turn = abs(np.deg2rad(straight.turn_deg()))
            misfit = 2 * straight.strain() + turn
            allowed = allowed & (self.width < straight.width - _SAME)
            allowed &= self.misfit <= misfit + _SAME_MISFIT
        prices = [
            # rounded, so that of equally good ones the first is taken anywhere
            (round(penalty(float(self.width[k]), float(self.misfit[k])), 9), int(k))
            for k in np.flatnonzero(allowed)
        ]
        return self._cell(min(prices)[1]) if prices else None

    def _cell(self, k: int) -> CommonCell:
        beam, slip = self._beam, float(self.slip[k])
        steps = float(self.lower[k, 2] - self.upper[k, 2])
        # the multiple of the upper grain's period at which the steps agree but for slip
        unit = beam.depth / beam.n_upper
        lower_unit = beam.depth / beam.n_lower
        more = np.arange(beam.n_upper) * unit
        off = (steps - slip - more) / lower_unit
        step = more[np.argmin(np.round(np.abs(off - np.round(off)), 6))]
        shear = reduced_shear(
            float(self.upper[k, 2]) + float(step) + slip / 2, beam.depth
        )
        period = CommonPeriod(
            width=float(self.width[k]),
            upper=self.upper[k, :2],
            lower=self.lower[k, :2],
        )
        straight = abs(shear) < 1e-9 * beam.depth
        return CommonCell(
            period=period, beam=beam, shear=0.0 if straight else shear, slip=slip
        )
