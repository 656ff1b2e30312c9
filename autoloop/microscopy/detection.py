"""Where an image may hold columns: filters, noise, scale and maxima.

What of it are columns is decided in `autoloop.microscopy.columns`, by a fit.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.microscopy.gaussians import smoothed

Array = NDArray[np.float64]

SCALES: Final = (0.25, 0.30, 0.35, 0.40, 0.45)
"""Scales tried for the Laplacian of Gaussian [Å].

Below 0.25 Å no column is that sharp and noise takes over; above 0.45 Å the dumbbells of
silicon (1.36 Å) run together. Simulated images with column widths (sigma) of 0.2 to
0.5 Å are all read with recall and precision above 0.99 at 0.40 to 0.45 Å.
"""
SPACING_TO_SCALE: Final = 0.225
"""A wave of period d answers a Laplacian of Gaussian most at sqrt(2) d / 2 pi."""
PEAK_TO_CONTRAST: Final = 0.5
"""Least height of a maximum in units of the local rms of the filtered image.

At 0.8 columns a quarter as bright as their neighbours are lost.
"""
PEAK_TO_NOISE: Final = 4.0
"""Least height of a maximum in units of white noise."""
DIMMEST: Final = 0.1
"""Least height of a maximum, relative to the median one: silences empty regions."""


def detection_scale(values: Array, pixel_size: float, spacing: float | None) -> float:
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
    noise = white_noise(values)
    k2_bins = ((np.arange(315) + 0.5) / 100.0) ** 2
    scales = [s for s in (a / pixel_size for a in SCALES) if s >= 1.0] or [1.0]
    signal = [
        float(spectrum @ (s**4 * k2_bins**2 * np.exp(-(s**2) * k2_bins)))
        - (noise * filtered_noise(s)) ** 2
        for s in scales
    ]
    return scales[int(np.argmax(signal))]


def white_noise(values: Array) -> float:
    """Return the standard deviation of white noise, robust against the columns.

    From second differences along both axes, after Immerkaer, Comput. Vis. Image
    Underst. 64, 300 (1996); the median instead of the mean.
    """
    second = values[:, :-2] - 2.0 * values[:, 1:-1] + values[:, 2:]
    mixed = second[:-2] - 2.0 * second[1:-1] + second[2:]
    return float(np.median(np.abs(mixed)) / (0.6745 * 6.0))


def filtered_noise(scale: float) -> float:
    """Return what the filter of `response` leaves of white noise, as a share of it."""
    return 1.0 / (scale * math.sqrt(2.0 * math.pi))


def gain(scale: float, width: float) -> float:
    """Return what the filter of `response` makes of a Gaussian of unit height."""
    return 2.0 * (scale * width / (scale**2 + width**2)) ** 2


def response(values: Array, scale: float) -> Array:
    """Return the scale-normalised, negative Laplacian of Gaussian (n_y, n_x)."""
    from scipy.ndimage import gaussian_laplace

    return np.asarray(-(scale**2) * gaussian_laplace(values, scale, mode="reflect"))


def maxima(filtered: Array, floor: Array | float) -> NDArray[np.int64]:
    """Return rows and columns (n, 2) of the maxima above a floor."""
    from scipy.ndimage import maximum_filter

    peaks = (filtered > floor) & (filtered == maximum_filter(filtered, size=3))
    return np.argwhere(peaks)


def seeds(values: Array, scale: float, range_px: float) -> NDArray[np.int64]:
    """Return rows and columns (n, 2) of the maxima that may be columns.

    A maximum must stand above the noise and above the contrast around it, so that the
    dim core of a boundary and a bright grain are treated alike.
    """
    filtered = response(values, scale)
    contrast = np.sqrt(smoothed(filtered**2, range_px))
    noise = white_noise(values) * filtered_noise(scale)
    found = maxima(
        filtered, np.maximum(PEAK_TO_CONTRAST * contrast, PEAK_TO_NOISE * noise)
    )
    heights = filtered[found[:, 0], found[:, 1]]
    if len(found):
        found = found[heights > DIMMEST * np.median(heights)]
    return found


def unexplained(filtered: Array, range_px: float) -> Array:
    """Return the local noise (n_y, n_x) of a filtered residual.

    The rms of what is negative: columns that are still missing are positive, while
    noise and misfit are as often the one as the other.
    """
    negative = filtered < 0.0
    power = smoothed(np.where(negative, filtered**2, 0.0), range_px)
    share = smoothed(negative.astype(np.float64), range_px)
    return np.sqrt(np.maximum(power, 0.0) / np.maximum(share, 1e-2))


def without_blank_margin(values: Array) -> Array:
    """Return the image with pixels that hold no data filled from their line.

    Programs that align scan lines or frames leave a constant, the least value of the
    image, at the ends of lines. To a filter such an end is a cliff.
    """
    blank = values == values.min()
    margin = max(2, values.shape[1] // 20)
    if not blank.any() or blank[:, margin:-margin].any():
        return values
    place = np.arange(values.shape[1])
    last = np.maximum.accumulate(np.where(blank, -1, place), axis=1)
    first = np.minimum.accumulate(
        np.where(blank, values.shape[1], place)[:, ::-1], axis=1
    )[:, ::-1]
    return np.take_along_axis(values, np.where(last < 0, first, last), axis=1)


def without_ramp(values: Array, block: int) -> Array:
    """Return the image without the plane on which its darkest pixels lie.

    The fit's own background is an average over a neighbourhood, which at the frame has
    one side only and would take a ramp for columns.
    """
    n_y, n_x = values.shape[0] // block, values.shape[1] // block
    if min(n_y, n_x) < 3:
        return values
    blocks = values[: n_y * block, : n_x * block].reshape(n_y, block, n_x, block)
    some = blocks[:, ::2, :, ::2].transpose(0, 2, 1, 3)
    dark = np.quantile(some.reshape(n_y, n_x, -1), 0.2, axis=2)
    rows, cols = np.indices(dark.shape).reshape(2, -1)
    terms = np.column_stack((np.ones(len(rows)), rows, cols))
    (_, rise_y, rise_x), *_ = np.linalg.lstsq(terms, dark.ravel(), rcond=None)
    place_y, place_x = (np.arange(n) / block for n in values.shape)
    return np.asarray(values - rise_y * place_y[:, None] - rise_x * place_x)
