"""Both lattices of a bicrystal fitted at once, and the line between them.

The frame is refined by least squares of the reflections of both grains on the pixels of
their own sides; each grain's own map follows; the line lies where the one lattice stops
to be seen and the other begins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.errors import DataError
from autoloop.microscopy.boundary_line import core_of
from autoloop.microscopy.lattice_fit import (
    Fit,
    Patch,
    SeenLattice,
    fit_lattice,
    fit_reflections,
    unit_waves,
)
from autoloop.microscopy.lattice_search import Placement, View, ramp
from autoloop.microscopy.reflections import Array, Reflections

CORE: Final = 3.0
"""Half width of the strip along the boundary that belongs to neither lattice [Å]."""

MOST_PIXELS: Final = 30000
"""Of a grain; a fit to more is only slower."""

LEAST_AREA: Final = 100.0
"""Less of a grain than this shows no lattice [Å²]."""


def settled(
    view: View,
    grains: tuple[Reflections, Reflections],
    placement: Placement,
    point: Array | None,
) -> tuple[Placement, tuple[SeenLattice, SeenLattice]]:
    """Refine frame and line by turns until both agree.

    Parameters
    ----------
    view : View
        The micrograph.
    grains : (Reflections, Reflections)
        Of the upper and the lower grain.
    placement : Placement
        First guess, from a search.
    point : (2,) float array, optional
        A point on the line [working pixels].
    """
    # At first the line is known too badly to leave out a strip along it.
    for core in (0.0, CORE, CORE):
        placement, seen = refine(view, grains, placement, core)
        placement = with_line(view, placement, seen, point)
    placement, seen = refine(view, grains, placement, CORE)
    if point is None:
        middle = core_of(view, placement, seen).middle
        placement = replace(placement, offset=middle)
    return placement, seen


def refine(
    view: View,
    grains: tuple[Reflections, Reflections],
    placement: Placement,
    core: float,
) -> tuple[Placement, tuple[SeenLattice, SeenLattice]]:
    """Refine the frame on both grains at once, then each grain's own map."""
    upper, lower = (patch_of(view, placement, side, core) for side in (1, -1))
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
        see(view, grains[0], upper, placement),
        see(view, grains[1], lower, placement),
    )


def patch_of(view: View, placement: Placement, side: int, core: float) -> Patch:
    """Return the pixels above (1) or below (-1) the line and a strip along it [Å]."""
    weights = view.edge_weights * ramp(side * placement.heights(view) - core)
    if weights.sum() * view.pixel_size**2 < LEAST_AREA:
        name = "upper" if side > 0 else "lower"
        raise DataError(
            f"cannot see the lattice of the {name} grain: less than 1 nm² of the "
            f"micrograph's crop seems to lie on its side of the boundary; check the "
            f"grains and their order, give a crop with the boundary in its middle, or "
            f"boundary: {{angle_deg, point_px}}"
        )
    inside = (weights > 1e-3) & _thinned(view.shape, int(np.sum(weights > 1e-3)))
    points, kept = view.grid[inside], weights[inside]
    centre = kept @ points / kept.sum()
    return Patch(
        values=view.values[inside],
        positions=points - centre,
        weights=kept,
        centre=centre,
    )


def _thinned(shape: tuple[int, int], n_pixels: int) -> NDArray[np.bool_]:
    """Choose every second pixel or every fourth, where more say nothing new.

    Waves are fitted, not transformed: a thinner grid does not blur them, and those of
    the strong reflections stay below its Nyquist frequency.
    """
    row, column = np.indices(shape)
    if n_pixels > 2 * MOST_PIXELS:
        return np.asarray((row % 2 == 0) & (column % 2 == 0))
    if n_pixels > MOST_PIXELS:
        return np.asarray((row + column) % 2 == 0)
    return np.ones(shape, dtype=bool)


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


def see(
    view: View, grain: Reflections, patch: Patch, placement: Placement
) -> SeenLattice:
    """Fit the lattice of one grain, by its own map and by that of both."""
    matrix, fit = fit_lattice(patch, grain.g, placement.frame(view).matrix)
    return SeenLattice(
        reflections=grain,
        patch=patch,
        matrix=matrix,
        fit=fit,
        shared=_shared_fit(view, grain, patch, placement),
    )


def with_line(
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
