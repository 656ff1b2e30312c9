"""Views of crystals as an instrument might show them: targets of `library.py`.

Each target is drawn from columns with another probe, detector and pixel size than the
library has, and then distorted: blur of the source, few counts, lines of the scan that
jitter, a background, point defects; turned by any angle, moved by up to a period of the
cell, seen from either side, and strained. One level has what measured images have and
simulated ones lack: a scan that drifts, coma and astigmatism, columns as bright as the
thickness makes them, a pixel size that is off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.imaging.convolution import MARGIN, ColumnImager
from autoloop.imaging.probe import Microscope
from autoloop.library.views import View, columns_within

Array = NDArray[np.float64]

PIXEL_SIZE: Final = 0.2
"""Of the targets [Å]."""
N_PIXELS: Final = 220
"""44 Å: a little more than is compared."""
SCOPE: Final = Microscope(
    beam_energy_kev=200.0, convergence_mrad=25.0, detector_mrad=(80.0, 200.0)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distortion:
    """What is done to a view.

    Attributes
    ----------
    blur : float
        Sigma of source and vibration [Å].
    counts : float
        Mean electrons a pixel; 0 for no noise.
    jitter : float
        Standard deviation of each line's shift along the scan [Å].
    background : float
        Slope across the image and pedestal, in mean intensities.
    missing : float
        Share of the columns that are not there.
    altered : float
        Share of the columns whose intensity is multiplied by 0.5 to 1.5.
    strain : float
        Largest entry of the affine error.
    size_error : float
        Standard deviation of the pixel size that is told, as a share.
    contrast : float
        Largest share by which the brightness of each site is off, and the exponent of
        all.
    aberration : float
        Largest phase by coma at 2 Å [radians]; astigmatism is a tenth of it [Å²].
    drift : float
        Largest standard deviation of the scan's wandering, over some 20 lines [Å].
    posed : bool
        Whether it is turned, moved and perhaps mirrored.
    """

    blur: float = 0.35
    counts: float = 0.0
    jitter: float = 0.0
    background: float = 0.0
    missing: float = 0.0
    altered: float = 0.0
    strain: float = 0.0
    size_error: float = 0.0
    contrast: float = 0.0
    aberration: float = 0.0
    drift: float = 0.0
    posed: bool = True


LEVELS: Final = {
    "clean": Distortion(),
    "blur": Distortion(blur=0.6),
    "background": Distortion(background=1.0),
    "noise": Distortion(counts=30.0),
    "scan noise": Distortion(jitter=0.1),
    "point defects": Distortion(missing=0.05, altered=0.1),
    "2 % affine": Distortion(strain=0.02),
    "heavy blur": Distortion(blur=0.8),
    "low counts": Distortion(counts=3.0),
    "blur, low counts": Distortion(blur=0.7, counts=5.0),
    "all": Distortion(
        blur=0.5,
        counts=20.0,
        jitter=0.1,
        background=0.5,
        missing=0.03,
        altered=0.05,
        strain=0.02,
    ),
    "as measured": Distortion(
        blur=0.5,
        counts=40.0,
        jitter=0.05,
        background=0.3,
        strain=0.03,
        size_error=0.025,
        contrast=0.15,
        aberration=1.0,
        drift=0.35,
    ),
}
"""By name; all but one measure stay as they are, but in the last two."""
UNPOSED: Final = {
    name: replace(LEVELS[name], posed=False) for name in ("clean", "blur", "low counts")
}
"""As the paper's test had them: neither turned nor moved."""


def target(seen: View, how: Distortion, rng: np.random.Generator) -> Array:
    """Return the image (n, n) of a view, distorted."""
    seen = _recoloured(seen, how.contrast, rng)
    columns = _with_defects(_placed(seen, how, rng), how, rng)
    half = N_PIXELS // 2
    matrix = np.array([[1.0, 0.0], [0.0, -1.0]]) / PIXEL_SIZE
    imager = ColumnImager(
        (N_PIXELS, N_PIXELS), matrix, (-float(half), -float(half)), SCOPE, how.blur
    )
    pixels = columns.positions @ matrix.T
    image = imager.image(Columns(positions=pixels, intensities=columns.intensities))
    image = _aberrated(image, how.aberration, rng)
    image = _drifting(image / image.mean(), how, rng)
    y, x = np.indices(image.shape) / N_PIXELS - 0.5
    slope = rng.normal(0.0, 1.0, 2)
    image = image + how.background * (1.0 + slope[0] * x + slope[1] * y)
    if how.counts:
        image = rng.poisson(np.maximum(image, 0.0) * how.counts).astype(float)
    return np.asarray(image)


def _recoloured(seen: View, contrast: float, rng: np.random.Generator) -> View:
    """Return a view whose sites are as bright as thickness and tilt may make them."""
    if not contrast:
        return seen
    exponent = 1.0 + rng.uniform(-contrast, contrast)
    share = 1.0 + rng.uniform(-contrast, contrast, len(seen.weights))
    return replace(seen, weights=np.power(seen.weights, exponent) * share)


def _aberrated(image: Array, largest: float, rng: np.random.Generator) -> Array:
    """Return an image with some coma and astigmatism."""
    if not largest:
        return image
    f = np.fft.fftfreq(N_PIXELS, PIXEL_SIZE)
    x, y = np.meshgrid(f, f)
    angle, turn = rng.uniform(0.0, 2.0 * np.pi, 2)
    coma, two_fold = rng.uniform(0.0, largest, 2)
    square = x**2 + y**2
    phase = coma * (np.cos(angle) * x + np.sin(angle) * y) * square / 0.5**3
    blur = 0.1 * two_fold
    squares = np.cos(turn) * (x**2 - y**2) + np.sin(turn) * 2.0 * x * y
    # the phase of fine detail would wind up; lenses are not used that far
    passed = np.exp(1j * np.clip(phase, -1.5, 1.5))
    passed *= np.exp(-2.0 * np.pi**2 * blur * (square + squares) / 2.0)
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * passed).real)


def _drifting(image: Array, how: Distortion, rng: np.random.Generator) -> Array:
    """Return an image whose lines jitter along the scan, and wander both ways."""
    if not how.jitter and not how.drift:
        return image
    from scipy.ndimage import gaussian_filter1d, map_coordinates

    rows, columns = np.indices(image.shape).astype(float)
    columns += rng.normal(0.0, how.jitter / PIXEL_SIZE, (len(image), 1))
    if how.drift:
        for lines, most in ((columns, how.drift), (rows, how.drift / 2)):
            path = gaussian_filter1d(rng.normal(size=3 * len(image)), 20.0)
            path = path[len(image) : 2 * len(image)] / path.std()
            lines += rng.uniform(0.0, most) / PIXEL_SIZE * path[:, None]
    moved = map_coordinates(image, (rows, columns), order=3, mode="nearest")
    return np.asarray(moved)


def _placed(seen: View, how: Distortion, rng: np.random.Generator) -> Columns:
    """Return the columns as they lie around the middle of the image [Å, y up]."""
    matrix, shift = np.eye(2), np.zeros(2)
    if how.posed:
        turn = rng.uniform(0.0, 2.0 * np.pi)
        c, s = np.cos(turn), np.sin(turn)
        hand = np.diag([1.0, rng.choice([-1.0, 1.0])])
        strain = np.eye(2) + rng.uniform(-how.strain, how.strain, (2, 2))
        if how.size_error:
            strain *= 1.0 + rng.normal(0.0, how.size_error)
        matrix = strain @ np.array([[c, -s], [s, c]]) @ hand
        shift = rng.uniform(0.0, 1.0, 2) @ seen.cell
    reach = N_PIXELS * PIXEL_SIZE / 2 + MARGIN
    found = columns_within(seen, 1.5 * reach + np.linalg.norm(seen.cell))
    positions = (found.positions + shift) @ matrix.T
    inside = np.max(np.abs(positions), axis=1) <= reach
    return Columns(positions=positions[inside], intensities=found.intensities[inside])


def _with_defects(
    columns: Columns, how: Distortion, rng: np.random.Generator
) -> Columns:
    n = len(columns)
    weights = np.array(columns.intensities)
    altered = rng.random(n) < how.altered
    weights[altered] *= rng.uniform(0.5, 1.5, np.count_nonzero(altered))
    weights[rng.random(n) < how.missing] = 0.0
    return Columns(positions=columns.positions, intensities=weights)


def streams(seed: int, level: str, indices: Iterable[int]) -> list[np.random.Generator]:
    """Return a random stream for each target of a level: the same in any order."""
    key = int.from_bytes(sha256(level.encode()).digest()[:8], "big")
    return [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key, index)))
        for index in indices
    ]
