"""Similarity of images: structural similarity and mean squared difference."""

from __future__ import annotations

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


def ssim(
    a: Array, b: Array, window: int, mask: Mask, data_range: float | None = None
) -> float | None:
    """Return the mean structural similarity over the pixels of a mask.

    Parameters
    ----------
    a, b : (n_y, n_x) float array
        Images on one grid.
    window : int
        Edge of the square window, odd [pixels].
    mask : (n_y, n_x) bool array
        Pixels to average over; only those whose window lies inside the images count.
        Windows reach beyond the mask.
    data_range : float, optional
        Range of intensities; left out, `intensity_range` of `a`, the measured image.

    Returns
    -------
    float or None
        At most 1; None where no pixel of the mask has its whole window inside.

    Notes
    -----
    scikit-image's, with its uniform window and K1 = 0.01, K2 = 0.03; with a full mask
    it is the same number. Only the mask's surroundings are computed.
    """
    if min(a.shape) < window:
        return None
    inside = np.zeros_like(mask)
    half = window // 2
    core = np.s_[half : a.shape[0] - half, half : a.shape[1] - half]
    inside[core] = mask[core]
    if not inside.any():
        return None
    if data_range is None:
        data_range = intensity_range(a, mask)
    if not data_range > 0:
        raise ValueError(f"data_range must be > 0, got {data_range}")
    from skimage.metrics import structural_similarity

    near = _bounding_box(inside, half)
    _, full = structural_similarity(
        a[near], b[near], win_size=window, data_range=data_range, full=True
    )
    return float(np.mean(full[inside[near]]))


def mse(a: Array, b: Array, mask: Mask) -> float:
    """Return the mean squared difference of (n_y, n_x) images over a mask."""
    if not mask.any():
        raise ValueError("mask is empty")
    return float(np.mean((a[mask] - b[mask]) ** 2))


def _bounding_box(mask: Mask, half: int) -> tuple[slice, slice]:
    """Return the box around a mask and the windows of its pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return (
        slice(int(rows[0]) - half, int(rows[-1]) + half + 1),
        slice(int(columns[0]) - half, int(columns[-1]) + half + 1),
    )
