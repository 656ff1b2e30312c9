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
    waves = _waves(patch.positions, f)
    basis = np.column_stack((waves.real, waves.imag, np.ones(len(waves))))
    design = basis * root[:, None]
    gram = design.T @ design
    coefficients = np.linalg.solve(gram, design.T @ (root * patch.values))
    halves = coefficients[:n] - 1j * coefficients[n : 2 * n]
    amplitudes = np.asarray(halves / 2, dtype=np.complex128)
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


def _waves(positions: Array, f: Array) -> ComplexArray:
    """Return exp(2 pi i f.r) at pixels of a grid, (m, n).

    A product of rows and columns of the grid: a tenth of the exponentials.
    """
    first = positions.min(axis=0)
    x, y = np.round(positions - first).astype(int).T
    along_x, along_y = (
        np.exp(2j * np.pi * np.outer(np.arange(i.max() + 1) + start, frequency))
        for i, start, frequency in zip((x, y), first, f.T, strict=True)
    )
    return np.asarray(along_x[x] * along_y[y], dtype=np.complex128)


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


def confidence_of(
    seen: SeenLattice, other: SeenLattice, shared_matrix: Array, shape: tuple[int, int]
) -> float:
    """Return 0 to 1: how clearly a patch shows its lattice and not the other grain's.

    Parameters
    ----------
    seen, other : SeenLattice
        The grain in question and the other one.
    shared_matrix : (2, 2) float array
        Map of both grains from the boundary frame [Å] to working pixels.
    shape : (int, int)
        Rows and columns of the view.

    Notes
    -----
    The product of: how much stronger the image is at the reflections than half-way
    between them (up to 0.7 in noise, where the search has found the best place; above
    0.99 in images of lattices); how well amplitudes and phases agree with the expected
    ones; how much less of the other grain's lattice there is; how well the map of both
    does for this grain; and how little its own map departs from it (up to 0.02 by
    drift; 0.1 and more where it follows noise).
    """
    power = float(np.sum(np.abs(seen.fit.amplitudes) ** 2))
    excess = (1 - power_between(seen) / power - 0.75) / 0.25
    fitting = (1 - seen.shared.unexplained) / (1 - seen.fit.unexplained)
    strain = np.abs(np.linalg.inv(shared_matrix) @ seen.matrix - np.eye(2)).max()
    likely = (0.08 - strain) / 0.05
    apart = _separation(seen, other, shape)
    factors = np.array([excess, _agreement(seen), apart, fitting, likely])
    return float(np.prod(np.clip(factors, 0, 1)))


def unit_waves(seen: SeenLattice, shape: tuple[int, int]) -> Array:
    """Return the fitted lattice continued over a view, with unit variance."""
    wave = waves_on_grid(
        seen.fit.amplitudes, seen.frequencies, seen.patch.centre, shape
    )
    return np.asarray(wave / wave.std())


def turn_between(upper: SeenLattice, lower: SeenLattice) -> float:
    """Return the misorientation beyond the given one, counterclockwise [degrees].

    Drift moves whole rows of a scan, so that it changes the map of a grain by a factor
    [[1, a], [0, b]] from the left: what is left of the first column is the turn.
    """
    return own_turn(upper.matrix, lower.matrix)


def own_turn(matrix: Array, frame_matrix: Array) -> float:
    """Return how much farther a map (2, 2) turns than another one [degrees]."""
    between = matrix @ np.linalg.inv(frame_matrix)
    return float(np.degrees(np.arctan2(-between[1, 0], between[0, 0])))


def _separation(seen: SeenLattice, other: SeenLattice, shape: tuple[int, int]) -> float:
    """Return 1 if the patch shows one lattice, 0 if it shows both alike."""
    x, y = np.round(seen.patch.positions + seen.patch.centre).astype(int).T
    own, foreign = (unit_waves(grain, shape)[y, x] for grain in (seen, other))
    weights = seen.patch.weights
    alike = (weights @ (own * foreign)) / (weights @ own**2)
    share = (weights * seen.patch.values) @ foreign
    share /= (weights * seen.patch.values) @ own
    # What the two lattices have in common says nothing.
    return float((1 - share) / max(1 - alike, 0.05))


def power_between(seen: SeenLattice) -> float:
    """Return the power of what the fit leaves half-way between its reflections."""
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
