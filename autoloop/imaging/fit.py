"""The imaging fit: blur, gain and background, once for a micrograph.

The fit takes both grains' bulk, where the structure is known. Each grain has a gain of
its own, a plane over the image: thickness and tilt, and with tilt channelling, differ
between grains and change slowly within them. The background, of carbon for instance,
knows no grains and is a smooth surface over both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.errors import DataError
from autoloop.imaging.convolution import ColumnImager

Array = NDArray[np.float64]

BLUR_RANGE: Final = (0.05, 1.5)
"""Bounds of the blur [Å]: sharper than any source, and wider than a resolved column."""

BLUR_TOLERANCE: Final = 1e-3
"""To which the blur is found [Å]; a tenth of it changes no image visibly."""

MIN_PIXELS: Final = 100
"""Fewest pixels that a dozen coefficients and a blur may be fitted to."""

BLEND: Final = 4.0
"""Distance from the boundary within which one grain's gain gives way to the other's
[Å]: about what the core of a boundary takes."""

N_GAIN: Final = 6
"""Coefficients of the gain: 1, u, v for each grain."""

N_BACKGROUND: Final = 6
"""Coefficients of the background: 1, u, v, u², u v, v²."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImagingParameters:
    """How intensities of the simulation become those of the micrograph.

    measured = g(u, v) simulated + b(u, v), with (u, v) the smooth normalised
    coordinates that the fit was given: b0 + b1 u + b2 v + b3 u² + b4 u v + b5 v² and,
    for each grain, g0 + g1 u + g2 v. Around v = 0 one gain gives way to the other.

    Attributes
    ----------
    blur_sigma : float
        Gaussian blur, standard deviation along each axis [Å].
    gain : (2, 3) float array
        g of the upper and the lower grain [measured intensity per simulated].
    background : (6,) float array
        b [measured intensity].
    blend : float
        |v| within which neither grain's gain holds alone.
    rms : float
        Root mean square of what the fit leaves [measured intensity].
    """

    blur_sigma: float
    gain: Array
    background: Array
    blend: float
    rms: float

    def __post_init__(self) -> None:
        for name, shape in (("gain", (2, 3)), ("background", (N_BACKGROUND,))):
            array = np.array(getattr(self, name), float)
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not self.blend > 0:
            raise ValueError(f"blend must be > 0, got {self.blend}")


def fit_imaging(
    measured: Array,
    mask: NDArray[np.bool_],
    make_imager: Callable[[float], ColumnImager],
    columns: Columns,
    coordinates: Array,
    blend: float,
) -> ImagingParameters:
    """Fit blur, gain and background to a micrograph.

    Parameters
    ----------
    measured : (n_y, n_x) float array
        Micrograph.
    mask : (n_y, n_x) bool array
        Pixels to fit: the bulk of both grains.
    make_imager : callable
        From a blur [Å] to an imager of the grid of `measured`.
    columns : Columns
        The known columns of both grains [pixels of the whole image].
    coordinates : (n_y, n_x, 2) float array
        u along the boundary and v across it, each about -1 to 1; v is positive in the
        upper grain.
    blend : float
        |v| within which one grain's gain gives way to the other's.

    Raises
    ------
    DataError
        If the mask holds too few pixels, or the micrograph gets darker where columns
        are.

    Notes
    -----
    A bounded search over the blur; at each blur all coefficients follow from linear
    least squares. A blur at a bound of `BLUR_RANGE` says that the bound decided.

    One gain for both grains and a plane as background, six numbers less, are taken
    unless the micrograph calls for more by the Bayesian information criterion, with a
    column for one observation: pixels of one column err together. What the core looks
    like is extrapolated from the bulk, and numbers that are not needed extrapolate
    badly.
    """
    n_pixels = np.count_nonzero(mask)
    if n_pixels < MIN_PIXELS:
        raise DataError(
            f"imaging fit: {n_pixels} pixels of bulk are too few, "
            f"{MIN_PIXELS} are needed; take a larger crop"
        )
    gains, backgrounds = _terms(coordinates[mask], blend)
    target = measured[mask]

    def simulated(blur_sigma: float) -> Array:
        return make_imager(blur_sigma).image(columns)[mask]

    blur = _best_blur(simulated, target, gains, backgrounds)
    seen = simulated(blur)
    mean_square, coefficients = _least_squares(seen, target, gains, backgrounds)
    shared = gains[:3] + gains[3:], backgrounds[:3]
    n = max(2.0, _n_columns(columns) * n_pixels / mask.size)
    plain = _least_squares(seen, target, *shared)[0]
    if n * np.log(plain / mean_square) < (N_GAIN + N_BACKGROUND - 6) * np.log(n):
        blur = _best_blur(simulated, target, *shared)
        mean_square, few = _least_squares(simulated(blur), target, *shared)
        coefficients = np.concatenate((few[:3], few, np.zeros(N_BACKGROUND - 3)))
    gain = coefficients[:N_GAIN].reshape(2, 3)
    _refuse_dark(gain, gains)
    return ImagingParameters(
        blur_sigma=blur,
        gain=gain,
        background=coefficients[N_GAIN:],
        blend=blend,
        rms=float(np.sqrt(mean_square)),
    )


def apply(parameters: ImagingParameters, simulated: Array, coordinates: Array) -> Array:
    """Return simulated intensities (n_y, n_x) on the scale of the micrograph.

    `simulated` must come from an imager with the blur of `parameters`.
    """
    gain, background = intensity_maps(parameters, coordinates)
    return gain * simulated + background


def intensity_maps(
    parameters: ImagingParameters, coordinates: Array
) -> tuple[Array, Array]:
    """Return gain and background (n_y, n_x) at the pixels with these coordinates.

    For those who apply one fit to many simulations.
    """
    gains, backgrounds = _terms(coordinates, parameters.blend)
    return (
        np.tensordot(parameters.gain.ravel(), gains, 1),
        np.tensordot(parameters.background, backgrounds, 1),
    )


def grain_share(v: Array, blend: float) -> Array:
    """Return 1 where v > blend, 0 where v < -blend, smooth between."""
    t = np.clip(0.5 + v / (2 * blend), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _best_blur(
    simulated: Callable[[float], Array],
    target: Array,
    gains: Array,
    backgrounds: Array,
) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda blur: _least_squares(simulated(blur), target, gains, backgrounds)[0],
        bounds=BLUR_RANGE,
        method="bounded",
        options={"xatol": BLUR_TOLERANCE},
    )
    return float(found.x)


def _n_columns(columns: Columns) -> int:
    """Return how many columns there are; atoms within a pixel count as one."""
    return len(np.unique(np.round(columns.positions), axis=0))


def _refuse_dark(gain: Array, terms: Array) -> None:
    """Refuse a grain that is dark where its columns should be."""
    for name, own, part in zip(
        ("upper", "lower"), gain, terms.reshape(2, 3, -1), strict=True
    ):
        mean = float(own @ part.mean(axis=1))
        if part.any() and not mean > 0:
            raise DataError(
                f"imaging fit: the gain {mean:.3g} of the {name} grain is not "
                "positive, the micrograph is not bright where the grain should have "
                "columns; check the orientation and the boundary, and that it is a "
                "dark-field image"
            )


def _terms(coordinates: Array, blend: float) -> tuple[Array, Array]:
    """Return what the coefficients of gain (6, ...) and background multiply."""
    u, v = np.moveaxis(coordinates, -1, 0)
    plane = np.stack((np.ones_like(u), u, v))
    upper = plane * grain_share(v, blend)
    curved = np.stack((u * u, u * v, v * v))
    return np.concatenate((upper, plane - upper)), np.concatenate((plane, curved))


def _least_squares(
    simulated: Array, target: Array, gains: Array, backgrounds: Array
) -> tuple[float, Array]:
    """Return the mean squared residual and the coefficients of gain and background."""
    design = np.concatenate((gains * simulated, backgrounds))
    # unit rows: the two halves have different units
    scale = np.linalg.norm(design, axis=1)
    scale[scale == 0] = 1.0
    design /= scale[:, None]
    solution, *_ = np.linalg.lstsq(design @ design.T, design @ target, rcond=None)
    residual = target - solution @ design
    return float(np.mean(residual**2)), np.asarray(solution / scale)
