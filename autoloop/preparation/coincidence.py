"""Orientations as read, put on the nearest exact ones where the image allows it.

An angle that was measured is never exactly that of a coincidence; left as it is, a
boundary with a short period would be searched as one that has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from autoloop.domain import Grain, GrainBoundary
from autoloop.errors import ConfigError
from autoloop.geometry import orientation
from autoloop.structure.lattices import common_period

MISORIENTATION: Final = 0.3
"""What the misorientation may be changed by: the uncertainty of an angle read from an
image [degrees]."""
INCLINATION: Final = 1.0
"""What the plane of the boundary may be turned by against both lattices [degrees]: its
line is seen less sharply, and steps turn it on average."""
LONGEST: Final = 30.0
"""Longest coincidence period looked for [Å]. Within the two angles above some period
below 100 Å fits nearly everything."""
HIGHEST: Final = 9
"""Highest index of a plane."""


def exact_boundary(read: GrainBoundary) -> tuple[GrainBoundary, float]:
    """Return the coincidence boundary that the image cannot tell from the one read.

    Parameters
    ----------
    read : GrainBoundary
        Orientations as measured.

    Returns
    -------
    boundary : GrainBoundary
        With low-index planes and no turn, or as read where there is no coincidence.
    turn_deg : float
        What the frame is turned by for it, counterclockwise [degrees].
    """
    best: tuple[float, GrainBoundary, float] | None = None
    if read.upper.crystal.name == read.lower.crystal.name:
        for upper, a in _planes_near(read.upper):
            for lower, b in _planes_near(read.lower):
                if abs(a - b) > MISORIENTATION:
                    continue
                width = _coincidence(upper, lower)
                if width is not None and (best is None or width < best[0] - 1e-6):
                    boundary = GrainBoundary(upper=upper, lower=lower)
                    best = (width, boundary, (a + b) / 2)
    return (read, 0.0) if best is None else best[1:]


def _planes_near(grain: Grain) -> list[tuple[Grain, float]]:
    """Return the grain on each low-index plane near that of the boundary.

    With each, the turn that was left over [degrees].
    """
    axis = np.arange(-HIGHEST, HIGHEST + 1)
    every = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    every = every[np.gcd.reduce(every, axis=1) == 1]
    ups = every @ grain.crystal.cell @ orientation(grain).T
    ups /= np.linalg.norm(ups, axis=1)[:, None]
    # Of the crystal's own frame, so exactly across the zone axis or not at all.
    near = (np.abs(ups[:, 2]) < 1e-6) & (ups[:, 1] > np.cos(np.deg2rad(INCLINATION)))
    found = []
    for up, (x, y, _) in zip(every[near].tolist(), ups[near], strict=True):
        turn = float(np.degrees(np.arctan2(-x, y)))
        found.append((replace(grain, up=tuple(up), rotation_deg=0.0), turn))
    return found


def _coincidence(upper: Grain, lower: Grain) -> float | None:
    """Return the coincidence period along the boundary [Å]; None beyond `LONGEST`."""
    try:
        period = common_period(upper, lower, max_strain=1e-6, max_period=LONGEST)
    except ConfigError:
        return None
    return period.width
