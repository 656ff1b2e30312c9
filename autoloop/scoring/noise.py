"""The noise of a micrograph, and the scores that a perfect structure would have in it.

Noise is what the bulk of both grains leaves about its own average unit cell: the
crystal repeats, the noise does not. No simulation takes part, so that what a simulation
gets wrong in bulk shows apart, as misfit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.scoring.similarity import Similarity

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FINEST: Final = 1.3
"""Highest frequency that the average unit cell has [1/Å]. Beyond it a probe of 22 mrad
at 200 keV with the usual blur passes less than a twentieth."""
SLOW_LINES: Final = 11
"""Lines over which a shift that varies slowly is drift, not jitter."""
REACH: Final = 6
"""Lags up to which noise may be correlated [pixels]."""
N_DRAWS: Final = 20
N_DETECTED: Final = 5
"""Draws in which columns are looked for: detection costs a hundred times a score."""
PER_COEFFICIENT: Final = 12
"""Pixels for each coefficient of an average unit cell: patches of a grain are as small
as this allows, lest bent lattices pass for noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bulk:
    """Where one grain is perfect, and how it repeats there.

    Attributes
    ----------
    mask : (n_y, n_x) bool array
        Its bulk.
    cell_px : (2, 2) float array
        Projected primitive vectors as rows [pixels].
    pixel_size : float
        [Å].
    """

    mask: Mask
    cell_px: Array
    pixel_size: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseModel:
    """What the noise of a micrograph is like.

    Attributes
    ----------
    constant : float
        Variance where the intensity is 0 [intensity²].
    per_intensity : float
        What it grows by with the intensity; for counts 1 [intensity].
    jitter_px : float
        Standard deviation of the shifts of single lines [pixels].
    correlation : (2 REACH + 1, 2 REACH + 1) float array
        Of the noise at two pixels, by lag; 1 in the middle.
    """

    constant: float
    per_intensity: float
    jitter_px: float
    correlation: Array

    def sigma(self, intensity: Array) -> Array:
        """Return the standard deviation of the noise at these intensities."""
        variance = self.constant + self.per_intensity * np.maximum(intensity, 0.0)
        return np.sqrt(variance)

    def draw(self, image: Array, rng: np.random.Generator) -> Array:
        """Return an image (n_y, n_x) as this noise would show it."""
        shifts = rng.normal(0.0, 1.0, (len(image), 1)) * self.jitter_px
        slope = np.gradient(image, axis=1)
        # a line's shift is a fraction of a pixel, a column several pixels wide
        bent = image - shifts * slope + shifts**2 / 2 * np.gradient(slope, axis=1)
        white = rng.normal(0.0, 1.0, image.shape)
        return np.asarray(bent + self.sigma(bent) * self._coloured(white))

    def _coloured(self, white: Array) -> Array:
        from scipy.fft import irfft2, rfft2

        shape = white.shape
        kernel = np.zeros(shape)
        lags = np.arange(-REACH, REACH + 1)
        taper = 1 - np.abs(lags) / (REACH + 1)  # keeps the spectrum from going negative
        np.add.at(
            kernel,
            (lags[:, None] % shape[0], lags[None] % shape[1]),
            self.correlation * taper[:, None] * taper,
        )
        power = np.clip(rfft2(kernel, workers=1).real, 0.0, None)
        found = irfft2(rfft2(white, workers=1) * np.sqrt(power), s=shape, workers=1)
        return np.asarray(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """Scores of a structure with itself through the noise: as good as it can be.

    Medians over draws of the noise; each spread is a standard deviation over draws.

    Attributes
    ----------
    ssim, ssim_7, ssim_35, emd_angstrom_per_column, mse : float
        As in `autoloop.domain.Score`; None where it was not measured.
    ssim_spread, ssim_7_spread, ssim_35_spread, emd_spread, mse_spread : float
        Their spreads.
    ssim_bulk : float
        SSIM of the simulation with the micrograph over the bulk that was given.
    ssim_bulk_floor : float
        What noise alone would leave of it.
    noise : float
        Standard deviation of the noise at the mean intensity [intensity].
    jitter_px : float
        Of single lines [pixels].
    """

    ssim: float | None
    ssim_spread: float | None
    ssim_7: float | None
    ssim_7_spread: float | None
    ssim_35: float | None
    ssim_35_spread: float | None
    emd_angstrom_per_column: float | None
    emd_spread: float | None
    mse: float
    mse_spread: float
    ssim_bulk: float | None
    ssim_bulk_floor: float | None
    noise: float
    jitter_px: float

    @property
    def misfit(self) -> float | None:
        """SSIM that the imaging model loses in bulk, where the structure is known."""
        if self.ssim_bulk is None or self.ssim_bulk_floor is None:
            return None
        return self.ssim_bulk_floor - self.ssim_bulk


def fit_noise(measured: Array, grains: Sequence[Bulk]) -> NoiseModel:
    """Estimate noise and line jitter from how unit cells differ from their average.

    Parameters
    ----------
    measured : (n_y, n_x) float array
        Micrograph, fast scan along the rows.
    grains : sequence of Bulk
        At least one, with a mask of some hundreds of pixels and more.

    Raises
    ------
    ValueError
        If the masks hold too few pixels for the harmonics of a unit cell.

    Notes
    -----
    The average of a patch is a Fourier series in its grain's lattice, each coefficient
    linear in the place: contrast that changes slowly and lattices that bend are not
    noise. Shifts of lines follow from the residual along its slope; what varies over
    more than `SLOW_LINES` is drift. Noise is then the residual without them, its
    variance a straight line in the intensity.
    """
    average, residual = np.zeros_like(measured), np.zeros_like(measured)
    slope, mask = np.zeros_like(measured), np.zeros(measured.shape, bool)
    freedom = 0.0
    for grain in grains:
        for patch in _patches(grain):
            found, along_x, n_coefficients = _periodic_average(measured, patch)
            average[patch.mask], slope[patch.mask] = found, along_x
            freedom += n_coefficients
        mask |= grain.mask
    residual[mask] = (measured - average)[mask]
    share = 1.0 - freedom / np.count_nonzero(mask)
    residual /= np.sqrt(share)
    steps, weights = _line_shifts(residual, slope)
    residual = np.where(mask, residual + steps[:, None] * slope, 0.0)
    constant, per_intensity = _variance_line(average[mask], residual[mask])
    # a line's own shift is known to this error only
    sampling = float(np.mean(residual[mask] ** 2)) / np.maximum(weights, 1e-300)
    kept = weights > 0.1 * weights.max()
    fast = (steps - _smooth(steps, weights))[kept]
    # what is left of a variance without the mean of SLOW_LINES of them
    excess = float(np.mean(fast**2)) * SLOW_LINES / (SLOW_LINES - 1)
    jitter = np.sqrt(max(0.0, excess - float(np.mean(sampling[kept]))))
    sigma = np.sqrt(constant + per_intensity * np.maximum(average, 0.0))
    scaled = np.where(mask & (sigma > 0), residual / np.where(sigma > 0, sigma, 1), 0.0)
    return NoiseModel(
        constant=constant,
        per_intensity=per_intensity,
        jitter_px=float(jitter),
        correlation=_correlation(scaled, mask),
    )


def noise_figures(
    noise: NoiseModel,
    simulated: Array,
    measured: Array,
    views: Sequence[tuple[int, Mask]],
    bulk: tuple[int, Mask],
    region: Mask,
    data_range: float,
    emd: Callable[[Array], float],
    rng: np.random.Generator,
) -> NoiseFloor:
    """Score a simulation against itself as the noise would show it.

    Parameters
    ----------
    noise : NoiseModel
        Of the micrograph.
    simulated, measured : (n_y, n_x) float array
        The fitted simulation, on the scale of the micrograph; the micrograph.
    views : sequence of (int, (n_y, n_x) bool array)
        Window and mask of ssim, ssim_7 and ssim_35.
    bulk : (int, (n_y, n_x) bool array)
        Window and mask of the figures in bulk.
    region : (n_y, n_x) bool array
        Where the squared difference is taken.
    data_range : float
        Of SSIM; that of the micrograph.
    emd : callable
        From an image to the earth mover's distance of its columns from the candidate's.
    rng : Generator
        For the draws.
    """
    similarity = Similarity(simulated, (*views, bulk), data_range)
    shown = [noise.draw(simulated, rng) for _ in range(N_DRAWS)]
    rows = [similarity(image) for image in shown]
    medians, spreads = [], []
    for values in zip(*rows, strict=True):
        there = [value for value in values if value is not None]
        medians.append(float(np.median(there)) if there else None)
        spreads.append(float(np.std(there)) if there else None)
    errors = [float(np.mean((image - simulated)[region] ** 2)) for image in shown]
    distances = [emd(image) for image in shown[:N_DETECTED]]
    return NoiseFloor(
        ssim=medians[0],
        ssim_spread=spreads[0],
        ssim_7=medians[1],
        ssim_7_spread=spreads[1],
        ssim_35=medians[2],
        ssim_35_spread=spreads[2],
        emd_angstrom_per_column=float(np.median(distances)),
        emd_spread=float(np.std(distances)),
        mse=float(np.median(errors)),
        mse_spread=float(np.std(errors)),
        ssim_bulk=similarity(measured)[3],
        ssim_bulk_floor=medians[3],
        noise=float(noise.sigma(np.mean(simulated[region], keepdims=True))[0]),
        jitter_px=noise.jitter_px,
    )


def _patches(grain: Bulk) -> Iterator[Bulk]:
    """Cut a grain into patches side by side, each with pixels enough for an average."""
    waves = _harmonics(grain.cell_px, FINEST * grain.pixel_size)
    needed = PER_COEFFICIENT * _n_coefficients(waves)
    columns = np.flatnonzero(grain.mask.any(axis=0))
    n_patches = max(1, int(np.count_nonzero(grain.mask)) // needed)
    # about as many pixels each
    filled = np.cumsum(grain.mask.sum(axis=0)[columns])
    part = np.minimum(
        (filled - 1) * n_patches // max(1, int(filled[-1])), n_patches - 1
    )
    for k in range(n_patches):
        mask = np.zeros_like(grain.mask)
        mask[:, columns[part == k]] = grain.mask[:, columns[part == k]]
        yield replace(grain, mask=mask)


def _n_coefficients(waves: Array) -> int:
    return 3 * (2 * len(waves) + 1)


def _periodic_average(measured: Array, patch: Bulk) -> tuple[Array, Array, int]:
    """Return the average unit cell over the mask of a patch.

    Returns
    -------
    average, slope : (n,) float array
        At the pixels of the mask, in their order; the slope along x [1/pixel].
    n_coefficients : int
        That were fitted.
    """
    rows, columns = np.nonzero(patch.mask)
    points = np.column_stack((columns, rows)).astype(float)
    waves = _harmonics(patch.cell_px, FINEST * patch.pixel_size)
    n = _n_coefficients(waves)
    if len(points) < 4 * n:
        raise ValueError(
            f"{len(points)} pixels of bulk are too few for an average unit cell with "
            f"{n} coefficients"
        )
    middle, half = points.mean(axis=0), np.maximum(np.ptp(points, axis=0) / 2, 1.0)
    phase = 2 * np.pi * points @ waves.T
    cos, sin = np.cos(phase), np.sin(phase)
    one, turn = np.ones((len(points), 1)), 2 * np.pi * waves[:, 0]
    plane = np.hstack((one, (points - middle) / half))

    def design(*parts: Array) -> Array:
        basis = np.hstack(parts)
        return (plane[:, :, None] * basis[:, None]).reshape(len(points), n)

    waves_here = design(one, cos, sin)
    normal, right = waves_here.T @ waves_here, waves_here.T @ measured[patch.mask]
    coefficients = np.linalg.lstsq(normal, right, rcond=1e-10)[0]
    slope = design(0 * one, -turn * sin, turn * cos) @ coefficients
    return waves_here @ coefficients, slope, n


def _harmonics(cell_px: Array, finest: float) -> Array:
    """Return reciprocal vectors (k, 2) up to `finest` [1/pixel], one of each pair."""
    reciprocal = np.linalg.inv(cell_px).T
    reach = np.arange(-12, 13)
    orders = np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
    first = (orders[:, 0] > 0) | ((orders[:, 0] == 0) & (orders[:, 1] > 0))
    waves = orders[first] @ reciprocal
    return np.asarray(waves[np.linalg.norm(waves, axis=1) <= finest])


def _line_shifts(residual: Array, slope: Array) -> tuple[Array, Array]:
    """Return the shift of each line [pixels], and the sum of its squared slopes."""
    weights = np.sum(slope**2, axis=1)
    push = -np.sum(residual * slope, axis=1)
    return push / np.maximum(weights, 1e-300), weights


def _smooth(steps: Array, weights: Array) -> Array:
    """Return the weighted running mean over `SLOW_LINES` lines."""
    window = np.ones(SLOW_LINES)
    total = np.convolve(weights, window, "same")
    return np.asarray(
        np.convolve(weights * steps, window, "same") / np.maximum(total, 1e-300)
    )


def _variance_line(average: Array, residual: Array) -> tuple[float, float]:
    """Return the variance of the noise at intensity 0, and what it grows by.

    Over tenths of the pixels by intensity; neither part can be negative.
    """
    edges = np.quantile(average, np.linspace(0, 1, 11))
    part = np.clip(np.searchsorted(edges, average, side="right") - 1, 0, 9)
    count = np.maximum(np.bincount(part, minlength=10), 1)
    level = np.bincount(part, average, 10) / count
    variance = np.bincount(part, residual**2, 10) / count
    from scipy.optimize import nnls

    scale = float(np.max(np.abs(level))) or 1.0
    variance = np.maximum(variance, 1e-12 * max(float(variance.max()), 1e-300))
    design = np.column_stack((np.ones(10), np.maximum(level, 0.0) / scale))
    found, _ = nnls(design / variance[:, None], np.ones(10))
    return float(found[0]), float(found[1] / scale)


def _correlation(scaled: Array, mask: Mask) -> Array:
    """Return the correlation of a residual of variance 1, by lag up to `REACH`."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    shape = tuple(next_fast_len(n + REACH, real=True) for n in scaled.shape)

    def products(values: Array) -> Array:
        power = np.abs(rfft2(values, shape, workers=1)) ** 2
        full = irfft2(power, s=shape, workers=1)
        lags = np.arange(-REACH, REACH + 1)
        return np.asarray(full[lags[:, None], lags[None]])

    found = products(scaled) / np.maximum(products(mask.astype(float)), 1.0)
    middle = float(found[REACH, REACH])
    return found / middle if middle > 0 else np.asarray(found)
