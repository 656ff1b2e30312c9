"""Reflections that an image shows and a crystal does not have: a sign of another one.

A crystal whose lattice is a coarser part of the true one fits all its own reflections
well; only what it leaves unexplained gives it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from autoloop.microscopy.lattice_fit import SeenLattice
from autoloop.microscopy.lattice_search import View

LARGEST_SPACING: Final = 8.0
"""Beyond this an image varies for many reasons [Å]."""

SMALLEST_SPACING: Final = 1.8
"""Below this the strong reflections of few crystals begin [Å]."""

BETWEEN: Final = 0.3
"""Closer to a fitted reflection than this, in units of the shortest reciprocal vector,
what is left belongs to it: drift smears reflections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """The strongest reflection that a fit leaves.

    Attributes
    ----------
    strength : float
        Amplitude relative to the strongest fitted one.
    spacing : float
        [Å].
    """

    strength: float
    spacing: float


def strongest_stray(view: View, seen: SeenLattice, pixel_size: float) -> Stray:
    """Return the strongest reflection that a fitted lattice leaves unexplained.

    Parameters
    ----------
    view : View
        Where it was fitted.
    seen : SeenLattice
        The fit.
    pixel_size : float
        Edge of a working pixel [Å].
    """
    from scipy.fft import rfft2

    x, y = np.round(seen.patch.positions + seen.patch.centre).astype(int).T
    left = np.zeros(view.shape)
    left[y, x] = seen.fit.residual * seen.patch.weights
    amplitude = np.abs(rfft2(left)) / seen.patch.weights.sum()
    f_y, f_x = np.meshgrid(
        np.fft.fftfreq(view.shape[0]), np.fft.rfftfreq(view.shape[1]), indexing="ij"
    )
    f = np.stack((f_x, f_y), axis=-1)
    length = np.linalg.norm(f, axis=-1) / pixel_size
    wanted = (length > 1 / LARGEST_SPACING) & (length < 1 / SMALLEST_SPACING)
    reciprocal = np.linalg.inv(seen.reflections.cell).T
    fractional = f @ seen.matrix @ np.linalg.inv(reciprocal)
    off = (fractional - np.round(fractional)) @ reciprocal
    shortest = np.linalg.norm(reciprocal, axis=1).min()
    wanted &= np.linalg.norm(off, axis=-1) > BETWEEN * shortest
    if not wanted.any():
        return Stray(strength=0.0, spacing=0.0)
    amplitude[~wanted] = 0.0
    k = np.unravel_index(amplitude.argmax(), amplitude.shape)
    return Stray(
        strength=float(amplitude[k] / np.abs(seen.fit.amplitudes).max()),
        spacing=float(1 / length[k]),
    )
