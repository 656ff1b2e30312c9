"""How well columns are known: standard errors, significance and a word for each."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.microscopy.gaussians import Fit, Gaussians, overlaps, patches_of

Array = NDArray[np.float64]

NEIGHBOURS: Final = 5
"""Nearest columns whose errors are taken to depend on each other's."""
COUPLED: Final = 3.5
"""Distance beyond which they do not, in sigma."""
LEAK: Final = 0.1
"""Share of a neighbour's height that may be misfit: columns are no exact Gaussians."""
DIM: Final = 0.65
"""Height below which a column is dim, relative to the 8 nearest ones' median."""
RESOLVED: Final = 2.0
"""Gaussians closer than this many sigma have one maximum between them (Sparrow)."""
EDGE: Final = 2.0
"""Distance from the frame within which a column is cut off, in sigma."""
DOUBTFUL: Final = 6.0
"""Significance below which a column may be no column."""


def noise_about(fit: Fit, noise: Array) -> Array:
    """Return the noise of a pixel (n,) at each column, as its fit feels it.

    Parameters
    ----------
    fit : Fit
        The columns.
    noise : (n_y, n_x) float array
        Noise of a pixel around, from the residual filtered at the scale of the columns,
        so that correlated noise and misfit count by what they do there.

    Notes
    -----
    Where columns are, shot noise makes it larger, between them smaller: the variance is
    taken as a + b model, both from the residual.
    """
    pixels = np.round(fit.gaussians.positions).astype(np.int64)
    cols, rows = np.clip(pixels, 0, np.array(noise.shape[::-1]) - 1).T
    model, power = fit.model[::3].ravel(), fit.residual[::3].ravel() ** 2
    spread = model - model.mean()
    rise = float(spread @ power) / max(float(spread @ spread), 1e-300)
    # A Gaussian squared, as which its pixels weigh, sees two thirds of its height.
    seen = 2.0 / 3.0 * fit.gaussians.heights - model.mean()
    ratio = 1.0 + max(0.0, rise) * seen / max(float(power.mean()), 1e-300)
    return np.asarray(noise[rows, cols] * np.sqrt(np.clip(ratio, 0.25, 9.0)))


def standard_errors(fit: Fit, noise: Array) -> Array:
    """Return the standard errors (n, 3) of height, x and y, for the noise (n,) given.

    From the normal equations of each column together with its nearest neighbours.
    """
    gaussians = fit.gaussians
    members, coupled = _groups(gaussians)
    n, k = members.shape
    heights = np.maximum(gaussians.heights, 1e-3 * np.median(gaussians.heights))
    positions = gaussians.positions[members]
    blocks = overlaps(
        positions[:, None, :] - positions[:, :, None],
        np.broadcast_to(heights[members][:, :, None], (n, k, k)),
        np.broadcast_to(heights[members][:, None, :], (n, k, k)),
        gaussians.width,
    )
    blocks *= (coupled[:, :, None] & coupled[:, None, :])[..., None, None]
    normal = blocks.transpose(0, 1, 3, 2, 4).reshape(n, 3 * k, 3 * k)
    # In units of the errors alone the matrix is well conditioned; who is not coupled
    # gets the identity.
    diagonal = np.sqrt(np.einsum("nii->ni", normal))
    scale = np.where(diagonal > 0.0, diagonal, 1.0)
    normal = normal / scale[:, :, None] / scale[:, None, :]
    np.einsum("nii->ni", normal)[:] = 1.0 + 1e-6
    variance = np.einsum("nii->ni", np.linalg.inv(normal))[:, :3]
    patches = patches_of(gaussians, fit.residual.shape)
    seen = (patches.along_x**2).sum(axis=1) * (patches.along_y**2).sum(axis=1)
    share = np.clip(seen / (np.pi * gaussians.width**2), 0.05, 1.0)
    return np.asarray(
        noise[:, None] * np.sqrt(variance / share[:, None]) / scale[:, :3]
    )


def _groups(gaussians: Gaussians) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each column and its nearest (n, k), and which of them count (n, k)."""
    from scipy.spatial import cKDTree

    n = len(gaussians)
    k = min(NEIGHBOURS + 1, n)
    distances, members = cKDTree(gaussians.positions).query(gaussians.positions, k)
    distances, members = distances.reshape(n, k), members.reshape(n, k).copy()
    # Of two in one place either may come first; the column itself has to.
    members[:, 0], distances[:, 0] = np.arange(n), 0.0
    coupled = distances < COUPLED * gaussians.width
    most = int(coupled.sum(axis=1).max())
    return members[:, :most], coupled[:, :most]


def significance(gaussians: Gaussians, height_errors: Array) -> Array:
    """Return the heights (n,) in units of noise and of what neighbours may leave."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(gaussians.positions).query_pairs(
        4.0 * gaussians.width, output_type="ndarray"
    )
    offsets = gaussians.positions[pairs[:, 0]] - gaussians.positions[pairs[:, 1]]
    near = np.exp(-np.einsum("ij,ij->i", offsets, offsets) / (8 * gaussians.width**2))
    leak = np.zeros(len(gaussians))
    np.maximum.at(leak, pairs[:, 0], near * gaussians.heights[pairs[:, 1]])
    np.maximum.at(leak, pairs[:, 1], near * gaussians.heights[pairs[:, 0]])
    return np.asarray(gaussians.heights / np.hypot(height_errors, LEAK * leak))


def usual_heights(gaussians: Gaussians, places: Array) -> Array:
    """Return the median height (m,) of the 8 columns nearest to each place (m, 2)."""
    from scipy.spatial import cKDTree

    k = min(9, len(gaussians))
    _, nearest = cKDTree(gaussians.positions).query(places, k)
    return np.asarray(np.median(gaussians.heights[nearest.reshape(-1, k)], axis=1))


def cut_off(gaussians: Gaussians, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which columns (n,) the frame of the image may cut."""
    beyond = np.array(shape[::-1]) - 1 - gaussians.positions
    inside = np.minimum(gaussians.positions, beyond).min(axis=1)
    return np.asarray(inside < EDGE * gaussians.width)


def flags(
    gaussians: Gaussians, significances: Array, shape: tuple[int, ...]
) -> NDArray[np.str_]:
    """Return a word (n,) for each column; see `ColumnFit.quality`."""
    from scipy.spatial import cKDTree

    if len(gaussians) > 1:
        distances, _ = cKDTree(gaussians.positions).query(gaussians.positions, 2)
        nearest = distances[:, 1]
    else:
        nearest = np.full(len(gaussians), np.inf)
    dim = gaussians.heights < DIM * usual_heights(gaussians, gaussians.positions)
    conditions = [
        cut_off(gaussians, shape),
        significances < DOUBTFUL,
        nearest < RESOLVED * gaussians.width,
        dim,
    ]
    words = ["edge", "doubtful", "overlapping", "dim"]
    return np.select(conditions, words, default="good")
