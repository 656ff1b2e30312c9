"""Similarity of images: structural similarity and mean squared difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_WINDOW: Final = 7
"""Smallest window [pixels]: scikit-image's own default. Below it, the statistics of a
window are those of noise."""

FIXED_WINDOWS: Final = (7, 35)
"""Windows of the figures that are compared with other programs [pixels]."""

K1: Final = 0.01
K2: Final = 0.03
"""Shares of the range of intensities that keep both quotients of SSIM finite; those of
Wang et al., IEEE Trans. Image Process. 13, 600 (2004), doi:10.1109/TIP.2003.819861."""


BLOCK: Final = 32
"""Rows taken at a time, so that what they need stays in the cache of one core."""


def window_px(column_spacing: float, pixel_size: float) -> int:
    """Return the SSIM window that holds one column: odd, at least `MIN_WINDOW`.

    Parameters
    ----------
    column_spacing : float
        Projected spacing of columns [Å].
    pixel_size : float
        [Å].

    Examples
    --------
    >>> window_px(2.3, 0.163), window_px(2.4, 0.2), window_px(1.0, 0.2)
    (15, 13, 7)
    """
    nearest = round(column_spacing / pixel_size)
    return max(MIN_WINDOW, nearest + 1 - nearest % 2)


def intensity_range(measured: Array, mask: Mask) -> float:
    """Return what SSIM takes as the range of intensities: largest minus smallest.

    Always of the measured image, over the region compared, so that it is one number
    for a run and no candidate can change it. A hot pixel in the region widens it and
    brings SSIM closer to 1.
    """
    return float(np.ptp(measured[mask]))


class Similarity:
    """Mean structural similarity of many images with one measured image.

    Parameters
    ----------
    measured : (n_y, n_x) float array
        What images are compared with.
    views : sequence of (int, (n_y, n_x) bool array)
        Window, odd [pixels], and mask of each figure wanted. Only pixels of the mask
        whose window lies inside the image count; windows reach beyond the mask.
    data_range : float
        Range of intensities.

    Notes
    -----
    scikit-image's, with its uniform window, sample covariance, K1 = 0.01 and K2 = 0.03;
    with a full mask it is the same number. Sums over windows are differences of
    running sums in double precision, which all windows share: intensities are taken
    from their mean first, so that rounding stays below 1e-9 of SSIM.

    Work space is kept between calls: fresh pages for it cost more than the arithmetic.
    An object is therefore not to be used by two threads at once.
    """

    def __init__(
        self,
        measured: Array,
        views: Sequence[tuple[int, Mask]],
        data_range: float,
    ) -> None:
        if not data_range > 0:
            raise ValueError(f"data_range must be > 0, got {data_range}")
        measured = np.asarray(measured, float)
        self._offset = float(measured.mean())
        self._centred = measured - self._offset
        n_y, n_x = measured.shape
        self._sums = np.zeros((3, n_y + 1, n_x + 1))
        self._sum_up(self._centred)
        self._views = [
            _make_view(self._sums, self._offset, window, mask, data_range)
            for window, mask in views
        ]

    def __call__(self, simulated: Array) -> list[float | None]:
        """Return SSIM (at most 1) for each view; None where no pixel counts."""
        self._sum_up(np.subtract(simulated, self._offset, dtype=float))
        return [None if view is None else view.mean(self._sums) for view in self._views]

    def _sum_up(self, centred: Array) -> None:
        """Fill `_sums` with S, S² and S M, summed over all pixels above and left."""
        inner = self._sums[:, 1:, 1:]
        inner[0] = centred
        np.multiply(centred, centred, out=inner[1])
        np.multiply(centred, self._centred, out=inner[2])
        np.cumsum(inner, axis=2, out=inner)
        # row by row: numpy's own sum along columns is not vectorised
        for row in range(1, inner.shape[1]):
            np.add(inner[:, row], inner[:, row - 1], out=inner[:, row])


class _View:
    """One window and mask, with what of SSIM depends on the measured image alone."""

    def __init__(
        self,
        sums: Array,
        offset: float,
        window: int,
        inside: Mask,
        box: tuple[slice, slice],
        data_range: float,
    ) -> None:
        rows, columns = box
        n_y, n_x = rows.stop - rows.start, columns.stop - columns.start
        self._window, self._box, self._offset = window, box, offset
        self._blocks = [slice(k, min(k + BLOCK, n_y)) for k in range(0, n_y, BLOCK)]
        self._strip = np.empty((3, BLOCK, sums.shape[2]))
        self._means = np.empty((3, BLOCK, n_x))
        self._work = np.empty((BLOCK, n_x))
        share = inside[box].astype(float)
        self._share = share / share.sum()
        # scikit-image's: the covariance of a sample, not of a population
        self._sample = window**2 / (window**2 - 1)
        self._c1, self._c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
        averages = [self._average(sums, block).copy() for block in self._blocks]
        means, squares, _ = np.concatenate(averages, axis=1)
        self._mean = means
        self._variance = self._sample * (squares - means**2) + self._c2
        self._true_mean = means + offset
        self._square = self._true_mean**2 + self._c1

    def mean(self, sums: Array) -> float:
        """Return the mean SSIM, given the running sums of S, S² and S M."""
        total = sum(self._part(sums, block) for block in self._blocks)
        # rounding may add some 1e-13 to an image with itself
        return min(1.0, float(total))

    def _part(self, sums: Array, block: slice) -> float:
        """Return what some rows add to the mean."""
        mean, square, product = self._average(sums, block)
        work = self._work[: len(mean)]
        # variances of both, plus C2
        np.multiply(mean, mean, out=work)
        square -= work
        square *= self._sample
        square += self._variance[block]
        # twice the covariance, plus C2
        np.multiply(mean, self._mean[block], out=work)
        product -= work
        product *= 2 * self._sample
        product += self._c2
        product /= square
        # the means, plus C1
        mean += self._offset
        np.multiply(mean, self._true_mean[block], out=work)
        work *= 2
        work += self._c1
        product *= work
        mean *= mean
        mean += self._square[block]
        product /= mean
        product *= self._share[block]
        return float(product.sum())

    def _average(self, sums: Array, block: slice) -> Array:
        """Return (3, rows, n_x) averages over the windows of some rows of the box."""
        rows, columns = self._box
        first, last, w = rows.start + block.start, rows.start + block.stop, self._window
        strip = self._strip[:, : last - first]
        means = self._means[:, : last - first]
        np.subtract(sums[:, first + w : last + w], sums[:, first:last], out=strip)
        np.subtract(
            strip[:, :, columns.start + w : columns.stop + w],
            strip[:, :, columns],
            out=means,
        )
        means *= 1.0 / w**2
        return means


def _make_view(
    sums: Array, offset: float, window: int, mask: Mask, data_range: float
) -> _View | None:
    """Return a view, None where no pixel of the mask has its whole window inside."""
    n_y, n_x = mask.shape
    half = window // 2
    if min(n_y, n_x) < window:
        return None
    # by the first pixel of their windows
    inside = mask[half : n_y - half, half : n_x - half]
    if not inside.any():
        return None
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )
    return _View(sums, offset, window, inside, box, data_range)


def ssim(
    a: Array, b: Array, window: int, mask: Mask, data_range: float | None = None
) -> float | None:
    """Return the mean structural similarity over the pixels of a mask.

    Parameters
    ----------
    a, b : (n_y, n_x) float array
        Images on one grid.
    window, mask
        As of `Similarity`.
    data_range : float, optional
        Range of intensities; left out, `intensity_range` of `a`, the measured image.

    Returns
    -------
    float or None
        At most 1; None where no pixel of the mask has its whole window inside.
    """
    if min(a.shape) < window or not mask.any():
        return None
    if data_range is None:
        data_range = intensity_range(a, mask)
    return Similarity(a, [(window, mask)], data_range)(b)[0]


def mse(a: Array, b: Array, mask: Mask) -> float:
    """Return the mean squared difference of (n_y, n_x) images over a mask."""
    if not mask.any():
        raise ValueError("mask is empty")
    return float(np.mean((a[mask] - b[mask]) ** 2))
