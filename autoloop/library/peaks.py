"""The peaks of an image's transform: their heights, places, and what is beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.library.spectra import (
    HIGHEST,
    LOWEST,
    N_PIXELS,
    PADDED,
    STEP,
    Complex,
    window,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Complex128 = NDArray[np.complex128]

APART: Final = 2.0
"""Distance of the points of a parabola from its middle, in `STEP`: half the width of a
peak."""
NEAR: Final = 4
"""Points around a peak that are its own: as many as a peak is wide at half height."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peaks:
    """The transform of a patch, ready to be compared with views.

    Attributes
    ----------
    values : (p, p) complex array
        Frequency 0 in the middle, phases about the middle of the patch.
    clear : (p, p) float array
        Power over that of one peak with a summit of 1, less what is usual at that
        frequency; 0 outside the frequencies that are looked at.
    total : float
        Its sum, one of each pair.
    decay : float
        A peak falls off as exp(-decay d²), d points from its summit.
    """

    values: Complex
    clear: NDArray[np.float32]
    total: float
    decay: float

    def beside(self, at: Array) -> float:
        """Return the power of all peaks but those at places (n, 2), one of each pair.

        The places are one of each pair too. A place has all the power around it: scans
        that drift widen peaks, and a wide one is no other one.
        """
        rows, columns = (np.rint(v).astype(int) for v in points(at))
        steps = np.arange(-NEAR, NEAR + 1)
        i = (rows[:, None] + steps)[:, :, None]
        j = (columns[:, None] + steps)[:, None, :]
        own = np.zeros(self.clear.shape, bool)
        own[np.clip(i, 0, PADDED - 1), np.clip(j, 0, PADDED - 1)] = True
        return max(0.0, self.total - float(np.sum(self.clear, where=own)))


def peaks_of(values: Complex, n_pixels: int = N_PIXELS) -> Peaks:
    """Prepare the transform of a patch (n, n)."""
    power = np.abs(values) ** 2
    ring = _rings()
    inside = np.flatnonzero(ring >= 0)
    order = inside[np.argsort(ring.ravel()[inside], kind="stable")]
    ends = np.cumsum(np.bincount(ring.ravel()[inside]))
    clear = np.zeros(power.size, np.float32)
    area, decay = _peak(n_pixels)
    for start, stop in zip(np.concatenate(([0], ends[:-1])), ends, strict=True):
        # the median of an exponential distribution is log 2 of its mean
        here = power.ravel()[order[start:stop]]
        clear[order[start:stop]] = (here - np.median(here) / np.log(2.0)) / area
    return Peaks(
        values=values,
        clear=clear.reshape(power.shape),
        total=float(clear.sum()) / 2,
        decay=decay,
    )


def summits(values: Complex, at: Array) -> tuple[Array, Array]:
    """Return the power (n,) at places (n, 2), and where the peaks are from there.

    In units of `STEP`, by parabolas through the logarithms: exact for Gaussians.
    """
    steps = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    places = at + APART * STEP * steps[:, None]
    power = np.abs(sampled(values, places.reshape(-1, 2))).reshape(5, -1) ** 2
    logs = np.log(power + 1e-12 * power.max(initial=1e-30))
    offsets = []
    for after, before in ((logs[1], logs[2]), (logs[3], logs[4])):
        slope, bend = after - before, 2.0 * logs[0] - after - before
        offsets.append(0.5 * APART * slope / np.maximum(bend, 0.1))
    return power[0], np.column_stack(offsets)


def sampled(values: Complex, at: Array, decay: float = 0.0) -> Complex128:
    """Return a transform at places (n, 2) [1/Å, y up], interpolated linearly.

    With the decay of a peak, what linear interpolation takes off its summit, up to 20 %
    of its power, is given back.
    """
    rows, columns = points(at)
    i, j = rows.astype(int), columns.astype(int)
    v, u = rows - i, columns - j
    upper = values[i, j] * (1 - u) + values[i, j + 1] * u
    lower = values[i + 1, j] * (1 - u) + values[i + 1, j + 1] * u
    kept = [
        (1 - t) * np.exp(-decay * t**2) + t * np.exp(-decay * (1 - t) ** 2)
        for t in (u, v)
    ]
    found = upper * (1 - v) + lower * v
    return np.asarray(found / (kept[0] * kept[1]), np.complex128)


def points(at: Array) -> tuple[Array, Array]:
    """Return rows and columns of places (n, 2) [1/Å, y up] in a transform."""
    middle, last = PADDED // 2, PADDED - 1.001
    rows = np.clip(middle - at[:, 1] / STEP, 0, last)
    return rows, np.clip(middle + at[:, 0] / STEP, 0, last)


@cache
def _peak(n: int) -> tuple[float, float]:
    """Return the power of one peak over that at its summit [points], and its decay."""
    w = window(n)
    area = PADDED**2 * np.sum(w**2) / np.sum(w) ** 2
    x = np.tile(np.arange(n) - n // 2, n)
    spread = np.sum(w * x**2) / np.sum(w)
    return float(area), float(2.0 * np.pi**2 * spread / PADDED**2)


@cache
def _rings() -> Indices:
    """Return for each point of a transform its ring of equal width, -1 outside."""
    f = (np.arange(PADDED) - PADDED // 2) * STEP
    k = np.hypot(f[:, None], f[None])
    ring = np.floor((k - LOWEST) / (2 * STEP)).astype(int)
    return np.where((k < LOWEST) | (k > HIGHEST), -1, ring)
