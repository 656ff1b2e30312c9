"""Two images of one thing: the shift that lays one over the other, and how sure it is.

For images with nothing else in common than their pixel size. Candidates of a search are
registered by their lattice instead (`autoloop.scoring.registration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.scoring.registration import FourierShift, subpixel_shift

Array = NDArray[np.float64]

COLUMN_SIGMA: Final = 0.4
"""Gaussian that both images are blurred by before they are compared [Å]: about a
column; it takes the noise that no column could have made."""
BACKGROUND: Final = 5.0
"""Gaussian below which intensities count as background [Å]: a few columns."""
LEAST_OVERLAP: Final = 0.5
"""Share of the smaller image that both must show."""
APART: Final = 0.8
"""Maxima of the correlation closer than this are one [Å]."""
SAME: Final = 0.85
"""Self-correlation at a shift from which on an image repeats with it: two shifts of one
boundary that differ by its period are one alignment. By a vector of one grain alone it
reaches about a half."""
EQUAL: Final = 0.01
"""Correlations of repeats this close are equal but for noise and overlap. Half a period
of a glide, at which only the species differ, costs 0.03 in the CdTe image at hand."""
LEAST_CONFIDENCE: Final = 0.1
"""Below it images are not registered: another shift explains as much."""
LEAST_CORRELATION: Final = 0.3
"""Correlation of both blurred images below which they are not registered. Images of
different crystals reach 0.18, of one boundary in the worst noise at hand 0.9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How one image lies on another.

    Attributes
    ----------
    shift_px : (float, float)
        x and y: what the second image shows at p, the first shows at p + shift
        [pixels].
    correlation : float
        Of both images, blurred by a column, over what both show; -1 to 1.
    confidence : float
        0 to 1: how much of what the best other alignment leaves unexplained this one
        explains. 0 also where the correlation is below `LEAST_CORRELATION`.
    """

    shift_px: tuple[float, float]
    correlation: float
    confidence: float

    @property
    def trusted(self) -> bool:
        """Whether the shift means anything."""
        return self.confidence >= LEAST_CONFIDENCE


def align(a: Array, b: Array, pixel_size: float) -> Alignment:
    """Find the shift that carries the second image onto the first.

    Parameters
    ----------
    a, b : (n_y, n_x), (m_y, m_x) float array
        Images on pixels of one size.
    pixel_size : float
        [Å].

    Notes
    -----
    The merit of a whole shift is the likelihood that its correlation r gains over what
    both images show, -n log(1 - r²): a corner in which one grain lies on itself must
    not outweigh a boundary that lies on itself. Gauss-Newton follows below a pixel.
    confidence = 1 - (1 - r1)/(1 - r2), with r1 the correlation of the best alignment
    and r2 that of the best other one, lowered by the square root of its overlap where
    that is smaller. One at which the second image, by its own correlation, looks the
    same is no other: of repeats that correlate alike the smallest shift is taken.
    """
    first, second = (_as_columns(image, pixel_size) for image in (a, b))
    nothing = Alignment(shift_px=(0.0, 0.0), correlation=0.0, confidence=0.0)
    if not (_has_contrast(a, first) and _has_contrast(b, second)):
        return nothing
    surface, share, corner = _correlations(first, second)
    own, _, middle = _correlations(second, second)
    apart = max(1, round(APART / pixel_size))
    gain = np.log(np.maximum(1 - np.maximum(surface, 0.0) ** 2, 1e-9))
    peaks = _maxima(-share * gain, apart)
    if not len(peaks):
        return nothing
    alike = _alike(own, middle, peaks - peaks[0], apart // 2)
    correlations = _summits(surface, peaks)
    shares = share[peaks[:, 0], peaks[:, 1]]
    equal = np.flatnonzero(alike & (correlations >= correlations[0] - EQUAL))
    chosen = equal[np.argmin(np.linalg.norm(peaks[equal] - corner, axis=1))]
    correlation = float(correlations[chosen])
    fair = np.sqrt(np.minimum(1.0, shares / shares[chosen]))
    second_best = float(max([0.0, *(correlations * fair)[~alike]]))
    confidence = 1 - (1 - correlation) / (1 - second_best) if second_best < 1 else 0.0
    if correlation < LEAST_CORRELATION:
        confidence = 0.0
    whole = peaks[chosen] - corner
    x, y = _refined(first, second, (int(whole[1]), int(whole[0])))
    return Alignment(
        shift_px=(x, y),
        correlation=correlation,
        confidence=float(np.clip(confidence, 0.0, 1.0)),
    )


def overlap(
    a: Array, b: Array, shift_px: tuple[float, float]
) -> tuple[Array, Array, tuple[int, int]]:
    """Return what both images show, the second one shifted.

    Returns
    -------
    a, b : (n_y, n_x) float array
        On the pixels of the first image.
    offset_px : (int, int)
        x and y of their first pixel in the first image.
    """
    whole = (round(shift_px[0]), round(shift_px[1]))
    of_a, of_b = _common(a.shape, b.shape, whole)
    rest = np.array(shift_px) - whole
    moved = FourierShift(b)(rest)[of_b] if np.any(rest) else b[of_b]
    return a[of_a], moved, (of_a[1].start, of_a[0].start)


def _as_columns(image: Array, pixel_size: float) -> Array:
    """Return an image without background, blurred by a column."""
    from scipy.ndimage import gaussian_filter

    values = np.asarray(image, float)
    return np.asarray(
        gaussian_filter(values, COLUMN_SIGMA / pixel_size)
        - gaussian_filter(values, BACKGROUND / pixel_size)
    )


def _has_contrast(image: Array, columns: Array) -> bool:
    """Whether what is left of an image is more than rounding."""
    return bool(np.std(columns) > 1e-9 * np.max(np.abs(image)))


def _correlations(a: Array, b: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the Pearson correlation over the overlap at every whole shift of `b`.

    Returns
    -------
    surface : (n_y + m_y - 1, n_x + m_x - 1) float array
        NaN where the overlap is too small.
    share : (n_y + m_y - 1, n_x + m_x - 1) float array
        Overlap over the smaller image.
    zero : (2,) int array
        Row and column of no shift.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    full = [n + m - 1 for n, m in zip(a.shape, b.shape, strict=True)]
    shape = [next_fast_len(n, real=True) for n in full]

    def spectrum(values: Array) -> NDArray[np.complex128]:
        return np.asarray(rfft2(values, shape, workers=1))

    def total(f: NDArray[np.complex128], g: NDArray[np.complex128]) -> Array:
        whole = irfft2(f * g, s=shape, workers=1)
        return np.asarray(whole[: full[0], : full[1]])

    one_a, one_b = spectrum(np.ones(a.shape)), spectrum(np.ones(b.shape))
    # turned by half a turn, convolution is correlation
    turned = b[::-1, ::-1]
    f_a, f_b = spectrum(a), spectrum(turned)
    n = np.maximum(np.round(total(one_a, one_b)), 1.0)
    sum_a, sum_b = total(f_a, one_b), total(one_a, f_b)
    var_a = total(spectrum(a**2), one_b) - sum_a**2 / n
    var_b = total(one_a, spectrum(turned**2)) - sum_b**2 / n
    # where one shows nothing, rounding must not look like agreement
    norm = np.sqrt(
        np.maximum(var_a, 1e-9 * var_a.max()) * np.maximum(var_b, 1e-9 * var_b.max())
    )
    surface = (total(f_a, f_b) - sum_a * sum_b / n) / norm
    share = n / min(a.size, b.size)
    surface[share < LEAST_OVERLAP] = np.nan
    return surface, share, np.array(b.shape) - 1


def _maxima(surface: Array, apart: int) -> NDArray[np.int64]:
    """Return the places (k, 2) of the maxima, highest first."""
    from scipy.ndimage import maximum_filter

    known = np.where(np.isfinite(surface), surface, 0.0)
    top = (maximum_filter(known, 2 * apart + 1) == known) & (known > 0.0)
    order = np.argsort(-known[top], kind="stable")
    return np.asarray(np.argwhere(top)[order])


def _summits(surface: Array, peaks: NDArray[np.int64]) -> Array:
    """Return the heights (k,) that parabolas through maxima have between pixels."""
    padded = np.pad(surface, 1, constant_values=np.nan)
    rows, columns = peaks.T + 1
    top = padded[rows, columns]
    heights = top.copy()
    for step in ((1, 0), (0, 1)):
        after = padded[rows + step[0], columns + step[1]]
        before = padded[rows - step[0], columns - step[1]]
        bend = np.minimum(after + before - 2 * top, -1e-12)
        # at the edge of the overlap allowed there is no parabola
        heights += np.nan_to_num(np.minimum(-((after - before) ** 2) / (8 * bend), 0.1))
    return np.asarray(np.minimum(heights, 1.0))


def _alike(
    own: Array, middle: NDArray[np.int64], steps: NDArray[np.int64], reach: int
) -> NDArray[np.bool_]:
    """Whether an image looks the same after each of the steps (k, 2)."""
    known = np.where(np.isfinite(own), own, -2.0)
    found = []
    for row, column in steps + middle:
        near = known[
            max(0, row - reach) : row + reach + 1,
            max(0, column - reach) : column + reach + 1,
        ]
        found.append(near.size > 0 and near.max() >= SAME)
    return np.array(found)


def _common(
    a: tuple[int, ...], b: tuple[int, ...], shift: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the rows and columns of both images that show the same."""
    of_a, of_b = [], []
    for n, m, step in zip(a, b, (shift[1], shift[0]), strict=True):
        start, stop = max(0, step), min(n, m + step)
        of_a.append(slice(start, stop))
        of_b.append(slice(start - step, stop - step))
    return (of_a[0], of_a[1]), (of_b[0], of_b[1])


def _refined(a: Array, b: Array, whole: tuple[int, int]) -> tuple[float, float]:
    """Return the shift, below a pixel, near a whole one."""
    of_a, of_b = _common(a.shape, b.shape, whole)
    try:
        rest = subpixel_shift(a[of_a], b[of_b], np.ones(a[of_a].shape, bool))
    except ValueError:  # no contrast; the correlation says so
        return float(whole[0]), float(whole[1])
    # further than the maximum it started from, it found something else
    step = np.clip([rest.x, rest.y], -1.0, 1.0)
    return float(whole[0] + step[0]), float(whole[1] + step[1])
