"""What of an image does not change when it is shifted, turned, mirrored or blurred.

A round patch of fixed width is transformed; the modulus of the transform does not know
where the patch was taken. On rings whose radii grow by a fixed factor, a turn is a
shift along the angle and a change of scale one along the radius. The amplitudes of the
Fourier series along each ring know neither turn nor mirror: they are the `descriptor`,
by which a library is looked through; the rings themselves, `polar`, tell the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Image

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Complex = NDArray[np.complex64]

FIELD: Final = 40.0
"""Width of a patch [Å]."""
PIXEL: Final = 0.25
"""Pixel size of a patch [Å]: carries 2 cycles per Å, more than columns show."""
N_PIXELS: Final = round(FIELD / PIXEL)
PADDED: Final = 320
"""Pixels of the transform along either axis: 0.0125 cycles per Å between them, a
quarter of the width of a peak."""
STEP: Final = 1.0 / (PADDED * PIXEL)
"""Between two frequencies of the transform [1/Å]."""
LOWEST: Final = 0.1
"""Lowest frequency of the rings [1/Å]: below it is background."""
HIGHEST: Final = 1.1
"""Highest frequency of the rings [1/Å]: 0.9 Å, finer than columns are apart."""
N_RINGS: Final = 64
N_ANGLES: Final = 96
"""Over half a turn: the modulus repeats after it."""
FINER: Final = 4
"""Angles looked at for each of the rings' own when they are turned: 0.5 degrees."""
N_ORDERS: Final = 12
"""Orders of the Fourier series kept in a descriptor. The mean is not among them: it is
large everywhere, and with it retrieval is worse."""
RING_RATIO: Final = (HIGHEST / LOWEST) ** (1.0 / (N_RINGS - 1))
"""Radius of a ring over that of the one before: 1.039."""
POWER: Final = 0.8
"""Exponent of the amplitudes in `polar`. Retrieval with few counts, strong blur and
15 % of the columns missing was tried from 0.35 to 1: below 0.7 it loses."""
DIFFUSE: Final = 4.0
"""Times the median power of a ring that is taken off: what noise and missing columns
scatter between the peaks. Of pure noise 1 in 16 stays."""
ALONG: Final = 5
"""Rings over which that median is smoothed, by another median."""


def patches(image: Image, most: int = 4) -> list[Array]:
    """Return square parts of an image on pixels of `PIXEL`, spread over it.

    At most `most` by `most`; overlapping by no more than half. An image that is smaller
    gives one that is smaller.
    """
    values = resampled(image)
    size = min(N_PIXELS, *values.shape)
    starts = [_starts(n, size, most) for n in values.shape]
    return [
        values[row : row + size, column : column + size]
        for row in starts[0]
        for column in starts[1]
    ]


def resampled(image: Image) -> Array:
    """Return an image on pixels of `PIXEL`."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    ratio = PIXEL / image.pixel_size
    values = np.asarray(image.values, np.float32)
    if abs(ratio - 1.0) * max(values.shape) < 0.01:
        return np.asarray(values, np.float64)
    if ratio > 1.0:
        values = gaussian_filter(values, 0.5 * np.sqrt(ratio**2 - 1.0))
    shape = [int((n - 1) / ratio) + 1 for n in values.shape]
    grid = np.meshgrid(*(np.arange(n) * ratio for n in shape), indexing="ij")
    return np.asarray(map_coordinates(values, grid, order=3), np.float64)


def transform(patch: Array) -> Complex:
    """Return the transform (p, p) of a patch (n, n), seen through a round window.

    Frequency 0 and the origin of phases are in the middle: of the array, and of the
    patch. A plane is taken off first, and the window's own weight.
    """
    from scipy.fft import fft2, fftshift

    n = len(patch)
    weight, design = _window(n)
    weighted = design * weight
    plane = np.linalg.solve(weighted @ design.T, weighted @ patch.ravel())
    flat = (patch.ravel() - plane @ design) * weight
    padded = np.zeros((PADDED, PADDED), np.float32)
    padded[:n, :n] = flat.reshape(n, n) / np.sqrt(np.sum(weight**2))
    padded = np.roll(padded, (-(n // 2), -(n // 2)), axis=(0, 1))
    return np.asarray(fftshift(fft2(padded, workers=1)))


def polar(transforms: Sequence[Complex]) -> Single:
    """Return the rings (`N_RINGS`, `N_ANGLES`) of one patch, or of the mean of several.

    The angle runs from x towards y, y up.
    """
    from scipy.ndimage import map_coordinates, median_filter

    power = np.mean([np.abs(one) ** 2 for one in transforms], axis=0)
    rings = map_coordinates(power, _places(), order=1).reshape(N_RINGS, N_ANGLES)
    diffuse = median_filter(np.median(rings, axis=1), ALONG)
    rings = np.maximum(rings - DIFFUSE * diffuse[:, None], 0.0)
    return np.asarray(rings ** (POWER / 2), np.float32)


def sharpened(rings: Single, blur: float) -> Single:
    """Return rings as if the image were less blurred, by sigma² = `blur` [Å²]."""
    gain = np.exp(2.0 * np.pi**2 * blur * ring_radii() ** 2 * POWER)
    return np.asarray(rings * gain[:, None].astype(np.float32))


def descriptor(rings: Single) -> Single:
    """Return what turn and mirror leave of rings (..., r, a), of unit length."""
    series = np.abs(np.fft.rfft(rings, axis=-1))[..., 1 : N_ORDERS + 1]
    flat = series.reshape(*rings.shape[:-2], -1)
    norm = np.linalg.norm(flat, axis=-1, keepdims=True)
    return np.asarray(flat / np.maximum(norm, 1e-12), np.float32)


def rescaled(rings: Single, factors: Array) -> Single:
    """Return rings (m, r, a) of an image whose lengths are multiplied by factors."""
    at = np.arange(N_RINGS)[None] + np.log(factors)[:, None] / np.log(RING_RATIO)
    low = np.floor(at).astype(int)
    share = (at - low)[..., None].astype(np.float32)
    padded = np.concatenate((rings, np.zeros_like(rings[:1])))
    here, above = (
        np.where((i >= 0) & (i < N_RINGS), i, N_RINGS) for i in (low, low + 1)
    )
    return np.asarray(padded[here] * (1 - share) + padded[above] * share)


def turned_over(rings: Single, others: Single) -> tuple[Array, Array]:
    """Turn rings (m, r, a) of images over others of views (m or 1, r, a).

    Returns
    -------
    merits : (2, m) float array
        Their best correlation, for either hand of the view; at most 1.
    turns : (2, m) float array
        The turns of the view at which it is reached, counterclockwise, up to half a
        turn [radians].
    """
    scale = np.linalg.norm(rings, axis=(1, 2)) * np.linalg.norm(others, axis=(1, 2))
    first, second = np.fft.rfft(rings, axis=2), np.fft.rfft(others, axis=2)
    merits, turns = [], []
    for other in (second.conj(), second):
        series = np.sum(first * other, axis=1)
        surface = FINER * np.fft.irfft(series, n=FINER * N_ANGLES, axis=1)
        merits.append(surface.max(axis=1) / np.maximum(scale, 1e-12))
        turns.append(surface.argmax(axis=1) * np.pi / (FINER * N_ANGLES))
    return np.array(merits), np.array(turns)


def turn_matrix(turn: float, scale: float, second_hand: bool) -> Array:
    """Return the map from a view to an image, both y up."""
    c, s = np.cos(turn), np.sin(turn)
    flip = np.diag([1.0, -1.0 if second_hand else 1.0])
    return np.asarray(scale * np.array([[c, -s], [s, c]]) @ flip)


def mean_frequency(values: Array) -> float:
    """Return the mean frequency of an image's peaks [cycles per pixel].

    Weighted by their amplitude; what noise and background scatter is taken off, ring by
    ring.
    """
    from scipy.fft import fft2

    side = min(512, *values.shape)
    row, column = ((n - side) // 2 for n in values.shape)
    part = values[row : row + side, column : column + side]
    power = np.abs(fft2((part - part.mean()) * window(side).reshape(side, side)))
    f = np.fft.fftfreq(side)
    ring = np.round(np.hypot(f[:, None], f[None]) * side).astype(int)
    total, count = 0.0, 0.0
    for k in range(4, side // 2):
        here = power[ring == k]
        strong = np.maximum(here - 3.0 * np.median(here), 0.0) ** 2
        total, count = total + strong.sum() * k / side, count + strong.sum()
    return float(total / count) if count > 0 else 0.2


def ring_radii() -> Array:
    """Return the frequencies (`N_RINGS`,) of the rings [1/Å]."""
    return np.asarray(LOWEST * RING_RATIO ** np.arange(N_RINGS))


def window(n: int) -> Array:
    """Return the round window (n * n,) of a patch (n, n)."""
    y, x = np.indices((n, n)).reshape(2, -1) - n // 2
    radius = np.hypot(x, y) / (n / 2)
    return np.where(radius < 1, 0.5 + 0.5 * np.cos(np.pi * radius), 0.0)


def _starts(n: int, size: int, most: int) -> list[int]:
    room = n - size
    count = min(most, 1 + 2 * room // size)
    if count == 1:
        return [room // 2]
    return [round(float(start)) for start in np.linspace(0, room, count)]


@cache
def _window(n: int) -> tuple[Array, Array]:
    """Return the window of a patch (n, n), and what makes a plane (3, n * n)."""
    y, x = np.indices((n, n)).reshape(2, -1) / n - 0.5
    return window(n), np.stack((np.ones_like(x), x, y))


@cache
def _places() -> Array:
    angles = np.pi / N_ANGLES * np.arange(N_ANGLES)
    k = ring_radii()[:, None] / STEP
    rows = PADDED // 2 - k * np.sin(angles)
    columns = PADDED // 2 + k * np.cos(angles)
    return np.stack((rows.ravel(), columns.ravel()))
