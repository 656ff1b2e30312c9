"""Fitting many round Gaussians to an image at once.

Each is fitted on the pixels about its centre while the others are subtracted, so that
overlapping ones do not pull each other. Which of them are columns is decided in
`autoloop.microscopy.columns`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOW: Final = 2.2
"""Radius of the disc of pixels that a Gaussian is fitted to, in sigma."""
DAMPING: Final = 1e-3
"""Of the normal equations, relative to their diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussians:
    """Round Gaussians, n of them, each on a constant background of its own.

    Attributes
    ----------
    parameters : (n, 5) float array
        Height, x, y, sigma, background; pixels and units of the image.
    """

    parameters: Array

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def positions(self) -> Array:
        """Centres (n, 2) as x and y [pixels]."""
        return self.parameters[:, 1:3]

    @property
    def heights(self) -> Array:
        """Heights (n,)."""
        return self.parameters[:, 0]

    @property
    def widths(self) -> Array:
        """Sigmas (n,) [pixels]."""
        return self.parameters[:, 3]

    def with_width(self, width: float) -> Gaussians:
        """Return the same Gaussians, all of one width [pixels]."""
        parameters = self.parameters.copy()
        parameters[:, 3] = width
        return Gaussians(parameters=parameters)

    def joined(self, other: Gaussians) -> Gaussians:
        """Return these Gaussians and others after them."""
        return Gaussians(parameters=np.vstack((self.parameters, other.parameters)))

    def chosen(self, keep: NDArray[np.bool_]) -> Gaussians:
        """Return those that a mask (n,) keeps."""
        return Gaussians(parameters=self.parameters[keep])


def refined(values: Array, fit: Gaussians, n_fixed: int, n_free: int = 0) -> Gaussians:
    """Fit all Gaussians at once, `n_fixed` rounds with the widths as given first."""
    for i in range(n_fixed + n_free):
        fit = _improved(values, fit, free_width=i >= n_fixed)
    return fit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """The pixels about each Gaussian, p x p of them, as the fit sees them.

    Attributes
    ----------
    dx : (n, 1, p) float array
    dy : (n, p, 1) float array
        Distance from the centre [pixels].
    shape : (n, p, p) float array
        Gaussian of unit height.
    misfit : (n, p, p) float array
        Image less all Gaussians and the background of this one.
    weight : (n, p, p) bool array
        Pixels that count: on the image, within `WINDOW` sigma of the centre.
    """

    dx: Array
    dy: Array
    shape: Array
    misfit: Array
    weight: NDArray[np.bool_]


def patches_of(values: Array, fit: Gaussians) -> Patches:
    """Return what an image (n_y, n_x) leaves about each Gaussian."""
    height, x, y, width, background = fit.parameters.T
    reach = WINDOW * float(np.median(width))
    radius = max(2, math.ceil(reach))
    grid = np.arange(-radius, radius + 1)
    rows = np.round(y).astype(np.int64)[:, None] + grid
    cols = np.round(x).astype(np.int64)[:, None] + grid
    dy = (rows - y[:, None])[:, :, None]
    dx = (cols - x[:, None])[:, None, :]
    sharpness = -0.5 / width[:, None, None] ** 2
    shape = np.exp(sharpness * dy**2) * np.exp(sharpness * dx**2)
    index, inside = _indices(rows, cols, values.shape)
    drawn = height[:, None, None] * shape
    total = np.bincount(index[inside], drawn[inside], values.size)
    misfit = (values.ravel() - total)[index] - background[:, None, None]
    weight = inside & (dx**2 + dy**2 <= reach**2)
    return Patches(dx=dx, dy=dy, shape=shape, misfit=misfit, weight=weight)


def _indices(
    rows: NDArray[np.int64], cols: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return flat indices of the patches (n, p, p), and which lie in the image."""
    inside = ((rows >= 0) & (rows < shape[0]))[:, :, None] & (
        (cols >= 0) & (cols < shape[1])
    )[:, None, :]
    rows = np.clip(rows, 0, shape[0] - 1)
    cols = np.clip(cols, 0, shape[1] - 1)
    return rows[:, :, None] * shape[1] + cols[:, None, :], inside


def _improved(values: Array, fit: Gaussians, *, free_width: bool) -> Gaussians:
    """Return the Gaussians after one damped Gauss-Newton step."""
    patches = patches_of(values, fit)
    height, width = fit.heights[:, None, None], fit.widths[:, None, None]
    slope = height * patches.shape / width**2
    terms = [patches.shape, slope * patches.dx, slope * patches.dy]
    if free_width:
        terms.append(slope * (patches.dx**2 + patches.dy**2) / width)
    step = solved(patches, [*terms, np.ones_like(slope)])
    if not free_width:
        step = np.insert(step, 3, 0.0, axis=1)
    typical = float(np.median(fit.widths))
    step[:, 1:4] = np.clip(step[:, 1:4], -0.5 * typical, 0.5 * typical)
    parameters = fit.parameters + step
    parameters[:, 3] = np.clip(parameters[:, 3], 0.5 * typical, 2.0 * typical)
    return Gaussians(parameters=parameters)


def solved(patches: Patches, terms: list[Array]) -> Array:
    """Return the coefficients (n, k) of the k terms that explain the misfit best."""
    n = len(patches.weight)
    jacobian = np.stack(terms, axis=1).reshape(n, len(terms), -1)
    weighted = jacobian * patches.weight.reshape(n, 1, -1)
    normal = weighted @ jacobian.transpose(0, 2, 1)
    diagonal = np.einsum("nii->ni", normal)
    # The second term keeps the matrix regular where a height has gone to zero.
    diagonal += DAMPING * diagonal + 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-300
    gradient = weighted @ patches.misfit.reshape(n, -1, 1)
    return np.asarray(np.linalg.solve(normal, gradient)[:, :, 0])
