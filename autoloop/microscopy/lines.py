"""The line between two grains, from the columns alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.microscopy.features import Neighbourhoods, centred, scores_along

Array = NDArray[np.float64]

LEAST_SIDE: Final = 0.1
"""A line leaves at least this share of the columns on each side."""
COMPONENTS: Final = 12
"""Principal components of the neighbourhoods in which the line is sought."""
MOST_MODELS: Final = 400
"""More columns than this do not change the principal components."""
STRIP: Final = 5.0
"""Depth of both grains beyond the core that takes part in fitting the line [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A boundary line.

    Attributes
    ----------
    angle : float
        Counterclockwise, as seen, from the image's right, in (-pi/2, pi/2].
    offset : float
        Of the line along `normal` [Å].
    """

    angle: float
    offset: float

    @property
    def normal(self) -> Array:
        """Unit vector (x right, y down) from the line to the upper grain."""
        return np.array([-np.sin(self.angle), -np.cos(self.angle)])

    def heights(self, positions: Array) -> Array:
        """Return distances (n,) from the line, positive above it [Å]."""
        return np.asarray(positions @ self.normal - self.offset)


def dividing_line(positions: Array, values: Array, angles: Array) -> Line:
    """Return the line that leaves the least sum of squares of values on its sides.

    Parameters
    ----------
    positions : (n, 2) float array
        x to the right, y down [Å].
    values : (n, k) float array
        With mean 0.
    angles : (m,) float array
        Angles to try, in (-pi/2, pi/2].
    """
    n = len(positions)
    counts = np.arange(1, n)[:, None]
    least = max(1, round(LEAST_SIDE * n))
    best, line = -np.inf, Line(angle=0.0, offset=0.0)
    for angle in angles:
        heights = Line(angle=float(angle), offset=0.0).heights(positions)
        order = np.argsort(heights)
        sums = np.cumsum(values[order], axis=0)
        below, above = sums[:-1], sums[-1] - sums[:-1]
        gain = np.sum(below**2 / counts + above**2 / (n - counts), axis=1)
        cut = least - 1 + int(np.argmax(gain[least - 1 : n - least]))
        if gain[cut] > best:
            best = float(gain[cut])
            middle = float(heights[order[cut : cut + 2]].mean())
            line = Line(angle=float(angle), offset=middle)
    return line


def first_line(nb: Neighbourhoods) -> Line:
    """Return the line on whose sides the neighbourhoods are most alike."""
    feature, seen = centred(nb.density, nb.seen)
    models = np.arange(0, len(nb), 1 + len(nb) // MOST_MODELS)
    scores = scores_along(feature, seen, models, COMPONENTS)
    angles = np.deg2rad(np.arange(-87.0, 90.1, 3.0))
    return dividing_line(nb.positions, scores - scores.mean(axis=0), angles)


def fitted_line(positions: Array, side: Array, line: Line) -> Line:
    """Return the line where `side` passes 0.

    Linear regression in a strip that follows the line and holds the core.

    Parameters
    ----------
    positions : (n, 2) float array
        x to the right, y down [Å].
    side : (n,) float array
        1 in the upper grain, -1 in the lower one, about 0 in the core.
    line : Line
        Where to start. The result may pass the ends of the range of angles by some
        degrees, since half a turn would exchange the grains.
    """
    core = np.abs(side) < 0.5
    for _ in range(6):
        heights = np.abs(line.heights(positions))
        reach = float(np.quantile(heights[core], 0.9)) if core.any() else 0.0
        strip = heights < reach + STRIP
        terms = np.column_stack((positions[strip], np.ones(int(strip.sum()))))
        (a, b, c), *_ = np.linalg.lstsq(terms, side[strip], rcond=None)
        steepness = float(np.hypot(a, b))
        turn = float(np.arctan2(-a, -b)) - line.angle
        turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
        if steepness < 1e-6 or abs(turn) > np.pi / 6.0:
            return line
        line = Line(angle=line.angle + turn, offset=-float(c) / steepness)
    return line
