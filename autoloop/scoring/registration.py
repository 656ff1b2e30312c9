"""Registration: which of a few hypotheses fits the image, and the shift that is left.

The covariance of the micrograph with a sum of columns is a sum over columns: of the
micrograph blurred by the probe, where each column lies. It ranks hypotheses at the cost
of a few look-ups each; only the best of them are simulated.

No phase normalisation anywhere: it weighs the noise between the reflections like the
reflections themselves, and fails silently on images of crystals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SAME: Final = 0.99
"""Hypotheses whose simulations correlate more than this with each other look the same:
choosing between them means nothing."""

SLACK: Final = 0.015
"""How far a correlation as predicted may be off. Predictions take the variance of all
simulations as one: on the images at hand, of 900 candidates, 0.013 at most."""

PAD: Final = 16
"""Pixels of mirrored border, faded to the mean, that make an image periodic before its
Fourier transform shifts it."""

BORDER: Final = 4
"""Pixels along the image's edge that tell nothing of a shift: what should have moved
into them from outside is not known."""

MAX_STEPS: Final = 8
"""Gauss-Newton steps; three bring a shift of a quarter column within 0.01 px."""

TOLERANCE: Final = 0.05
"""A step shorter than this ends the search [pixels]. What a step leaves is of third
order in its length over the width of a column: here below 1e-3 px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The hypothesis that fits best.

    Attributes
    ----------
    index : int
        Which.
    correlation : float
        Its Pearson correlation with the measured image, -1 to 1.
    confidence : float
        0 to 1: how much of what the best rival leaves unexplained it explains.
    """

    index: int
    correlation: float
    confidence: float


class CovarianceMap:
    """The covariance of a micrograph with one column, for every place of the column.

    Parameters
    ----------
    values : (n_y, n_x) float array
        Covariance with a column at each pixel.
    origin_px : (float, float)
        x and y of its first pixel [pixels of the whole image].
    """

    def __init__(self, values: Array, origin_px: tuple[float, float]) -> None:
        self._flat = np.ascontiguousarray(values).ravel()
        self._shape = values.shape
        self._origin = np.asarray(origin_px)

    def sums(self, positions: Array, weights: Array) -> Array:
        """Return the covariance (k,) with k arrangements of the same columns.

        Parameters
        ----------
        positions : (k, tiles, n, 2) float array
            [pixels of the whole image]; what lies outside the map counts nothing.
        weights : (n,) float array
            Scattering power of each column.
        """
        n_y, n_x = self._shape
        x = positions[..., 0] - self._origin[0]
        y = positions[..., 1] - self._origin[1]
        near = (x >= 0) & (y >= 0) & (x < n_x - 1) & (y < n_y - 1)
        which, _, column = np.nonzero(near)
        x, y = x[near], y[near]
        left, top = x.astype(np.int64), y.astype(np.int64)
        x, y = x - left, y - top
        at, flat = top * n_x + left, self._flat
        upper = flat[at] + x * (flat[at + 1] - flat[at])
        lower = flat[at + n_x] + x * (flat[at + n_x + 1] - flat[at + n_x])
        found = (upper + y * (lower - upper)) * weights[column]
        return np.asarray(np.bincount(which, found, len(positions)))


class Correlator:
    """Pearson correlation of images with one measured image over a mask."""

    def __init__(self, measured: Array, mask: Mask) -> None:
        self._mask = mask
        inside = measured[mask]
        self._measured = inside - inside.mean() if len(inside) else inside
        norm = float(np.sqrt(self._measured @ self._measured))
        self._measured = self._measured / norm if norm > 0 else self._measured

    def centred(self, image: Array) -> Array:
        """Return an image's pixels under the mask, of mean 0 and norm 1, or all 0."""
        inside = image[self._mask]
        inside = inside - inside.mean() if len(inside) else inside
        norm = float(np.sqrt(inside @ inside))
        return inside / norm if norm > 0 else np.zeros_like(inside)

    def with_measured(self, centred: Array) -> float:
        """Return the correlation of what `centred` returned."""
        return float(self._measured @ centred)


def register(
    correlator: Correlator, covariances: Array, simulate: Callable[[int], Array]
) -> tuple[Registration, Array]:
    """Find the hypothesis whose image correlates best with the measured one.

    Parameters
    ----------
    correlator : Correlator
        Holds the measured image.
    covariances : (k,) float array
        With the measured image, of each hypothesis; only ratios matter.
    simulate : callable
        From a hypothesis to its (n_y, n_x) image.

    Returns
    -------
    registration : Registration
        What was found.
    simulated : (n_y, n_x) float array
        The image of the hypothesis.

    Notes
    -----
    confidence = 1 - (1 - r1)/(1 - r2), clipped to [0, 1], with r1 the best correlation
    and r2 that of the best distinct rival, at least 0. A rival whose simulation
    correlates with the best one's above `SAME` is the same hypothesis, not a rival.

    Simulated are, in the order of their covariance, all that may be the best within
    `SLACK`, and more until a distinct rival is among them.
    """
    if len(covariances) == 0:
        raise ValueError("there is no hypothesis to register")
    order = np.argsort(-covariances, kind="stable")
    seen: list[tuple[int, float, Array]] = []
    best, image = 0, np.empty(0)
    for i in order.tolist():
        if seen and _is_decided(seen, best, covariances, i):
            break
        simulated = simulate(i)
        centred = correlator.centred(simulated)
        seen.append((i, correlator.with_measured(centred), centred))
        if len(seen) == 1 or seen[-1][1] > seen[best][1]:
            best, image = len(seen) - 1, simulated
    index, correlation, _ = seen[best]
    second = max([0.0, *_rivals(seen, best)])
    confidence = 1 - (1 - correlation) / (1 - second) if second < 1 else 0.0
    found = Registration(
        index=index,
        correlation=correlation,
        confidence=float(np.clip(confidence, 0.0, 1.0)),
    )
    return found, image


def _is_decided(
    seen: list[tuple[int, float, Array]], best: int, covariances: Array, i: int
) -> bool:
    """Whether hypothesis `i` can be neither the best nor the first rival."""
    if next(_rivals(seen, best), None) is None:
        return False
    first, correlation, _ = seen[0]
    if covariances[first] <= 0:
        return False  # nothing is predicted
    predicted = correlation * covariances[i] / covariances[first]
    return bool(predicted < seen[best][1] - SLACK)


def _rivals(seen: list[tuple[int, float, Array]], best: int) -> Iterator[float]:
    """Yield the correlations of hypotheses that do not look like the best."""
    for k, (_, correlation, centred) in enumerate(seen):
        if k != best and float(centred @ seen[best][2]) <= SAME:
            yield correlation


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far a simulation lies from what it should show.

    Attributes
    ----------
    x, y : float
        What the simulation shows at p, the measurement shows at p + shift [pixels].
    correlation : float
        Of the shifted simulation with the measurement, over the mask.
    """

    x: float
    y: float
    correlation: float


def subpixel_shift(
    measured: Array, simulated: Array, mask: Mask, tolerance: float = TOLERANCE
) -> Shift:
    """Return the shift that carries the simulated image onto the measured one.

    Parameters
    ----------
    measured, simulated : (n_y, n_x) float array
        Images that agree to within half a column.
    mask : (n_y, n_x) bool array
        Pixels to compare; those within `BORDER` of the edge are left out.
    tolerance : float
        A step shorter than this ends the search [pixels]; see `TOLERANCE`.

    Raises
    ------
    ValueError
        If the mask holds no contrast.

    Notes
    -----
    Gauss-Newton on the masked sum of squares of ``measured - g S(p - shift) - b``; gain
    and background are free in every step, so that neither pulls at the shift. S is
    shifted by its Fourier transform. Unrelated images end with whatever correlation
    they have: it says whether there was a shift to find.
    """
    inside = np.zeros_like(mask)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    inside &= mask
    if not inside.any():
        raise ValueError("the mask holds no contrast to register")
    box = bounding_box(inside, 2 * BORDER)
    mask, simulated = inside[box], simulated[box]
    target = measured[box][mask]
    shift: Array = np.zeros(2)
    moved, shifter = simulated, None
    for step_count in range(MAX_STEPS):
        if step_count:
            shifter = shifter or FourierShift(simulated)
            moved = shifter(shift)
        slopes = [np.gradient(moved, axis=axis)[mask] for axis in (1, 0)]
        design = np.stack((-slopes[0], -slopes[1], moved[mask], np.ones(len(target))))
        g_dx, g_dy, gain, _ = _solve(design, target)
        if gain <= 0:  # unrelated images: there is no shift to find
            break
        step: Array = np.clip(np.array([g_dx, g_dy]) / gain, -1.0, 1.0)
        shift += step
        if np.hypot(*step) < tolerance:
            break
    correlator = Correlator(target, np.ones(len(target), bool))
    # as before the last step: with the usual tolerance it changes less than 1e-3
    correlation = correlator.with_measured(correlator.centred(moved[mask].ravel()))
    return Shift(x=float(shift[0]), y=float(shift[1]), correlation=correlation)


def bounding_box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns that hold a mask, and a margin within the array."""
    found = []
    for axis in (0, 1):
        hit = np.flatnonzero(mask.any(axis=1 - axis))
        start = max(0, int(hit[0]) - margin) if len(hit) else 0
        stop = min(mask.shape[axis], int(hit[-1]) + 1 + margin) if len(hit) else 1
        found.append(slice(start, stop))
    return found[0], found[1]


def _solve(design: Array, target: Array) -> Array:
    """Return (k,) least-squares coefficients of the rows of design (k, n)."""
    scale = np.linalg.norm(design, axis=1)
    if design.shape[1] < len(design) or not np.all(scale > 0):
        raise ValueError("the mask holds no contrast to register")
    unit = design / scale[:, None]
    solution, *_ = np.linalg.lstsq(unit @ unit.T, unit @ target, rcond=None)
    return np.asarray(solution / scale)


class FourierShift:
    """Shifts one image (n_y, n_x) by fractions of a pixel.

    Parameters
    ----------
    image : (n_y, n_x) float array
        As seen; beyond its edges it is taken to be mirrored.
    """

    def __init__(self, image: Array) -> None:
        from scipy.fft import next_fast_len, rfft2

        self._shape = image.shape
        mean = float(image.mean())
        before = min(PAD, *image.shape)
        padded = [next_fast_len(n + 2 * before, real=True) for n in image.shape]
        widths = [
            (before, p - n - before) for n, p in zip(image.shape, padded, strict=True)
        ]
        fade_y, fade_x = (
            _fade(n, *w) for n, w in zip(image.shape, widths, strict=True)
        )
        mirrored = np.pad(image - mean, widths, mode="symmetric")
        self._spectrum = rfft2(mirrored * fade_y[:, None] * fade_x, workers=1)
        self._mean, self._before, self._padded = mean, before, tuple(padded)

    def __call__(self, shift: Array) -> Array:
        """Return the image moved by (x, y) [pixels]."""
        from scipy.fft import irfft2

        f_y = np.fft.fftfreq(self._padded[0])[:, None]
        f_x = np.fft.rfftfreq(self._padded[1])
        phase_y = np.exp(-2j * np.pi * f_y * shift[1])
        phase_x = np.exp(-2j * np.pi * f_x * shift[0])
        full = irfft2(self._spectrum * phase_y * phase_x, s=self._padded, workers=1)
        rows = slice(self._before, self._before + self._shape[0])
        columns = slice(self._before, self._before + self._shape[1])
        return np.asarray(full[rows, columns] + self._mean)


def _fade(n: int, before: int, after: int) -> Array:
    """Return a window (before + n + after,): 1 over n, falling to 0 at both ends."""
    left = np.sin(np.pi / 2 * (np.arange(before) + 0.5) / before) ** 2
    right = np.cos(np.pi / 2 * (np.arange(after) + 0.5) / after) ** 2
    return np.concatenate((left, np.ones(n), right))
