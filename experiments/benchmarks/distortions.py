"""Views of crystals as an instrument might show them: targets of `library.py`.

Each target is drawn from columns with another probe, detector and pixel size than the
library has, and then distorted: blur of the source, few counts, lines of the scan that
jitter, a background, point defects; turned by any angle, moved by up to a period of the
cell, seen from either side, and strained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
}
"""By name; all but one measure stay as they are."""
UNPOSED: Final = {
    name: replace(LEVELS[name], posed=False) for name in ("clean", "blur", "low counts")
}
"""As the paper's test had them: neither turned nor moved."""


def target(seen: View, how: Distortion, rng: np.random.Generator) -> Array:
    """Return the image (n, n) of a view, distorted."""
    columns = _with_defects(_placed(seen, how, rng), how, rng)
    half = N_PIXELS // 2
    matrix = np.array([[1.0, 0.0], [0.0, -1.0]]) / PIXEL_SIZE
    imager = ColumnImager(
        (N_PIXELS, N_PIXELS), matrix, (-float(half), -float(half)), SCOPE, how.blur
    )
    pixels = columns.positions @ matrix.T
    image = imager.image(Columns(positions=pixels, intensities=columns.intensities))
    image = _with_jitter(image / image.mean(), how.jitter, rng)
    y, x = np.indices(image.shape) / N_PIXELS - 0.5
    slope = rng.normal(0.0, 1.0, 2)
    image = image + how.background * (1.0 + slope[0] * x + slope[1] * y)
    if how.counts:
        image = rng.poisson(np.maximum(image, 0.0) * how.counts).astype(float)
    return np.asarray(image)


def _placed(seen: View, how: Distortion, rng: np.random.Generator) -> Columns:
    """Return the columns as they lie around the middle of the image [Å, y up]."""
    matrix, shift = np.eye(2), np.zeros(2)
    if how.posed:
        turn = rng.uniform(0.0, 2.0 * np.pi)
        c, s = np.cos(turn), np.sin(turn)
        hand = np.diag([1.0, rng.choice([-1.0, 1.0])])
        strain = np.eye(2) + rng.uniform(-how.strain, how.strain, (2, 2))
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


def _with_jitter(image: Array, jitter: float, rng: np.random.Generator) -> Array:
    if not jitter:
        return image
    from scipy.ndimage import map_coordinates

    rows, columns = np.indices(image.shape).astype(float)
    columns += rng.normal(0.0, jitter / PIXEL_SIZE, (len(image), 1))
    moved = map_coordinates(image, (rows, columns), order=3, mode="nearest")
    return np.asarray(moved)


def streams(seed: int, level: str, indices: Iterable[int]) -> list[np.random.Generator]:
    """Return a random stream for each target of a level: the same in any order."""
    key = int.from_bytes(level.encode()[:8].ljust(8, b"\0"), "big")
    return [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key, index)))
        for index in indices
    ]
