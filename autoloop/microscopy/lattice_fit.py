"""Least squares of a grain's reflections on the pixels that show it.

Frequencies f [1/pixel] are those of the image; an amplitude c at f means
2 Re(c exp(2 pi i f.r)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoloop.microscopy.reflections import (
    Array,
    ComplexArray,
    Reflections,
    lattice_origin,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """The pixels of an image on which one grain is fitted.

    Attributes
    ----------
    values : (m,) float array
        Intensities, background removed.
    positions : (m, 2) float array
        x and y relative to the patch's centre [pixels].
    weights : (m,) float array
        0 to 1.
    centre : (2,) float array
        Weighted mean position in the image [pixels].
    """

    values: Array
    positions: Array
    weights: Array
    centre: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Least-squares amplitudes of one grain's reflections on a patch.

    Attributes
    ----------
    amplitudes : (n,) complex array
        Measured amplitudes, phases relative to the patch's centre.
    residual : (m,) float array
        What the fit leaves.
    unexplained : float
        Weighted share of the variance that the fit leaves.
    curvature : (k, k) float array
        Gauss-Newton matrix of the parameters that the frequencies depend on.
    slope : (k,) float array
        Right-hand side to it.
    """

    amplitudes: ComplexArray
    residual: Array
    unexplained: float
    curvature: Array
    slope: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenLattice:
    """One grain as fitted.

    Attributes
    ----------
    reflections : Reflections
        What is expected.
    patch : Patch
        Where it was fitted.
    matrix : (2, 2) float array
        Its own map from the boundary frame [Å] to working pixels.
    fit : Fit
        With its own map.
    shared : Fit
        With the frame of both.
    """

    reflections: Reflections
    patch: Patch
    matrix: Array
    fit: Fit
    shared: Fit

    @property
    def frequencies(self) -> Array:
        """(n, 2) places of its reflections in the view [1/pixel]."""
        return np.asarray(self.reflections.g @ np.linalg.inv(self.matrix))


def fit_reflections(patch: Patch, f: Array, derivatives: Array) -> Fit:
    """Fit amplitudes at frequencies, and say how other frequencies would help.

    Parameters
    ----------
    patch : Patch
        The pixels.
    f : (n, 2) float array
        Frequencies [1/pixel].
    derivatives : (k, n, 2) float array
        Of the frequencies by the parameters that they depend on.
    """
    n = len(f)
    root = np.sqrt(patch.weights)
    waves = np.exp(2j * np.pi * (patch.positions @ f.T))
    basis = np.column_stack((waves.real, waves.imag, np.ones(len(waves))))
    design = basis * root[:, None]
    gram = design.T @ design
    coefficients = np.linalg.solve(gram, design.T @ (root * patch.values))
    amplitudes = (coefficients[:n] - 1j * coefficients[n : 2 * n]) / 2
    residual = patch.values - basis @ coefficients
    # The derivative of 2 Re(c exp(2 pi i f.r)) is Re(4 pi i c (df.r) exp(2 pi i f.r)).
    waves *= 4j * np.pi * amplitudes
    change = np.column_stack(
        [root * np.sum((waves @ d) * patch.positions, axis=1).real for d in derivatives]
    )
    # The amplitudes follow every change of the frequencies.
    change -= design @ np.linalg.solve(gram, design.T @ change)
    left = float(patch.weights @ residual**2)
    variance = left / float(patch.weights.sum())
    mean = patch.weights @ patch.values / patch.weights.sum()
    return Fit(
        amplitudes=amplitudes,
        residual=residual,
        unexplained=left / float(patch.weights @ (patch.values - mean) ** 2),
        curvature=change.T @ change / variance,
        slope=change.T @ (root * residual) / variance,
    )


def fit_lattice(patch: Patch, g: Array, matrix: Array) -> tuple[Array, Fit]:
    """Fit the lattice of one grain, free to be strained as the scan strained it.

    Parameters
    ----------
    patch : Patch
        The pixels.
    g : (n, 2) float array
        Reflections [1/Å].
    matrix : (2, 2) float array
        First guess of the map from the boundary frame [Å] to pixels.

    Returns
    -------
    matrix : (2, 2) float array
        The map that fits best.
    fit : Fit
        Amplitudes with it.
    """
    inverse = np.linalg.inv(matrix)
    unit = np.eye(4).reshape(4, 2, 2)
    fit = fit_reflections(patch, g @ inverse, g @ unit)
    for _ in range(6):
        change = np.linalg.solve(fit.curvature, fit.slope).reshape(2, 2)
        inverse = inverse + change
        fit = fit_reflections(patch, g @ inverse, g @ unit)
        if np.abs(change).max() < 1e-5 * np.abs(inverse).max():
            break
    return np.linalg.inv(inverse), fit


def waves_on_grid(
    amplitudes: ComplexArray, f: Array, centre: Array, shape: tuple[int, int]
) -> Array:
    """Sum waves with phases relative to `centre` on every pixel of a grid (n_y, n_x).

    The same as point by point, but a product of rows and columns.
    """
    along_y = np.exp(2j * np.pi * np.outer(np.arange(shape[0]) - centre[1], f[:, 1]))
    along_x = np.exp(2j * np.pi * np.outer(f[:, 0], np.arange(shape[1]) - centre[0]))
    return np.asarray(2 * ((along_y * amplitudes) @ along_x).real)


def confidence_of(seen: SeenLattice) -> float:
    """Return 0 to 1: how clearly the patch shows this lattice and no other.

    The product of how much stronger the image is at the reflections than between them,
    how well amplitudes and phases agree with the expected ones, and how well the frame
    of both grains does compared with this grain's own map.
    """
    power = float(np.sum(np.abs(seen.fit.amplitudes) ** 2))
    excess = max(0.0, 1 - _power_between(seen) / power)
    fitting = (1 - seen.shared.unexplained) / (1 - seen.fit.unexplained)
    return float(excess * _agreement(seen) * np.clip(fitting, 0, 1))


def _power_between(seen: SeenLattice) -> float:
    """Power of what the fit leaves, at as many places half-way between reflections."""
    reciprocal = np.linalg.inv(seen.reflections.cell).T
    weighted = seen.fit.residual * seen.patch.weights / seen.patch.weights.sum()
    power = 0.0
    for half in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        g = seen.reflections.g + np.array(half) @ reciprocal
        f = g @ np.linalg.inv(seen.matrix)
        waves = np.exp(-2j * np.pi * (seen.patch.positions @ f.T))
        power += float(np.sum(np.abs(weighted @ waves) ** 2)) / 3
    return power


def _agreement(seen: SeenLattice) -> float:
    """Correlation of measured with expected amplitudes at the best origin."""
    expected, measured = seen.reflections.amplitudes, seen.fit.amplitudes
    origin = lattice_origin(seen.reflections, measured)
    shifted = measured * np.exp(2j * np.pi * (seen.reflections.g @ origin))
    norms = np.linalg.norm(measured) * np.linalg.norm(expected)
    return max(0.0, float(np.vdot(expected, shifted).real / norms))
