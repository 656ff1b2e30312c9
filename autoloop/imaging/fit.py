"""The imaging fit: blur, gain and background, once for a micrograph.

The fit takes both grains' bulk, where the structure is known. Gain and background are
planes over the image, because contrast and thickness differ between the grains.
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
"""Fewest pixels that six coefficients and a blur may be fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImagingParameters:
    """How intensities of the simulation become those of the micrograph.

    measured = (g0 + g1 u + g2 v) simulated + (b0 + b1 u + b2 v), with (u, v) the smooth
    normalised coordinates that the fit was given.

    Attributes
    ----------
    blur_sigma : float
        Gaussian blur, standard deviation along each axis [Å].
    gain : (3,) float array
        g [measured intensity per simulated].
    background : (3,) float array
        b [measured intensity].
    rms : float
        Root mean square of what the fit leaves [measured intensity].
    """

    blur_sigma: float
    gain: Array
    background: Array
    rms: float

    def __post_init__(self) -> None:
        for name in ("gain", "background"):
            array = np.array(getattr(self, name), float)
            if array.shape != (3,):
                raise ValueError(f"{name} must have shape (3,), got {array.shape}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)


def fit_imaging(
    measured: Array,
    mask: NDArray[np.bool_],
    make_imager: Callable[[float], ColumnImager],
    columns: Columns,
    coordinates: Array,
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
        u along the boundary and v across it, each about -1 to 1.

    Raises
    ------
    DataError
        If the mask holds too few pixels, or the micrograph gets darker where columns
        are.

    Notes
    -----
    A bounded search over the blur; at each blur the six coefficients follow from linear
    least squares. A blur at a bound of `BLUR_RANGE` says that the bound decided.
    """
    from scipy.optimize import minimize_scalar

    if np.count_nonzero(mask) < MIN_PIXELS:
        raise DataError(
            f"imaging fit: {np.count_nonzero(mask)} pixels of bulk are too few, "
            f"{MIN_PIXELS} are needed; take a larger crop"
        )
    target = measured[mask]
    plane = _plane(coordinates[mask])

    def solve(blur_sigma: float) -> tuple[float, Array]:
        simulated = make_imager(blur_sigma).image(columns)[mask]
        return _least_squares(simulated, target, plane)

    found = minimize_scalar(
        lambda blur_sigma: solve(blur_sigma)[0],
        bounds=BLUR_RANGE,
        method="bounded",
        options={"xatol": BLUR_TOLERANCE},
    )
    mean_square, coefficients = solve(float(found.x))
    if not coefficients[0] > 0:
        raise DataError(
            f"imaging fit: gain {coefficients[0]:.3g} is not positive, the micrograph "
            "is not bright where the grains should have columns; check the orientation "
            "and the boundary, and that it is a dark-field image"
        )
    return ImagingParameters(
        blur_sigma=float(found.x),
        gain=coefficients[:3],
        background=coefficients[3:],
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
    plane = _plane(coordinates)
    return plane @ parameters.gain, plane @ parameters.background


def _plane(coordinates: Array) -> Array:
    """Return (..., 3) values of 1, u and v."""
    one = np.ones((*coordinates.shape[:-1], 1))
    return np.concatenate((one, coordinates), axis=-1)


def _least_squares(
    simulated: Array, target: Array, plane: Array
) -> tuple[float, Array]:
    """Return the mean squared residual and (6,) coefficients of gain and background."""
    design = np.concatenate((plane * simulated[:, None], plane), axis=1)
    # unit columns: the two halves have different units
    scale = np.linalg.norm(design, axis=0)
    scale[scale == 0] = 1.0
    solution, *_ = np.linalg.lstsq(design / scale, target, rcond=None)
    coefficients = solution / scale
    residual = target - design @ coefficients
    return float(np.mean(residual**2)), np.asarray(coefficients)
