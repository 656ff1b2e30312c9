"""The scores of two images with each other: aligned, matched in intensity, compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Image
from autoloop.errors import DataError
from autoloop.scoring.alignment import LEAST_CONFIDENCE, Alignment, align, overlap
from autoloop.scoring.emd import CAP, capped_emd
from autoloop.scoring.registration import BORDER
from autoloop.scoring.similarity import (
    FIXED_WINDOWS,
    Similarity,
    intensity_range,
    mse,
    window_px,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """How alike two images are; None where the overlap is too small for a figure.

    Attributes
    ----------
    ssim, ssim_7, ssim_35 : float
        Structural similarity with the window `window`, and with 7 and 35 pixels, over
        what both images show.
    emd_angstrom_per_column : float
        Between the columns of both images [Å per column].
    mse : float
        Mean squared difference in the intensities of the first image.
    shift_px : (float, float)
        x and y: what the second image shows at p, the first shows at p + shift [pixels
        of the first image].
    confidence : float
        Of that shift, 0 to 1.
    gain, offset : float
        The second image was multiplied and lifted by these to match the first.
    window : int
        [pixels].
    pixel_size : float
        Of the first image [Å].
    """

    ssim: float | None
    ssim_7: float | None
    ssim_35: float | None
    emd_angstrom_per_column: float
    mse: float
    shift_px: tuple[float, float]
    confidence: float
    gain: float
    offset: float
    window: int
    pixel_size: float


def score_pair(
    a: Image,
    b: Image,
    find_columns: Callable[[Image], Columns],
    window: float | None = None,
) -> PairScore:
    """Register the second image to the first, match its intensities, and score both.

    Parameters
    ----------
    a, b : Image
        The second is brought to the pixel size of the first.
    find_columns : callable
        From an image to its columns [pixels].
    window : float, optional
        Edge of the SSIM window [Å]; by default the usual distance of a column of the
        first image from its nearest neighbour.

    Raises
    ------
    DataError
        If the images cannot be registered, or are bright where the other is dark.

    Notes
    -----
    Gain and offset are those of least squares over the overlap. The figures are those
    of candidates otherwise: the earth mover's distance counts columns as
    `autoloop.scoring.emd` does, those without a partner within 1.5 Å of the edge of
    the overlap being free.
    """
    values = _resampled(b, a.pixel_size)
    found = _refuse_untrusted(align(a.values, values, a.pixel_size))
    first, second, corner = overlap(a.values, values, found.shift_px)
    inside = np.zeros(first.shape, bool)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    gain, offset = _matched(first[inside], second[inside])
    second = gain * second + offset
    other = Image(values=values, pixel_size=a.pixel_size)
    ours, theirs = (
        _inside(find_columns(image), np.array(place), first.shape, a.pixel_size)
        for image, place in ((a, corner), (other, np.subtract(corner, found.shift_px)))
    )
    wanted = _spacing(ours) if window is None else window
    own = window_px(wanted, a.pixel_size)
    views = [(w, inside) for w in (own, *FIXED_WINDOWS)]
    figures = Similarity(first, views, intensity_range(first, inside))(second)
    edges = [_at_edge(c, first.shape, a.pixel_size) for c in (ours, theirs)]
    return PairScore(
        ssim=figures[0],
        ssim_7=figures[1],
        ssim_35=figures[2],
        emd_angstrom_per_column=capped_emd(ours, theirs, edges[0], edges[1]).value,
        mse=mse(first, second, inside),
        shift_px=found.shift_px,
        confidence=found.confidence,
        gain=gain,
        offset=offset,
        window=own,
        pixel_size=a.pixel_size,
    )


def _resampled(image: Image, pixel_size: float) -> Array:
    """Return an image on pixels of another size; its first pixel stays where it is."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    ratio = pixel_size / image.pixel_size
    if abs(ratio - 1) * max(image.values.shape) < 0.01:  # not a hundredth of a pixel
        return np.array(image.values)
    values = np.asarray(image.values, float)
    if ratio > 1:
        # what the larger pixels cannot carry; half of them is the usual choice
        values = gaussian_filter(values, 0.5 * np.sqrt(ratio**2 - 1))
    shape = [int((n - 1) / ratio) + 1 for n in values.shape]
    return np.asarray(map_coordinates(values, np.indices(shape) * ratio, order=3))


def _refuse_untrusted(found: Alignment) -> Alignment:
    if not found.trusted:
        raise DataError(
            f"the second image cannot be registered to the first: confidence "
            f"{found.confidence:.2f}, {LEAST_CONFIDENCE} is needed (correlation "
            f"{found.correlation:.2f} at the best shift); check the pixel sizes, and "
            "that both show the same place in the same orientation"
        )
    return found


def _matched(first: Array, second: Array) -> tuple[float, float]:
    """Return gain and offset that carry the second intensities onto the first."""
    mean, spread = float(second.mean()), float(second.var())
    shared = float(np.mean((first - first.mean()) * (second - mean)))
    if not spread > 0 or not shared > 0:
        raise DataError(
            "the second image is dark where the first is bright; both must be "
            "dark-field images"
        )
    gain = shared / spread
    return gain, float(first.mean()) - gain * mean


def _inside(
    columns: Columns, corner: Array, shape: tuple[int, ...], pixel_size: float
) -> Columns:
    """Return the columns of the overlap [Å from its first pixel]."""
    local = columns.positions - corner
    seen = np.all((local >= 0) & (local <= np.array(shape[::-1]) - 1), axis=1)
    return Columns(
        positions=local[seen] * pixel_size, intensities=columns.intensities[seen]
    )


def _at_edge(
    columns: Columns, shape: tuple[int, ...], pixel_size: float
) -> NDArray[np.bool_]:
    far = (np.array(shape[::-1]) - 1) * pixel_size - columns.positions
    return np.asarray(np.min(np.minimum(columns.positions, far), axis=1) < CAP)


def _spacing(columns: Columns) -> float:
    """Return the median distance of a column from its nearest neighbour [Å]."""
    from scipy.spatial import cKDTree

    if len(columns) < 2:
        return 0.0
    nearest, _ = cKDTree(columns.positions).query(columns.positions, k=2)
    return float(np.median(nearest[:, 1]))
