"""Fitting many round Gaussians of one width to an image, all of them at once.

The normal equations couple neighbours, so that columns closer than they are wide are
told apart; their matrix is known in closed form, because the overlap of two Gaussians
is one. Which of the Gaussians are columns is decided in `autoloop.microscopy.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REACH: Final = 3.0
"""Half the side of the square in which a Gaussian is drawn, in sigma."""
COUPLED: Final = 4.0
"""Distance up to which Gaussians are fitted jointly, in sigma; overlap exp(-4)."""
DAMPING: Final = 0.02
"""Of the normal equations, relative to their diagonal."""
LONGEST_STEP: Final = 0.3
"""Farthest that one round moves a Gaussian along an axis, in sigma."""
COVERED: Final = 0.15
"""Sum of unit Gaussians at which a pixel's say in the background has halved."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussians:
    """Round Gaussians, n of them, of one width.

    Attributes
    ----------
    heights : (n,) float array
        In units of the image.
    positions : (n, 2) float array
        Centres as x and y [pixels].
    width : float
        Sigma [pixels].
    """

    heights: Array
    positions: Array
    width: float

    def __len__(self) -> int:
        return len(self.heights)

    def joined(self, heights: Array, positions: Array) -> Gaussians:
        """Return these Gaussians and others after them."""
        return Gaussians(
            heights=np.concatenate((self.heights, heights)),
            positions=np.vstack((self.positions, positions)),
            width=self.width,
        )

    def chosen(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> Gaussians:
        """Return those that a mask or indices (n,) keep."""
        return Gaussians(
            heights=self.heights[keep], positions=self.positions[keep], width=self.width
        )

    def with_width(self, width: float) -> Gaussians:
        """Return the same Gaussians with another width [pixels]."""
        return Gaussians(heights=self.heights, positions=self.positions, width=width)

    def seen_in_steps(self, step: float) -> Gaussians:
        """Return the same Gaussians in an image of pixels `step` times as large."""
        return Gaussians(
            heights=self.heights,
            positions=(self.positions + 0.5) / step - 0.5,
            width=self.width / step,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Gaussians and what they make of an image (n_y, n_x).

    Attributes
    ----------
    gaussians : Gaussians
        The Gaussians.
    model : (n_y, n_x) float array
        The image of the Gaussians alone.
    residual : (n_y, n_x) float array
        What the Gaussians and the background leave of the image.
    """

    gaussians: Gaussians
    model: Array
    residual: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """The pixels about each Gaussian, p x p of them.

    Attributes
    ----------
    dx : (n, p) float array
    dy : (n, p) float array
        Distances of the pixel columns and rows from the centre [pixels].
    along_x : (n, p) float array
    along_y : (n, p) float array
        Factors of the Gaussian of unit height; zero outside the image.
    index : (n, p, p) int array
        Pixel in the flattened image; meaningless outside the image.
    """

    dx: Array
    dy: Array
    along_x: Array
    along_y: Array
    index: NDArray[np.int64]


def patches_of(
    gaussians: Gaussians, shape: tuple[int, ...], reach: float = REACH
) -> Patches:
    """Return the pixels within `reach` sigma of each centre in an image (n_y, n_x)."""
    radius = math.ceil(reach * gaussians.width)
    grid = np.arange(-radius, radius + 1)
    x, y = gaussians.positions.T
    rows = np.round(y).astype(np.int64)[:, None] + grid
    cols = np.round(x).astype(np.int64)[:, None] + grid
    dy, dx = rows - y[:, None], cols - x[:, None]
    sharpness = -0.5 / gaussians.width**2
    rows_on, cols_on = np.clip(rows, 0, shape[0] - 1), np.clip(cols, 0, shape[1] - 1)
    return Patches(
        dx=dx,
        dy=dy,
        along_x=np.exp(sharpness * dx**2) * (cols == cols_on),
        along_y=np.exp(sharpness * dy**2) * (rows == rows_on),
        index=(rows_on * shape[1])[:, :, None] + cols_on[:, None, :],
    )


def drawn(patches: Patches, heights: Array, shape: tuple[int, ...]) -> Array:
    """Return the image (n_y, n_x) of the Gaussians alone."""
    tall = heights[:, None] * patches.along_y
    values = tall[:, :, None] * patches.along_x[:, None, :]
    total = np.bincount(patches.index.ravel(), values.ravel(), shape[0] * shape[1])
    return np.asarray(total.reshape(shape))


def refined(values: Array, start: Gaussians, range_px: float, rounds: int) -> Fit:
    """Fit heights and positions of all Gaussians, and the background between them.

    Parameters
    ----------
    values : (n_y, n_x) float array
        The image.
    start : Gaussians
        Where the fit starts; the width stays as it is.
    range_px : float
        Range over which the background may vary [pixels].
    rounds : int
        Gauss-Newton steps.
    """
    gaussians, shape = start, values.shape
    if not len(gaussians):
        background = smoothed(values, range_px)
        return Fit(gaussians=start, model=np.zeros(shape), residual=values - background)
    # Neither the matrix nor who covers which pixel changes much while a fit settles.
    solve = _factorised(gaussians)
    cover = drawn(patches_of(gaussians, shape), np.ones(len(gaussians)), shape)
    weight = 1.0 / (1.0 + (cover / COVERED) ** 2) + 1e-3
    total = smoothed(weight, range_px)
    for i in range(rounds + 1):
        patches = patches_of(gaussians, shape)
        model = drawn(patches, gaussians.heights, shape)
        background = smoothed(weight * (values - model), range_px) / total
        residual = values - model - background
        if i < rounds:
            gaussians = _stepped(
                gaussians, solve(_gradient(gaussians, patches, residual))
            )
    return Fit(gaussians=gaussians, model=model, residual=residual)


def _stepped(gaussians: Gaussians, step: Array) -> Gaussians:
    """Return the Gaussians after a step (n, 3): height, height times x, times y."""
    longest = LONGEST_STEP * gaussians.width
    heights = gaussians.heights + step[:, 0]
    # What has nearly no height would otherwise be thrown about.
    least = 0.1 * float(np.median(np.abs(heights)))
    bold = np.maximum(np.abs(heights), least)
    return Gaussians(
        heights=heights,
        positions=gaussians.positions
        + np.clip(step[:, 1:] / bold[:, None], -longest, longest),
        width=gaussians.width,
    )


def _gradient(gaussians: Gaussians, patches: Patches, residual: Array) -> Array:
    """Return the products (n, 3) of the residual with the derivatives of the model.

    After the height, and for unit height after x and y.
    """
    around = residual.ravel()[patches.index]
    along_x = np.stack((patches.along_x, patches.along_x * patches.dx), axis=2)
    rows = around @ along_x
    slope = 1.0 / gaussians.width**2
    height = np.einsum("np,np->n", rows[:, :, 0], patches.along_y)
    x = np.einsum("np,np->n", rows[:, :, 1], patches.along_y)
    y = np.einsum("np,np->n", rows[:, :, 0], patches.along_y * patches.dy)
    return np.column_stack((height, slope * x, slope * y))


def overlaps(offsets: Array, first: Array, second: Array, width: float) -> Array:
    """Return the normal equations' blocks (..., 3, 3) of pairs of Gaussians.

    The sum over all pixels of the product of the derivatives of one Gaussian after its
    height, x and y with those of another, taken as an integral over the plane.

    Parameters
    ----------
    offsets : (..., 2) float array
        From the first of each pair to the second [pixels].
    first, second : (...) float array
        Heights; not negative.
    width : float
        Sigma [pixels].
    """
    x, y = offsets[..., 0] / width, offsets[..., 1] / width
    common = np.pi * width**2 * np.exp(-0.25 * (x**2 + y**2))
    one, other = common * first / width, common * second / width
    both = one * second / width
    blocks = np.empty((*x.shape, 3, 3))
    blocks[..., 0, 0] = common
    blocks[..., 0, 1], blocks[..., 0, 2] = -0.5 * x * other, -0.5 * y * other
    blocks[..., 1, 0], blocks[..., 2, 0] = 0.5 * x * one, 0.5 * y * one
    blocks[..., 1, 1] = both * (0.5 - 0.25 * x**2)
    blocks[..., 2, 2] = both * (0.5 - 0.25 * y**2)
    blocks[..., 1, 2] = blocks[..., 2, 1] = -0.25 * x * y * both
    return blocks


def _factorised(gaussians: Gaussians) -> Callable[[Array], Array]:
    """Return what solves the normal equations for a right-hand side (n, 3).

    The unknowns are the steps of height, height times x and height times y, so that the
    matrix depends on the positions only and serves several rounds.
    """
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import splu
    from scipy.spatial import cKDTree

    n = len(gaussians)
    pairs = cKDTree(gaussians.positions).query_pairs(
        COUPLED * gaussians.width, output_type="ndarray"
    )
    i = np.concatenate((np.arange(n), pairs[:, 0], pairs[:, 1]))
    j = np.concatenate((np.arange(n), pairs[:, 1], pairs[:, 0]))
    offsets = gaussians.positions[j] - gaussians.positions[i]
    ones = np.ones(len(i))
    blocks = overlaps(offsets, ones, ones, gaussians.width)
    np.einsum("nkk->nk", blocks[:n])[:] *= 1.0 + DAMPING
    rows = np.broadcast_to(3 * i[:, None, None] + np.arange(3)[:, None], blocks.shape)
    cols = np.broadcast_to(3 * j[:, None, None] + np.arange(3), blocks.shape)
    matrix = csc_matrix((blocks.ravel(), (rows.ravel(), cols.ravel())), (3 * n, 3 * n))
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return lambda target: np.asarray(factors.solve(target.ravel()).reshape(-1, 3))


def broadening(fit: Fit) -> Array:
    """Return by how much (n,) the width² of each column exceeds the common one.

    As a share of it, from what the fit leaves in a disc of 2.2 sigma about the column,
    on a background of its own.
    """
    gaussians, shape = fit.gaussians, fit.residual.shape
    patches = patches_of(gaussians, shape, 2.2)
    x, y = patches.dx[:, None, :], patches.dy[:, :, None]
    distance2 = (x**2 + y**2) / gaussians.width**2
    inside = (distance2 < 2.2**2).astype(np.float64)
    unit = inside * patches.along_y[:, :, None] * patches.along_x[:, None, :]
    wider = 0.5 * gaussians.heights[:, None, None] * unit * (distance2 - 2.0)
    terms = np.stack((wider, unit, inside), axis=1).reshape(len(gaussians), 3, -1)
    normal = terms @ terms.transpose(0, 2, 1)
    np.einsum("nkk->nk", normal)[:] += 1e-9 * np.einsum("nkk->n", normal)[:, None]
    target = terms @ fit.residual.ravel()[patches.index].reshape(len(terms), -1, 1)
    return np.asarray(np.linalg.solve(normal, target)[:, 0, 0])


def binned(values: Array, step: int) -> Array:
    """Return averages over blocks of `step` x `step` pixels, whole blocks only."""
    n_y, n_x = values.shape[0] // step, values.shape[1] // step
    blocks = values[: n_y * step, : n_x * step].reshape(n_y, step, n_x, step)
    return np.asarray(blocks.mean(axis=(1, 3)))


def smoothed(values: Array, range_px: float) -> Array:
    """Return the image (n_y, n_x) averaged with a Gaussian of sigma `range_px`.

    On coarser pixels, a third of the range wide, and interpolated: tens of times
    faster than the filter on the image itself.
    """
    from scipy.ndimage import gaussian_filter

    step = max(1, int(range_px / 3.0))
    pad = [(0, -n % step) for n in values.shape]
    coarse = np.pad(values, pad, mode="edge") if step > 1 else values
    coarse = gaussian_filter(
        binned(coarse, step), range_px / step, truncate=2.5, mode="nearest"
    )
    return _interpolated(
        _interpolated(coarse, step, values.shape[0]).T, step, values.shape[1]
    ).T


def _interpolated(coarse: Array, step: int, n: int) -> Array:
    """Return (n, k) from averages over blocks of `step` rows, between their centres."""
    if step == 1:
        return coarse
    padded = np.pad(coarse, ((1, 1), (0, 0)), mode="edge")
    part = (np.arange(step) + 0.5 * (1 - step % 2)) / step
    rise = part[None, :, None] * np.diff(padded, axis=0)[:, None, :]
    fine = (padded[:-1, None, :] + rise).reshape(-1, coarse.shape[1])
    first = (step + 1) // 2
    return np.asarray(fine[first : first + n])
