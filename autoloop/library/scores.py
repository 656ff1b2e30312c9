"""How alike an image and an aligned view are: MSE, SSIM, and the distance of columns.

All over the patch that was aligned, the view drawn in its pose and matched to the image
by a gain and a plane. Columns are the maxima of one filter in both, so that what runs
together in the image runs together in the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.library.alignment import Pose
from autoloop.library.rendering import drawn, reach
from autoloop.library.spectra import PIXEL
from autoloop.library.views import View, columns_within
from autoloop.microscopy.detection import (
    DIMMEST,
    PEAK_TO_CONTRAST,
    PEAK_TO_NOISE,
    filtered_noise,
    maxima,
    response,
    white_noise,
)
from autoloop.microscopy.gaussians import smoothed
from autoloop.scoring.emd import CAP, capped_emd
from autoloop.scoring.similarity import Similarity, intensity_range

Array = NDArray[np.float64]

WINDOW: Final = 9
"""Edge of the SSIM window [pixels of 0.25 Å]: 2.25 Å, about one column."""
COLUMN_SIGMA: Final = 0.4
"""Scale of the filter whose maxima are columns [Å]: about a column's width."""
RANGE: Final = 5.0
"""Range over which its contrast is compared [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """A patch of the image, ready to be compared.

    Attributes
    ----------
    patch : (n, n) float array
        Intensities less a plane, in units of their standard deviation; pixels of
        `PIXEL`.
    noise : float
        Standard deviation of its white noise, in these units.
    columns : Columns
        Of it [Å from its middle, y up].
    similarity : Similarity
        With it.
    """

    patch: Array
    noise: float
    columns: Columns
    similarity: Similarity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """How alike a patch and a view are.

    Attributes
    ----------
    ssim : float
        Structural similarity, at most 1.
    emd_angstrom_per_column : float
        Capped earth mover's distance between columns [Å per column].
    mse : float
        Mean squared difference over the variance of the patch: 0 to 1.
    """

    ssim: float
    emd_angstrom_per_column: float
    mse: float

    @property
    def score(self) -> float:
        """0 to 1: the mean of all three, each such that 1 is perfect and 0 nothing.

        The distance between columns counts half: with few counts faint columns come and
        go, and it alone finds the right entry less often than the others.
        """
        columns = max(0.0, 1.0 - self.emd_angstrom_per_column / CAP)
        return (max(0.0, self.ssim) + max(0.0, 1.0 - self.mse) + columns / 2) / 2.5


def prepare_query(patch: Array) -> Query:
    """Return a patch (n, n) ready to be compared."""
    design = _plane(len(patch))
    flat = patch.ravel() - design.T @ np.linalg.lstsq(design.T, patch.ravel())[0]
    spread = float(np.std(flat))
    values = (flat / spread if spread > 0 else flat).reshape(patch.shape)
    inside = np.ones(values.shape, bool)
    return Query(
        patch=values,
        noise=white_noise(values),
        columns=sites(values, white_noise(values)),
        similarity=Similarity(
            values, [(WINDOW, inside)], intensity_range(values, inside) or 1.0
        ),
    )


def figures(query: Query, seen: View, pose: Pose) -> Figures:
    """Return how alike a patch and a view in its pose are."""
    return compared(query, view_in_pose(seen, pose, len(query.patch), pose.blur))


def compared(query: Query, image: Array) -> Figures:
    """Return how alike a patch and the image (n, n) of a view are."""
    image = matched(query, image)
    n = len(query.patch)
    ours, theirs = query.columns, sites(image, query.noise, added=True)
    distance = CAP  # where one shows no columns at all
    if len(ours) and len(theirs):
        edges = _at_edge(ours, n), _at_edge(theirs, n)
        distance = capped_emd(ours, theirs, *edges).value
    ssim = query.similarity(image)[0]
    return Figures(
        ssim=0.0 if ssim is None else ssim,
        emd_angstrom_per_column=distance,
        mse=float(np.mean((image - query.patch) ** 2)),
    )


def view_in_pose(seen: View, pose: Pose, n_pixels: int, blur: float) -> Array:
    """Return the image (n, n) of a view as it lies in a patch."""
    return drawn(columns_in_pose(seen, pose, reach(n_pixels)), n_pixels, blur)


def columns_in_pose(seen: View, pose: Pose, radius: float) -> Columns:
    """Return the columns of a view as they lie around the middle of a patch.

    Within `radius` along both axes [Å, y up].
    """
    smallest = np.linalg.svd(pose.matrix, compute_uv=False)[-1]
    offset = pose.shift @ seen.cell
    wide = float(np.sqrt(2.0) * radius / smallest + np.abs(offset).max())
    found = columns_within(seen, wide)
    positions = (found.positions + offset) @ pose.matrix.T
    inside = np.max(np.abs(positions), axis=1) <= radius
    return Columns(positions=positions[inside], intensities=found.intensities[inside])


def matched(query: Query, image: Array) -> Array:
    """Return an image (n, n) with the gain and the plane that bring it to the patch."""
    plane = _plane(len(image))
    design = np.concatenate((plane, image.reshape(1, -1)))
    gains = np.linalg.lstsq(design @ design.T, design @ query.patch.ravel())[0]
    if gains[3] < 0:  # bright where the patch is dark: no match
        return np.zeros_like(image)
    return np.asarray((gains @ design).reshape(image.shape))


def sites(values: Array, noise: float, *, added: bool = False) -> Columns:
    """Return the maxima of an image (n, n) that may be columns [Å, y up].

    They are those of `autoloop.microscopy.detection.seeds`, for a noise (standard
    deviation) that the image has, or that is thought added to it: a view then lacks the
    columns that the noise of a measured image hides.
    """
    scale = COLUMN_SIGMA / PIXEL
    filtered = response(values, scale)
    hiding = noise * filtered_noise(scale)
    power = smoothed(filtered**2, RANGE / PIXEL) + (hiding**2 if added else 0.0)
    floor = np.maximum(
        PEAK_TO_CONTRAST * np.sqrt(np.maximum(power, 0.0)), PEAK_TO_NOISE * hiding
    )
    found = maxima(filtered, floor)
    if len(found):
        heights = filtered[found[:, 0], found[:, 1]]
        found = found[heights > DIMMEST * np.median(heights)]
    n = len(values)
    inner = np.all((found > 0) & (found < n - 1), axis=1)
    rows, columns = found[inner].T
    middle = filtered[rows, columns]
    places = []
    for up, down in (((0, 1), (0, -1)), ((1, 0), (-1, 0))):
        after = filtered[rows + up[0], columns + up[1]]
        before = filtered[rows + down[0], columns + down[1]]
        bend = np.maximum(2.0 * middle - after - before, 1e-12)
        places.append(np.clip(0.5 * (after - before) / bend, -0.5, 0.5))
    x = (columns + places[0] - n // 2) * PIXEL
    y = (n // 2 - rows - places[1]) * PIXEL
    return Columns(positions=np.column_stack((x, y)), intensities=middle)


def is_inside(positions: Array, n_pixels: int, margin: float) -> NDArray[np.bool_]:
    """Whether places (k, 2) lie in a patch (n, n), away from its edges by a margin.

    All in Å, the places from its middle.
    """
    half = n_pixels * PIXEL / 2
    return np.asarray(np.max(np.abs(positions), axis=1) < half - margin)


def _at_edge(columns: Columns, n_pixels: int) -> NDArray[np.bool_]:
    # the outermost pixels are no maxima
    return ~is_inside(columns.positions, n_pixels, PIXEL + CAP)


@cache
def _plane(n: int) -> Array:
    """Return what makes a plane on (n, n) pixels, (3, n * n)."""
    y, x = np.indices((n, n)).reshape(2, -1) / n - 0.5
    return np.stack((np.ones_like(x), x, y))
