"""Fitted imaging parameters in terms that have a meaning, with their uncertainties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number and its standard uncertainty, in one unit."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.2g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Averages:
    """What parameters mean on average over the bulk of each grain, upper first.

    Attributes
    ----------
    affine : two (3, n) float arrays
        Of n coefficients of a displacement: its value at the middle of the grain, and
        its slopes along x and y [1/pixel].
    plane : two (3,) float arrays
        Means of 1, u and v, which the gains multiply.
    to_angstrom : (2, 2) float array
        From pixels to Å in the boundary frame.
    dimmed : bool
        Whether the last parameter is the dimming of the core.
    """

    affine: tuple[Array, Array]
    plane: tuple[Array, Array]
    to_angstrom: Array
    dimmed: bool


def summary(
    values: Array, covariance: Array, averages: Averages, line_shifts: Array
) -> dict[str, Estimate]:
    """Return what a refit found, by name.

    Parameters
    ----------
    values : (k,) float array
        Displacement along x, along y [pixels], blurs [Å], three gains of either grain,
        background and perhaps the dimming.
    covariance : (k, k) float array
        Of `values`.
    averages : Averages
        What they mean.
    line_shifts : (n_y,) float array
        [pixels].

    Returns
    -------
    dict
        For ``upper`` and ``lower``, each on average over the grain's pixels, and
        against the placement that the fit began with: ``.shift_x``, ``.shift_y``
        [pixels]; relative change of ``.pixel_size``; ``.rotation_deg``,
        counterclockwise as seen; ``.stretch``, half of what x is stretched against y;
        ``.shear``, half of the change of the angle between them; and ``.blur`` [Å],
        ``.gain``. Then ``gain_ratio``, upper over lower: thickness times channelling;
        ``background`` at the middle; ``line_jitter``, rms of single lines [pixels]; and
        ``core_gain``, the contrast of an atom at the boundary over that of one in the
        bulk.
    """
    n = averages.affine[0].shape[1]
    found: dict[str, Estimate] = {}

    def add(name: str, function: Callable[[Array], float]) -> None:
        found[name] = _propagated(function, values, covariance)

    for grain, name in enumerate(("upper", "lower")):
        for part, function in _geometry(averages.affine[grain]).items():
            add(f"{name}.{part}", function)
        add(f"{name}.blur", lambda p, i=2 * n + grain: float(p[i]))  # type: ignore[misc]
        add(f"{name}.gain", lambda p, g=grain: gain_of(p, averages, g))  # type: ignore[misc]
    for axis, name in enumerate("xy"):
        add(f"offset_{name}", lambda p, a=axis: float(_offset(p, averages)[a]))  # type: ignore[misc]
    add("gain_ratio", lambda p: gain_of(p, averages, 0) / gain_of(p, averages, 1))
    add("background", lambda p: float(p[2 * n + 8]))
    if averages.dimmed:
        at_core = 2 * n + 2
        add(
            "core_gain",
            lambda p: float(1 + 2 * p[-1] / (p[at_core] + p[at_core + 3])),
        )
    jitter = float(np.sqrt(np.mean(line_shifts**2)))
    error = jitter / np.sqrt(2 * max(1, len(line_shifts)))
    found["line_jitter"] = Estimate(value=jitter, error=float(error))
    return found


def _geometry(affine: Array) -> dict[str, Callable[[Array], float]]:
    n = affine.shape[1]

    def of(p: Array) -> Array:
        return np.asarray(affine @ p[: 2 * n].reshape(2, n).T)  # rows 1, x, y

    return {
        "shift_x": lambda p: float(of(p)[0, 0]),
        "shift_y": lambda p: float(of(p)[0, 1]),
        "pixel_size": lambda p: -float(of(p)[1, 0] + of(p)[2, 1]) / 2,
        "rotation_deg": lambda p: float(np.degrees(of(p)[2, 0] - of(p)[1, 1])) / 2,
        "stretch": lambda p: float(of(p)[1, 0] - of(p)[2, 1]) / 2,
        "shear": lambda p: float(of(p)[2, 0] + of(p)[1, 1]) / 2,
    }


def _offset(values: Array, averages: Averages) -> Array:
    n = averages.affine[0].shape[1]
    upper, lower = (
        rows[0] @ values[: 2 * n].reshape(2, n).T for rows in averages.affine
    )
    return np.asarray(averages.to_angstrom @ (upper - lower))


def gain_of(values: Array, averages: Averages, grain: int) -> float:
    """Return the mean gain of the upper (0) or the lower grain (1)."""
    first = 2 * averages.affine[0].shape[1] + 2 + 3 * grain
    return float(values[first : first + 3] @ averages.plane[grain])


def _propagated(
    function: Callable[[Array], float], values: Array, covariance: Array
) -> Estimate:
    """Return a function of parameters with its uncertainty, to first order."""
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    slope = np.zeros_like(values)
    for i in np.flatnonzero(sigma > 0):
        ahead, behind = values.copy(), values.copy()
        ahead[i] += sigma[i] * 1e-3
        behind[i] -= sigma[i] * 1e-3
        slope[i] = (function(ahead) - function(behind)) / (ahead[i] - behind[i])
    variance = float(slope @ covariance @ slope)
    return Estimate(value=function(values), error=float(np.sqrt(max(variance, 0.0))))
