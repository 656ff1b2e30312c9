"""Registration: which of a few hypotheses fits the image, and the shift that is left.

No phase normalisation anywhere: it weighs the noise between the reflections like the
reflections themselves, and fails silently on images of crystals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SAME: Final = 0.99
"""Hypotheses whose simulations correlate more than this with each other look the same:
choosing between them means nothing."""

PAD: Final = 16
"""Pixels of mirrored border, faded to the mean, that make an image periodic before its
Fourier transform shifts it."""

BORDER: Final = 4
"""Pixels along the image's edge that tell nothing of a shift: what should have moved
into them from outside is not known."""

MAX_STEPS: Final = 8
"""Gauss-Newton steps; three bring a shift of a quarter column within 0.01 px."""

TOLERANCE: Final = 1e-3
"""A step shorter than this ends the search [pixels]."""


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


def register(measured: Array, simulated: Array, masks: Mask) -> Registration:
    """Find the simulated image that correlates best with the measured one.

    Parameters
    ----------
    measured : (n_y, n_x) float array
        Micrograph.
    simulated : (k, n_y, n_x) float array
        One image for each hypothesis.
    masks : (k, n_y, n_x) or (n_y, n_x) bool array
        Pixels over which each hypothesis, or all of them, are compared.

    Notes
    -----
    confidence = 1 - (1 - r1)/(1 - r2), clipped to [0, 1], with r1 the best correlation
    and r2 that of the best distinct rival, at least 0. A rival whose simulation
    correlates with the best one's above `SAME` is the same hypothesis, not a rival.
    """
    k = len(simulated)
    if k == 0:
        raise ValueError("there is no hypothesis to register")
    each = np.broadcast_to(masks, simulated.shape)
    r = np.array([_pearson(measured, simulated[i], each[i]) for i in range(k)])
    best = int(np.argmax(r))
    rivals = [
        r[i]
        for i in range(k)
        if i != best
        and _pearson(simulated[best], simulated[i], each[best] & each[i]) <= SAME
    ]
    second = max([0.0, *rivals])
    confidence = 1 - (1 - r[best]) / (1 - second) if second < 1 else 0.0
    return Registration(
        index=best,
        correlation=float(r[best]),
        confidence=float(np.clip(confidence, 0.0, 1.0)),
    )


def subpixel_shift(
    measured: Array, simulated: Array, mask: Mask
) -> tuple[float, float]:
    """Return the shift that carries the simulated image onto the measured one.

    Parameters
    ----------
    measured, simulated : (n_y, n_x) float array
        Images that agree to within half a column.
    mask : (n_y, n_x) bool array
        Pixels to compare; those within `BORDER` of the edge are left out.

    Returns
    -------
    (float, float)
        x and y [pixels]: what the simulation shows at p, the measurement shows at
        p + shift.

    Notes
    -----
    Gauss-Newton on the masked sum of squares of ``measured - g S(p - shift) - b``; gain
    and background are free in every step, so that neither pulls at the shift. S is
    shifted by its Fourier transform.
    """
    shifter = _FourierShift(simulated)
    inside = np.zeros_like(mask)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    mask = mask & inside
    target = measured[mask]
    shift = np.zeros(2)
    for _ in range(MAX_STEPS):
        moved = shifter(shift)
        slope_x = np.gradient(moved, axis=1)[mask]
        slope_y = np.gradient(moved, axis=0)[mask]
        design = np.stack((-slope_x, -slope_y, moved[mask], np.ones(len(target))))
        g_dx, g_dy, gain, _ = _solve(design, target)
        if gain <= 0:  # unrelated images: there is no shift to find
            break
        step = np.clip(np.array([g_dx, g_dy]) / gain, -1.0, 1.0)
        shift += step
        if np.hypot(*step) < TOLERANCE:
            break
    return float(shift[0]), float(shift[1])


def _solve(design: Array, target: Array) -> Array:
    """Return (k,) least-squares coefficients of the rows of design (k, n)."""
    scale = np.linalg.norm(design, axis=1)
    if design.shape[1] < len(design) or not np.all(scale > 0):
        raise ValueError("the mask holds no contrast to register")
    unit = design / scale[:, None]
    solution, *_ = np.linalg.lstsq(unit @ unit.T, unit @ target, rcond=None)
    return np.asarray(solution / scale)


class _FourierShift:
    """Shifts one image (n_y, n_x) by fractions of a pixel."""

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


def _pearson(a: Array, b: Array, mask: Mask) -> float:
    """Return the correlation of two images over a mask; 0 where one is constant."""
    x, y = a[mask], b[mask]
    if not len(x):
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 0 else 0.0
