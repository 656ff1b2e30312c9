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
    """The pixels about each Gaussian, p x p of them.

    Attributes
    ----------
    dx : (n, 1, p) float array
    dy : (n, p, 1) float array
        Distance from the centre [pixels].
    shape : (n, p, p) float array
        Gaussian of unit height.
    index : (n, p, p) int array
        Pixel in the flattened image; meaningless where not `on_image`.
    on_image : (n, p, p) bool array
        Pixels on the image.
    inside : (n, p, p) bool array
        Those of them within reach of the centre.
    """

    dx: Array
    dy: Array
    shape: Array
    index: NDArray[np.int64]
    on_image: NDArray[np.bool_]
    inside: NDArray[np.bool_]


def patches_of(fit: Gaussians, reach: float, shape: tuple[int, ...]) -> Patches:
    """Return the pixels within `reach` sigma of each centre in an image (n_y, n_x)."""
    radius = max(2.0, reach * float(np.median(fit.widths)))
    grid = np.arange(-math.ceil(radius), math.ceil(radius) + 1)
    x, y = fit.positions.T
    rows = (np.round(y).astype(np.int64)[:, None] + grid)[:, :, None]
    cols = (np.round(x).astype(np.int64)[:, None] + grid)[:, None, :]
    dy, dx = rows - y[:, None, None], cols - x[:, None, None]
    sharpness = -0.5 / fit.widths[:, None, None] ** 2
    on_image = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    index = np.clip(rows, 0, shape[0] - 1) * shape[1] + np.clip(cols, 0, shape[1] - 1)
    return Patches(
        dx=dx,
        dy=dy,
        shape=np.exp(sharpness * dy**2) * np.exp(sharpness * dx**2),
        index=index,
        on_image=on_image,
        inside=on_image & (dx**2 + dy**2 <= radius**2),
    )


def drawn(fit: Gaussians, patches: Patches, shape: tuple[int, ...]) -> Array:
    """Return the image (n_y, n_x) of the Gaussians alone, as far as patches go."""
    heights = fit.heights[:, None, None] * patches.shape
    # The corners beyond the disc as well: tails cut at 2.2 sigma all around would put
    # the halves of a dumbbell off by 0.1 sigma.
    heights = heights * patches.on_image
    total = np.bincount(patches.index.ravel(), heights.ravel(), shape[0] * shape[1])
    return np.asarray(total.reshape(shape))


def misfit(values: Array, fit: Gaussians, patches: Patches) -> Array:
    """Return what all Gaussians and a column's own background leave (n, p, p)."""
    rest = values - drawn(fit, patches, values.shape)
    return np.asarray(rest.ravel()[patches.index] - fit.parameters[:, 4][:, None, None])


def _improved(values: Array, fit: Gaussians, *, free_width: bool) -> Gaussians:
    """Return the Gaussians after one damped Gauss-Newton step."""
    patches = patches_of(fit, WINDOW, values.shape)
    height, width = fit.heights[:, None, None], fit.widths[:, None, None]
    slope = height * patches.shape / width**2
    terms = [patches.shape, slope * patches.dx, slope * patches.dy]
    if free_width:
        terms.append(slope * (patches.dx**2 + patches.dy**2) / width)
    step = solved(patches, [*terms, np.ones_like(slope)], misfit(values, fit, patches))
    if not free_width:
        step = np.insert(step, 3, 0.0, axis=1)
    typical = float(np.median(fit.widths))
    step[:, 1:4] = np.clip(step[:, 1:4], -0.5 * typical, 0.5 * typical)
    parameters = fit.parameters + step
    parameters[:, 3] = np.clip(parameters[:, 3], 0.5 * typical, 2.0 * typical)
    return Gaussians(parameters=parameters)


def solved(patches: Patches, terms: list[Array], target: Array) -> Array:
    """Return the coefficients (n, k) of the k terms that explain `target` best."""
    n = len(target)
    jacobian = np.stack(terms, axis=1).reshape(n, len(terms), -1)
    weighted = jacobian * patches.inside.reshape(n, 1, -1)
    normal = weighted @ jacobian.transpose(0, 2, 1)
    diagonal = np.einsum("nii->ni", normal)
    # The second term keeps the matrix regular where a height has gone to zero.
    diagonal += DAMPING * diagonal + 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-300
    gradient = weighted @ target.reshape(n, -1, 1)
    return np.asarray(np.linalg.solve(normal, gradient)[:, :, 0])
