"""Atomic columns in a measured image: where they are and how bright.

Columns are found as maxima of a Laplacian of Gaussian whose scale follows the image,
then each is fitted with a round Gaussian on a local background while its neighbours are
subtracted, so that the two columns of a dumbbell do not pull each other.
What the columns mean (lattices, motifs) is not decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Image
from autoloop.errors import DataError
from autoloop.microscopy.gaussians import (
    WINDOW,
    Gaussians,
    drawn,
    misfit,
    patches_of,
    refined,
    solved,
)

Array = NDArray[np.float64]

SCALES: Final = (0.25, 0.30, 0.35, 0.40, 0.45)
"""Scales tried for the Laplacian of Gaussian [Å].

Below 0.25 Å no column is that sharp and noise takes over; above 0.45 Å the dumbbells of
silicon (1.36 Å) run together. Simulated images with column widths (sigma) of 0.2 to
0.5 Å are all read with recall and precision above 0.99 at 0.40 to 0.45 Å.
"""
SPACING_TO_SCALE: Final = 0.225
"""A wave of period d answers a Laplacian of Gaussian most at sqrt(2) d / 2 pi."""
NEIGHBOURHOOD: Final = 5.0
"""Range over which contrast and brightness are compared [Å]: a few columns across."""
PEAK_TO_CONTRAST: Final = 0.5
"""Least height of a maximum in units of the local rms of the filtered image.

At 0.8 columns a quarter as bright as their neighbours are lost.
"""
PEAK_TO_NOISE: Final = 4.0
"""Least height of a maximum in units of white noise."""
PEAK_TO_RESIDUAL: Final = (3.0, 6.0)
"""Least height of a fitted column in units of what the fit leaves around it; the second
if it is dimmer than `DIM`.

In measured images the noise is not white, and this sees it. In one of a CdTe boundary
columns of the dim core stand at 3.2 to 5 and are as bright as their neighbours, spots
between dumbbells at 3.1 to 5.2 and half as bright. Simulated columns stand above 6.
"""
DIM: Final = 0.65
"""Height below which a column is doubtful, relative to the 8 nearest ones' median."""
DIMMEST: Final = 0.1
"""Least height of a maximum, relative to the median one: silences empty regions."""
RESOLVED: Final = 2.0
"""Gaussians closer than this many sigma have one maximum between them (Sparrow)."""
ELONGATED: Final = 0.4
"""Half the difference between the second moments along the two axes of a column, in
sigma², above which it may be a dumbbell.

For single columns in simulated images it stays below 0.2 at any noise; two equal ones
2 sigma apart, seen as one, give 0.5.
"""
MAX_MOVE: Final = 1.5
"""Farthest that a fit may move from the maximum where it started, in sigma."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnFit:
    """Columns of an image and how wide they look.

    Attributes
    ----------
    columns : Columns
        Positions (x, y) in pixels, an integer being a pixel's centre; intensities are
        the volumes 2 pi height sigma² of the fitted Gaussians above their local
        background, in units of the image times pixels².
    width_px : float
        Sigma of the fitted Gaussians, the median of free fits [pixels]; 2.355 times
        it is the full width at half maximum.
    """

    columns: Columns
    width_px: float


def find_columns(image: Image, *, spacing: float | None = None) -> Columns:
    """Find the atomic columns of an image.

    The columns of `fit_columns`, which see.
    """
    return fit_columns(image, spacing=spacing).columns


def fit_columns(image: Image, *, spacing: float | None = None) -> ColumnFit:
    """Find the atomic columns of an image and fit a Gaussian to each.

    Parameters
    ----------
    image : Image
        Columns bright on dark.
    spacing : float, optional
        Shortest distance between columns to be told apart [Å]; by default the image
        decides, between 1.1 and 2 Å.

    Returns
    -------
    ColumnFit
        Columns sorted by y, then x, and their typical width.

    Raises
    ------
    DataError
        If the image shows no columns.
    """
    # In units of the contrast the fit is conditioned alike for counts and fractions.
    unit = float(np.std(image.values)) or 1.0
    values = (image.values - np.median(image.values)) / unit
    scale = _detection_scale(values, image.pixel_size, spacing)
    reach = max(NEIGHBOURHOOD / image.pixel_size, 4.0 * scale)
    fit = _fitted(values, _start(values, _seeds(values, scale, reach), scale))
    fit = fit.chosen(_significant(values, fit, scale, reach))
    if not len(fit):
        raise DataError(
            f"no columns found in the image of {values.shape[1]} x {values.shape[0]} "
            f"pixels of {image.pixel_size:g} Å; check the pixel size, and that columns "
            "are bright on dark"
        )
    return _result(refined(values, fit, n_fixed=1), unit)


def _fitted(values: Array, start: Gaussians) -> Gaussians:
    """Fit the common width, then the columns, then the halves of split dumbbells."""
    if not len(start):
        return start
    free = refined(values, start, n_fixed=3, n_free=4)
    free = free.chosen(_credible(free, start, values.shape))
    if not len(free):
        return free
    # Widths one by one are mostly noise and would spoil the intensities: one for all.
    fit = _settled(values, start.with_width(float(np.median(free.widths))))
    if not len(fit):
        return fit
    halves, wholes = _halves(values, fit)
    if not len(halves):
        return fit
    rest = np.ones(len(fit), dtype=bool)
    rest[wholes] = False
    return _settled(values, fit.chosen(rest).joined(halves))


def _settled(values: Array, start: Gaussians) -> Gaussians:
    """Fit at fixed widths, drop what is no column, and fit the rest again."""
    fit = refined(values, start, n_fixed=4)
    kept = _credible(fit, start, values.shape)
    if not kept.any():
        return fit.chosen(kept)
    start, fit = start.chosen(kept), refined(values, fit.chosen(kept), n_fixed=2)
    return fit.chosen(_credible(fit, start, values.shape))


def _result(fit: Gaussians, unit: float) -> ColumnFit:
    order = np.lexsort((fit.positions[:, 0], fit.positions[:, 1]))
    volumes = 2.0 * np.pi * fit.heights * fit.widths**2 * unit
    return ColumnFit(
        columns=Columns(positions=fit.positions[order], intensities=volumes[order]),
        width_px=float(np.median(fit.widths)),
    )


def _detection_scale(values: Array, pixel_size: float, spacing: float | None) -> float:
    """Return the scale of the Laplacian of Gaussian [pixels].

    Of the scales tried, the one to which the image, less white noise, answers most.
    """
    if spacing is not None:
        return max(1.0, SPACING_TO_SCALE * spacing / pixel_size)
    power = np.abs(np.fft.rfft2(values)) ** 2
    power[:, 1 : (values.shape[1] + 1) // 2] *= 2.0  # rfft2 leaves out the mirrored
    ky = 2.0 * np.pi * np.fft.fftfreq(values.shape[0])
    kx = 2.0 * np.pi * np.fft.rfftfreq(values.shape[1])
    k2 = ky[:, None] ** 2 + kx[None, :] ** 2
    bins = np.minimum((np.sqrt(k2) * 100.0).astype(np.int64), 314)
    spectrum = np.bincount(bins.ravel(), power.ravel(), 315) / values.size**2
    noise = _noise(values)
    k2_bins = ((np.arange(315) + 0.5) / 100.0) ** 2
    scales = [s for s in (a / pixel_size for a in SCALES) if s >= 1.0] or [1.0]
    signal = [
        float(spectrum @ (s**4 * k2_bins**2 * np.exp(-(s**2) * k2_bins)))
        - _filtered_noise(noise, s) ** 2
        for s in scales
    ]
    return scales[int(np.argmax(signal))]


def _noise(values: Array) -> float:
    """Return the standard deviation of white noise, robust against the columns.

    From second differences along both axes, after Immerkaer, Comput. Vis. Image
    Underst. 64, 300 (1996); the median instead of the mean.
    """
    second = values[:, :-2] - 2.0 * values[:, 1:-1] + values[:, 2:]
    mixed = second[:-2] - 2.0 * second[1:-1] + second[2:]
    return float(np.median(np.abs(mixed)) / (0.6745 * 6.0))


def _filtered_noise(noise: float, scale: float) -> float:
    """Return what is left of white noise after the filter of `_response`."""
    return noise / (scale * math.sqrt(2.0 * math.pi))


def _response(values: Array, scale: float) -> Array:
    """Return the scale-normalised, negative Laplacian of Gaussian."""
    from scipy.ndimage import gaussian_laplace

    return np.asarray(-(scale**2) * gaussian_laplace(values, scale, mode="reflect"))


def _seeds(values: Array, scale: float, reach: float) -> NDArray[np.int64]:
    """Return rows and columns (n, 2) of the maxima that may be columns.

    A maximum must stand above the noise and above the contrast around it, so that the
    dim core of a boundary and a bright grain are treated alike.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    response = _response(values, scale)
    size = 2 * max(1, round(scale)) + 1
    peaks = (response == maximum_filter(response, size=size)) & (response > 0.0)
    contrast = np.sqrt(gaussian_filter(response**2, reach, truncate=2.5))
    floor = np.maximum(
        PEAK_TO_CONTRAST * contrast,
        PEAK_TO_NOISE * _filtered_noise(_noise(values), scale),
    )
    seeds = np.argwhere(peaks & (response > floor))
    heights = response[seeds[:, 0], seeds[:, 1]]
    if len(seeds):
        seeds = seeds[heights > DIMMEST * np.median(heights)]
    return seeds


def _start(values: Array, seeds: NDArray[np.int64], scale: float) -> Gaussians:
    """Return Gaussians (n, 5) as wide as the filter, from which the fit starts."""
    rows, cols = seeds[:, 0], seeds[:, 1]
    height = 2.0 * _response(values, scale)[rows, cols]
    background = values[rows, cols] - height
    width = np.full(len(seeds), scale)
    return Gaussians(
        parameters=np.column_stack((height, cols, rows, width, background))
    )


def _halves(values: Array, fit: Gaussians) -> tuple[Gaussians, NDArray[np.int64]]:
    """Return two Gaussians for each that is too elongated, and the indices of those.

    An unresolved dumbbell adds to the round shape the second derivatives of the
    Gaussian along its axis; their coefficients are the excess of the second moments,
    in units of sigma²: `trace` on average over directions, `bias` of one axis over it.
    """
    patches = patches_of(fit, WINDOW, values.shape)
    width = fit.widths[:, None, None]
    x, y = patches.dx / width, patches.dy / width
    half = 0.5 * fit.heights[:, None, None] * patches.shape
    terms = [patches.shape, half * x, half * y, np.ones_like(half)]
    terms += [half * (x**2 + y**2 - 2.0), half * (x**2 - y**2), 2.0 * half * x * y]
    trace, even, odd = solved(patches, terms, misfit(values, fit, patches))[:, 4:].T
    bias = np.hypot(even, odd)
    limit = max(ELONGATED, 4.0 * float(np.median(bias)))
    wholes = np.flatnonzero((bias > limit) & (trace + bias > ELONGATED))
    angle = 0.5 * np.arctan2(odd, even)[wholes]
    arm = 0.55 * RESOLVED * fit.widths[wholes, None]
    arm = arm * np.column_stack((np.cos(angle), np.sin(angle)))
    parameters = np.vstack([fit.parameters[wholes]] * 2)
    parameters[:, 0] *= 0.7
    parameters[:, 1:3] += np.vstack((arm, -arm))
    return Gaussians(parameters=parameters), wholes


def _significant(
    values: Array, fit: Gaussians, scale: float, reach: float
) -> NDArray[np.bool_]:
    """Return which columns stand out of the local residual, both filtered alike."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    if not len(fit):
        return np.zeros(0, dtype=bool)
    model = drawn(fit, patches_of(fit, 4.0, values.shape), values.shape)
    residual = _response(values - model, scale)
    noise = np.sqrt(gaussian_filter(residual**2, reach, truncate=2.5))
    cols, rows = np.round(fit.positions).astype(np.int64).T
    # What the filter makes of a Gaussian's height.
    gain = 2.0 * (scale * fit.widths / (scale**2 + fit.widths**2)) ** 2
    _, nearest = cKDTree(fit.positions).query(fit.positions, min(9, len(fit)))
    usual = np.median(fit.heights[nearest.reshape(len(fit), -1)], axis=1)
    needed = np.where(fit.heights < DIM * usual, *reversed(PEAK_TO_RESIDUAL))
    return np.asarray(gain * fit.heights > needed * noise[rows, cols])


def _credible(
    fit: Gaussians, start: Gaussians, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return which fits are columns: on the image, near their start, bright, alone."""
    from scipy.spatial import cKDTree

    x, y = fit.positions.T
    kept = (x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)
    moved = np.hypot(*(fit.positions - start.positions).T)
    typical = float(np.median(fit.widths))
    kept &= (fit.heights > 0.0) & (moved < MAX_MOVE * typical)
    indices = np.flatnonzero(kept)
    pairs = cKDTree(fit.positions[indices]).query_pairs(RESOLVED * typical)
    for i, j in sorted((int(indices[a]), int(indices[b])) for a, b in pairs):
        if kept[i] and kept[j]:
            kept[i if fit.heights[i] < fit.heights[j] else j] = False
    return np.asarray(kept)
