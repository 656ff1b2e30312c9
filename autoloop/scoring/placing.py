"""Where the atoms of a candidate lie in the micrograph, for each hypothesis.

Each grain is mapped by its own lattice as measured, blended across the core. The lower
grain ties the candidate to the image; what is left open is which of its lattice points
lies where.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal
from autoloop.geometry import Frame

Array = NDArray[np.float64]

BLEND: Final = 4.0
"""Distance over which the map of one grain gives way to that of the other [Å]."""
HEIGHT_RANGE: Final = 3.5
"""How far the boundary of a candidate may lie from the line as read [Å]."""


class Bending:
    """A displacement that changes slowly over an image, looked up between pixels.

    Parameters
    ----------
    values : (n_y, n_x, 2) float array
        Along x and y, at each pixel [pixels].
    origin_px : (float, float)
        x and y of the first of them [pixels of the whole image].
    """

    def __init__(self, values: Array, origin_px: tuple[float, float]) -> None:
        self._shape = values.shape[:2]
        self._flat = np.ascontiguousarray(values, float).reshape(-1, 2)
        self._origin = np.asarray(origin_px, float)

    def __call__(self, points: Array) -> Array:
        """Return the displacement (..., 2) at points (..., 2) [pixels].

        Beyond the edge it is that of the edge.
        """
        n_y, n_x = self._shape
        local = np.clip(points - self._origin, 0.0, [n_x - 1.001, n_y - 1.001])
        corner = local.astype(np.int64)
        x, y = np.moveaxis((local - corner)[..., None], -2, 0)
        at, flat = corner[..., 1] * n_x + corner[..., 0], self._flat
        upper = (1 - x) * flat[at] + x * flat[at + 1]
        lower = (1 - x) * flat[at + n_x] + x * flat[at + n_x + 1]
        return np.asarray((1 - y) * upper + y * lower)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placing:
    """Maps candidates of one template into one micrograph.

    Attributes
    ----------
    frame : Frame
        Of the micrograph.
    shape, offset_px : (int, int)
        Rows and columns of the crop; x and y of its first pixel.
    upper, lower : (2, 2) float array
        From (x, y) of the model [Å] to pixels, for each grain.
    lower_origin_px : (2,) float array
        Where the lower grain's lattice has a point [pixels of the whole image].
    lattice : (3, 3) float array
        Primitive vectors of the lower grain, model, as rows [Å].
    width : float
        Period of the template along the boundary, model [Å].
    exact : bool
        Whether the image repeats with that period.
    bending : Bending, optional
        How far the micrograph shows things from where the maps put them.
    """

    frame: Frame
    shape: tuple[int, int]
    offset_px: tuple[int, int]
    upper: Array
    lower: Array
    lower_origin_px: Array
    lattice: Array
    width: float
    exact: bool
    bending: Bending | None = None
    _points: dict[float, Array] = field(default_factory=dict, repr=False)

    def centre_px(self) -> Array:
        """Return the point of the boundary line nearest to the crop's centre."""
        n_y, n_x = self.shape
        middle = np.array([(n_x - 1) / 2, (n_y - 1) / 2]) + self.offset_px
        x = self.frame.to_boundary(middle[None])[0, 0]
        return np.asarray(self.frame.to_pixels(np.array([[x, 0.0]]))[0])

    def half_period(self) -> float:
        """Return half of one period as the lower grain's lattice shows it [Å]."""
        along = float(np.linalg.norm(self.lower[:, 0]))
        return 0.5 * self.frame.pixel_size * along * self.width

    def hypotheses(self, bicrystal: Bicrystal) -> Array:
        """Return lattice translations (k, 2) of the lower grain to try [Å, model].

        One period along x; along y, those that bring the boundary near the line.
        """
        width = round(float(bicrystal.cell[0, 0]), 6)
        if width not in self._points:
            self._points[width] = _projected_points(self.lattice, width)
        points = self._points[width]
        height = bicrystal.boundary_height - bicrystal.origins[1, 1]
        pixels = (
            points + np.array([0.0, height])
        ) @ self.lower.T + self.lower_origin_px
        mapped = self.frame.to_boundary(pixels)
        return points[np.abs(mapped[:, 1]) <= HEIGHT_RANGE]

    def place(self, bicrystal: Bicrystal, xy: Array, shifts: Array) -> Array:
        """Return where the image shows points (n, 2) of one period, tiled.

        Parameters and result are those of `straight`, to which the bending is added.
        """
        found = self.straight(bicrystal, xy, shifts)
        return found if self.bending is None else found + self.bending(found)

    def straight(self, bicrystal: Bicrystal, xy: Array, shifts: Array) -> Array:
        """Map points (n, 2) of one period by the maps of both grains alone, tiled.

        Parameters
        ----------
        bicrystal : Bicrystal
            What the points belong to.
        xy : (n, 2) float array
            In its own frame [Å].
        shifts : (k, 2) float array
            Hypotheses.

        Returns
        -------
        (k, tiles, n, 2) float array
            [pixels of the whole image].
        """
        points = xy - bicrystal.origins[1, :2] + shifts[:, None]
        heights = bicrystal.boundary_height - bicrystal.origins[1, 1] + shifts[:, 1]
        # the model's point on its boundary that falls on the centre of the line
        across = np.linalg.solve(self.lower, self.centre_px() - self.lower_origin_px)
        width = float(bicrystal.cell[0, 0])
        points[..., 0] -= width * np.round((points[..., 0] - across[0]) / width)
        share = np.clip((points[..., 1] - heights[:, None]) / BLEND, 0.0, 1.0)
        share = share * share * (3 - 2 * share)
        extra = self.upper - self.lower
        # a point and its images share their height, and with it the blend
        turned = (
            points - np.stack((np.full(len(shifts), across[0]), heights), 1)[:, None]
        )
        first = points @ self.lower.T + share[..., None] * (turned @ extra.T)
        step = width * (self.lower[:, 0] + share[..., None] * extra[:, 0])
        tiles = self._tiles(width)[:, None, None]
        return np.asarray(first[:, None] + tiles * step[:, None] + self.lower_origin_px)

    def _tiles(self, width: float) -> Array:
        if not self.exact:
            return np.array([-1.0, 0.0, 1.0])  # neighbours lend the tails of probes
        n_y, n_x = self.shape
        reach = np.hypot(n_x, n_y) * self.frame.pixel_size / width
        n = int(np.ceil(reach / 2)) + 2
        return np.arange(-n, n + 1, dtype=float)


def _projected_points(lattice: Array, width: float) -> Array:
    """Return (k, 2) projected lattice points, one cell of x [Å].

    Those whose height suffices to bring any termination to the line as read.
    """
    reach = np.arange(-12, 13)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    points = (cells @ lattice)[:, :2]
    points = points[np.abs(points[:, 1]) < 4 * HEIGHT_RANGE]
    x = np.mod(points[:, 0] + 1e-3, width) - 1e-3
    return _distinct(np.column_stack((x, points[:, 1])))


def _distinct(points: Array) -> Array:
    """Return points (k, 2), each once, sorted: rounding alone splits some in two."""
    from scipy.spatial import cKDTree

    points = np.unique(np.round(points, 4), axis=0)
    again = cKDTree(points).query_pairs(0.01, output_type="ndarray")
    return np.delete(points, again[:, 1], axis=0)


def lattice_basis(vectors: Array) -> Array:
    """Return two shortest independent vectors (2, 2) of a projected lattice.

    Parameters
    ----------
    vectors : (3, 2) float array
        Primitive vectors of a crystal as they project, as rows.
    """
    reach = np.arange(-4, 5)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    points = _distinct(cells @ vectors)
    length = np.linalg.norm(points, axis=1)
    points = points[np.argsort(length)][np.sort(length) > 1e-3]
    first = points[0]
    area = np.abs(points[:, 0] * first[1] - points[:, 1] * first[0])
    second = points[area > 1e-3 * float(first @ first)][0]
    return np.array([first, second])
