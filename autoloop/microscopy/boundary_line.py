"""Where the boundary lies: the middle of the strip that shows neither lattice.

Each fitted lattice is continued over the whole image. How much of it the image shows
falls from its bulk value to nothing across the boundary; the core lies between the
heights where the two lattices fall to half of it, and the line is its middle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from autoloop.microscopy.lattice_fit import SeenLattice, waves_on_grid
from autoloop.microscopy.lattice_search import Placement, View
from autoloop.microscopy.reflections import Array

BIN: Final = 0.1
"""Of heights [Å]."""

SMOOTH: Final = 2.0
"""Rows of columns make profiles lumpy; this evens them out [Å]."""

BULK: Final = 6.0
"""Heights from which on a lattice counts as undisturbed [Å]."""

WIDEST_CORE: Final = 12.0
"""Half of a core is not wider than this [Å]."""

TILTS: Final = np.arange(-9.0, 9.05, 0.3)
"""Angles tried about the one that the search found [degrees]."""

PARABOLA: Final = 2.0
"""Range about the best angle in which a parabola finds the maximum [degrees].

The gain as a function of the angle has the rows of columns in it as ripples of some
tenths of a degree.
"""


STEPS: Final = 0.55
"""Columns end a grain in steps: the ends of the line are known to about this [Å].

The rms error of the angle, times the length, over 31 simulated boundaries of random
angles. The errors have a tail: four in 31 exceed two standard deviations, the worst
three of them, where rows of columns run within some degrees of the line.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The strip between the two grains, as heights above the view's centre [Å].

    Attributes
    ----------
    top, bottom : float
        Where the upper and the lower lattice have fallen to half. The top may lie
        below the bottom, where the two seem to overlap.
    """

    top: float
    bottom: float

    @property
    def middle(self) -> float:
        """Height of the boundary line [Å]."""
        return (self.top + self.bottom) / 2


def core_of(
    view: View, placement: Placement, seen: tuple[SeenLattice, SeenLattice]
) -> Core:
    """Find the core along a line of known angle and roughly known height."""
    edges = (
        _half_height(view, placement, seen[0], 1),
        _half_height(view, placement, seen[1], -1),
    )
    return Core(top=edges[0], bottom=edges[1])


def _half_height(
    view: View, placement: Placement, seen: SeenLattice, side: int
) -> float:
    """Return where the share of a lattice falls to half of that in the bulk."""
    from scipy.ndimage import gaussian_filter1d

    wave = _continued(view, seen)
    heights = side * placement.heights(view)
    bins = ((heights - heights.min()) / BIN).astype(int).ravel()
    weights = view.edge_weights
    shown, expected = (
        gaussian_filter1d(np.bincount(bins, (weights * v).ravel()), SMOOTH / BIN)
        for v in (view.values * wave, wave**2)
    )
    share = shown / (expected + 1e-3 * expected.max())
    height = heights.min() + BIN * (np.arange(len(share)) + 0.5)
    inside = expected > 0.2 * np.median(expected)
    bulk = share[inside & (height > min(BULK, height.max() / 2))]
    half = float(np.median(bulk)) / 2 if len(bulk) else 0.5
    # From the bulk inwards: farther out the share may dip for other reasons.
    near = np.flatnonzero(np.abs(height) < min(WIDEST_CORE, 0.75 * height.max()))[::-1]
    below = np.flatnonzero(share[near] < half)
    edge = float(height[near[below[0]]]) if len(below) else 0.0
    return placement.offset + side * edge


def _continued(view: View, seen: SeenLattice) -> Array:
    return waves_on_grid(
        seen.fit.amplitudes, seen.frequencies, seen.patch.centre, view.shape
    )


def line_angle(
    view: View, placement: Placement, seen: tuple[SeenLattice, SeenLattice]
) -> float:
    """Return the angle of the line that parts the lattices best [degrees].

    Above a height the image is explained by the upper lattice, below another by the
    lower one, between them by neither: what is least squares away from it decides.
    """
    from scipy.ndimage import gaussian_filter1d

    gains = []
    for grain in seen:
        wave = _continued(view, grain)
        gains.append((view.edge_weights * wave * (2 * view.values - wave)).ravel())

    def gain(angle: float) -> float:
        heights = replace(placement, angle_deg=angle).heights(view)
        bins = ((heights - heights.min()) / BIN).astype(int).ravel()
        upper, lower = (
            gaussian_filter1d(np.bincount(bins, g), SMOOTH / BIN) for g in gains
        )
        return float(np.cumsum(upper[::-1]).max() + np.cumsum(lower).max())

    angles = placement.angle_deg + TILTS
    values = np.array([gain(a) for a in angles])
    best = int(values.argmax())
    near = np.abs(TILTS - TILTS[best]) <= PARABOLA
    a, b, _ = np.polyfit(TILTS[near], values[near], 2)
    if a >= 0:
        return float(angles[best])
    top = float(np.clip(-b / (2 * a), TILTS[near].min(), TILTS[near].max()))
    return placement.angle_deg + top


def angle_sigma(view: View, placement: Placement) -> float:
    """Return the standard deviation of the angle of a line [degrees]."""
    along = placement.frame(view).to_boundary(view.grid)[..., 0]
    near = np.abs(placement.heights(view)) < view.pixel_size
    length = float(np.ptp(along[near])) if near.any() else float(np.ptp(along))
    return float(np.degrees(STEPS / length))
