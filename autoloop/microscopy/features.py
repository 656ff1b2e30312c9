"""Features of columns: what the neighbourhood of each looks like.

The neighbours of a column, each drawn as a Gaussian, on rings around it. Turning a
neighbourhood is a shift along the rings, so the same numbers compare with and without
regard to rotation. Lengths are in Å. What the features mean (grains, motifs) is not
decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns

Array = NDArray[np.float64]

RADIUS: Final = 5.0
"""Reach of a neighbourhood [Å].

A column 3 Å from a boundary must see columns of the other grain, one 8 Å from it none.
"""
SMEAR: Final = 0.45
"""Sigma of the Gaussian that stands for a neighbour [Å].

A neighbour displaced by d counts as 2 (1 - exp(-d² / 4 sigma²)) amiss: the usual error
of 0.1 Å as 0.02, 0.8 Å as 1.1, and at most 2.
"""
RING_STEP: Final = 0.5
N_RINGS: Final = round(RADIUS / RING_STEP)
N_ANGLES: Final = 60
"""6 degrees; 0.5 Å along the outermost ring, as between rings: 1.1 `SMEAR`."""
DARKEST: Final = 0.7
"""Logarithm of an intensity ratio at which contrast is cut off: no single column, an
artefact perhaps, may rule a neighbourhood."""
MARGIN: Final = 0.5
"""Columns this close to the edge of the image may be missed [Å]."""
CHUNK: Final = 200
"""Columns treated at a time, so that memory stays at some 20 MB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbourhoods:
    """What surrounds each column, on a grid of rings and angles.

    The grid's areas are folded in as square roots, and the Gaussians normalised, so
    that the sum of squares of one neighbour alone is 1.

    Attributes
    ----------
    positions : (n, 2) float array
        x to the right, y down [Å].
    density : (n, g) float array
        Neighbours, each 1; g = `N_RINGS` * `N_ANGLES`, angles running fastest, from x
        towards y.
    contrast : (n, g) float array
        Neighbours, each by its `brightness`.
    brightness : (n,) float array
        Logarithm of each column's intensity relative to those around it.
    seen : (n, g) float array
        1 where the image shows the place, 0 beyond its edges; density and contrast are
        0 there.
    """

    positions: Array
    density: Array
    contrast: Array
    brightness: Array
    seen: Array

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def seen_share(self) -> Array:
        """Share (n,) of each neighbourhood's area that the image shows."""
        return np.asarray(self.seen @ _areas() / _areas().sum())


def neighbourhoods(
    columns: Columns,
    pixel_size: float,
    crop: tuple[int, int, int, int] | None = None,
) -> Neighbourhoods:
    """Return the neighbourhoods of columns, as they lie in the image.

    Parameters
    ----------
    columns : Columns
        Positions (n, 2) in pixels.
    pixel_size : float
        [Å].
    crop : (int, int, int, int), optional
        What the columns were sought in: first row, end of rows, first column, end of
        columns [pixels]; by default the box around the columns.
    """
    positions = columns.positions * pixel_size
    low, high = positions.min(axis=0), positions.max(axis=0)
    if crop is not None:
        low = np.array([crop[2], crop[0]]) * pixel_size + MARGIN
        high = np.array([crop[3] - 1, crop[1] - 1]) * pixel_size - MARGIN
    first, second = _pairs(positions, RADIUS + 2.5 * SMEAR)
    brightness = _brightness(columns.intensities, first, second)
    grid, n = _grid(), len(positions)
    density, contrast = np.zeros((2, n, len(grid)))
    seen = np.zeros((n, len(grid)))
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        begin, end = np.searchsorted(first, (start, start + CHUNK))
        i, j = first[begin:end], second[begin:end]
        drawn = _drawn(positions[j] - positions[i], grid)
        _sum_by_row(density, i, drawn)
        _sum_by_row(contrast, i, drawn * brightness[j, None])
        places = positions[rows, None] + grid
        seen[rows] = ((places >= low) & (places <= high)).all(axis=2)
    return Neighbourhoods(
        positions=positions,
        density=density * seen,
        contrast=contrast * seen,
        brightness=brightness,
        seen=seen,
    )


def turned(feature: Array, steps: int) -> Array:
    """Turn features (..., g) by `steps` of the `N_ANGLES`, from x towards y."""
    rings = feature.reshape(*feature.shape[:-1], N_RINGS, N_ANGLES)
    return np.asarray(np.roll(rings, steps, axis=-1).reshape(feature.shape))


def centred(feature: Array, seen: Array) -> tuple[Array, Array]:
    """Average features (n, g) with their inversion through the column.

    The two columns of a dumbbell, or whatever an inversion exchanges, then look alike;
    what remains is how the crystal lies. Also halves what an edge of the image hides.
    """
    half = N_ANGLES // 2
    total = seen + turned(seen, half)
    both = feature + turned(feature, half)
    return both / np.maximum(total, 1.0), np.minimum(total, 1.0)


def rotation_invariant(feature: Array) -> Array:
    """Return what of features (..., g) does not change when the neighbourhood turns.

    Parameters
    ----------
    feature : (..., g) float array
        Wholly seen neighbourhoods: an edge of the image is not invariant.

    Returns
    -------
    (..., `N_RINGS` * (`N_ANGLES` // 2 + 1)) float array
        Amplitudes of the Fourier series along each ring; sums of squares are kept. The
        phases between rings are lost, and with them the difference from a mirror image.
    """
    rings = feature.reshape(*feature.shape[:-1], N_RINGS, N_ANGLES)
    amplitudes = np.abs(np.fft.rfft(rings, axis=-1)) / np.sqrt(N_ANGLES)
    amplitudes[..., 1 : (N_ANGLES + 1) // 2] *= np.sqrt(2.0)
    return np.asarray(amplitudes.reshape(*feature.shape[:-1], -1))


def amiss(feature: Array, seen: Array, reference: Array, known: Array) -> Array:
    """Return how many neighbours are amiss, compared with references.

    Parameters
    ----------
    feature, seen : (n, g) float array
        As in `Neighbourhoods`.
    reference, known : (n, g) or (g,) float array
        What is expected, and where (1) or where not (0) it is known.

    Returns
    -------
    (n,) float array
        1 for each one missing or too many, 2 for each in another place; extrapolated
        from what is seen to the whole neighbourhood, infinite where nothing is.
    """
    common = seen * known
    share = common @ _areas() / _areas().sum()
    total = np.sum((feature - reference) ** 2 * common, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(share > 0.1, total / share, np.inf))


def pairwise_amiss(feature: Array, seen: Array, other: Array, known: Array) -> Array:
    """Return how many neighbours are amiss between each two (n, m); see `amiss`.

    The features of both, (n, g) and (m, g), are 0 where not seen or known.
    """
    total = feature**2 @ known.T + seen @ (other**2).T - 2.0 * feature @ other.T
    share = (seen * _areas()) @ known.T / _areas().sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(share > 0.1, np.maximum(total, 0.0) / share, np.inf)
    return np.asarray(off)


def scores_along(
    feature: Array, seen: Array, models: NDArray[np.int64], n_components: int
) -> Array:
    """Return scores along principal components.

    Parameters
    ----------
    feature, seen : (n, g) float array
        As in `Neighbourhoods`.
    models : (m,) int array
        Those whose mean and components count.
    n_components : int

    Returns
    -------
    (n, n_components) float array
        Each fitted to what is seen of its neighbourhood.
    """
    total = np.maximum(seen[models].sum(axis=0), 1.0)
    mean = feature[models].sum(axis=0) / total
    deviation = (feature - mean) * seen
    # The small Gram matrix instead of the singular vectors of (n, g): 5 times faster.
    values, vectors = np.linalg.eigh(deviation[models] @ deviation[models].T)
    kept = slice(-1, -1 - n_components, -1)
    axes = vectors[:, kept].T @ deviation[models]
    axes /= np.sqrt(np.maximum(values[kept], 1e-12))[:, None]
    share = seen @ (axes**2).T
    return np.asarray((deviation @ axes.T) / np.maximum(share, 0.2))


def _radii() -> Array:
    return np.repeat(RING_STEP * (np.arange(N_RINGS) + 0.5), N_ANGLES)


def _areas() -> Array:
    return np.asarray(_radii() * RING_STEP * 2.0 * np.pi / N_ANGLES)


def _grid() -> Array:
    angles = np.tile(2.0 * np.pi / N_ANGLES * np.arange(N_ANGLES), N_RINGS)
    circle = np.column_stack((np.cos(angles), np.sin(angles)))
    return np.asarray(_radii()[:, None] * circle)


def _pairs(
    positions: Array, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return indices of all ordered pairs closer than a radius, by the first."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(positions).query_pairs(radius, output_type="ndarray")
    both = np.vstack((pairs, pairs[:, ::-1]))
    first, second = both[np.lexsort((both[:, 1], both[:, 0]))].T
    return first.astype(np.int64), second.astype(np.int64)


def _brightness(
    intensities: Array, first: NDArray[np.int64], second: NDArray[np.int64]
) -> Array:
    """Return log ratios (n,) to the mean around, so that thickness drops out."""
    floor = 1e-3 * float(np.median(intensities))
    logs = np.log(np.maximum(intensities, max(floor, 1e-300)))
    n = len(logs)
    total = logs + np.bincount(first, logs[second], n)
    mean = total / (1.0 + np.bincount(first, minlength=n))
    return np.asarray(np.clip(logs - mean, -DARKEST, DARKEST))


def _drawn(offsets: Array, grid: Array) -> Array:
    """Return the Gaussian of each neighbour (m, 2) on the grid (m, g)."""
    # |u - d|² by parts: a third of the time of the (m, g, 2) differences.
    cross = offsets @ grid.T
    squares = np.sum(offsets**2, axis=1)[:, None] + np.sum(grid**2, axis=1) - 2 * cross
    peaks = np.exp(squares / (-2.0 * SMEAR**2))
    return np.asarray(peaks * np.sqrt(_areas()) / (SMEAR * np.sqrt(np.pi)))


def _sum_by_row(target: Array, rows: NDArray[np.int64], values: Array) -> None:
    """Add values (m, g) to the rows of the target; `rows` is sorted."""
    if len(rows):
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        target[rows[starts]] += np.add.reduceat(values, starts, axis=0)
