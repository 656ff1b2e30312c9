"""Where the columns of one grain really lie: its own affine map, from its columns.

One affine map for the whole image describes the magnification and the slant of the
scan. Real scans also drift slowly, so the lattices on the two sides of a boundary
differ from it by up to some per cent. What is compared lies close to the boundary;
there a map of each grain's own, fitted to the columns seen, holds to a fraction of a
pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GROWTH: Final = (10.0, 12.0, 14.0, 17.0, 20.0, 25.0)
"""Heights up to which columns take part, one fit after the other [Å].

The first strip ends so low that a map wrong by some per cent still puts every lattice
point next to its own column; each fit then carries a little further.
"""
CORE: Final = 4.0
"""Columns closer to the boundary than this are not where the lattice has them [Å]."""
MIN_COLUMNS: Final = 12
"""Fewer than this decide no affine map: six numbers, twice over."""
MAX_MISMATCH: Final = 0.8
"""Lattice points further than this from any column have no partner [Å]: half of the
closest projected distance that images resolve."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GrainMap:
    """How the lattice points of one grain, as first predicted, have to be moved.

    Attributes
    ----------
    linear : (2, 2) float array
        Acts on displacements from the pivot [pixels per pixel].
    shift : (2,) float array
        Of the pivot [pixels].
    rms_px : float
        Root mean square distance left between points and columns [pixels].
    n_columns : int
        Columns that decided.
    """

    linear: Array
    shift: Array
    rms_px: float
    n_columns: int


def fit_grain(
    columns: Array, points: Array, heights: Array, pivot: Array, pixel_size: float
) -> GrainMap | None:
    """Fit the map of one grain to the columns near the boundary.

    Parameters
    ----------
    columns : (n, 2) float array
        Columns seen [pixels].
    points : (m, 2) float array
        Columns of the perfect grain as first predicted [pixels].
    heights : (m,) float array
        Their distances from the boundary [Å].
    pivot : (2,) float array
        Point on the boundary that the map is written about [pixels].
    pixel_size : float
        [Å].

    Returns
    -------
    GrainMap or None
        None if too few columns have partners.
    """
    from scipy.spatial import cKDTree

    if not len(columns):
        return None
    tree = cKDTree(columns)
    reach = MAX_MISMATCH / pixel_size
    found: GrainMap | None = None
    for height in GROWTH:
        near = points[(heights >= CORE) & (heights <= height)] - pivot
        for _ in range(4):
            linear, shift = (
                (np.eye(2), np.zeros(2))
                if found is None
                else (found.linear, found.shift)
            )
            moved = near @ linear.T + shift + pivot
            distance, partner = tree.query(moved, distance_upper_bound=reach)
            paired = np.isfinite(distance)
            if paired.sum() < MIN_COLUMNS:
                break
            found = _best_map(near[paired], columns[partner[paired]] - pivot)
    return found


def _best_map(source: Array, target: Array) -> GrainMap:
    """Return a shift, or an affine map where the columns call for one.

    By the Bayesian information criterion: four more numbers have to pay for themselves,
    so that the noise of few columns does not bend a lattice.
    """
    n = len(source)
    shift = (target - source).mean(axis=0)
    plain = _judged(source, target, np.eye(2), shift)
    design = np.column_stack((source, np.ones(n)))
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    bent = _judged(
        source,
        target,
        np.asarray(solution[:2].T, float),
        np.asarray(solution[2], float),
    )
    left = [max(found.rms_px, 1e-9) for found in (plain, bent)]
    gain = 4 * n * np.log(left[0] / left[1])
    return bent if gain > 4 * np.log(2 * n) else plain


def _judged(source: Array, target: Array, linear: Array, shift: Array) -> GrainMap:
    left = source @ linear.T + shift - target
    return GrainMap(
        linear=linear,
        shift=shift,
        rms_px=float(np.sqrt(np.mean(np.sum(left**2, axis=1)))),
        n_columns=len(source),
    )
