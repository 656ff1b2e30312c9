"""Frames and transforms, each defined once; column projection; periodic neighbours.

Pixel coordinates are (x, y) of the whole image as read, an integer being a pixel's
centre. The boundary frame is described in `autoloop.domain`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, Columns, Grain

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How the boundary frame lies in a micrograph.

    image (x right, y down) = [[1, -s], [0, 1]] R_ccw(angle) (boundary frame) / pixel
    size, one for both grains.

    Attributes
    ----------
    origin_px : (float, float)
        Pixel (x, y) that shows the origin of the boundary frame.
    pixel_size : float
        [Å].
    angle_deg : float
        Counterclockwise angle, as seen, of the boundary's x from the image's right, in
        (-90, 90]; the first grain lies on its +90 side.
    shear : float
        s, the slant of the scan: rows displaced along x by s times their height.
    """

    origin_px: tuple[float, float]
    pixel_size: float
    angle_deg: float
    shear: float = 0.0

    @property
    def matrix(self) -> Array:
        """(2, 2) matrix from boundary (x, y) [Å] to image (x, y) [pixels]."""
        angle = np.deg2rad(self.angle_deg)
        c, s = np.cos(angle), np.sin(angle)
        turned = np.array([[c, -s], [s, c]])
        flipped = np.array([[1.0, 0.0], [0.0, -1.0]]) @ turned
        slant = np.array([[1.0, -self.shear], [0.0, 1.0]])
        return np.asarray(slant @ flipped / self.pixel_size)

    def to_pixels(self, points: Array) -> Array:
        """Map boundary-frame points (n, 2) [Å] to pixels (n, 2)."""
        return np.asarray(points @ self.matrix.T + np.asarray(self.origin_px))

    def to_boundary(self, pixels: Array) -> Array:
        """Map pixels (n, 2) to boundary-frame points (n, 2) [Å]."""
        inverse = np.linalg.inv(self.matrix)
        return np.asarray((pixels - np.asarray(self.origin_px)) @ inverse.T)


def orientation(grain: Grain) -> Array:
    """Return the rotation from crystal Cartesian coordinates to the boundary frame.

    Parameters
    ----------
    grain : Grain
        Its `up` need not be exactly perpendicular to its zone axis in a non-cubic
        crystal; the part along the zone axis is removed.

    Returns
    -------
    (3, 3) float array
        Proper rotation; ``positions @ rotation.T`` are boundary-frame coordinates.

    Raises
    ------
    ValueError
        If `up` is parallel to the zone axis.
    """
    z = np.asarray(grain.zone_axis, float) @ grain.crystal.cell
    z /= np.linalg.norm(z)
    y = np.asarray(grain.up, float) @ grain.crystal.cell
    y = y - (y @ z) * z
    if np.linalg.norm(y) < 1e-6:
        raise ValueError(f"up {grain.up} is parallel to zone axis {grain.zone_axis}")
    y /= np.linalg.norm(y)
    angle = np.deg2rad(grain.rotation_deg)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(turn @ np.array([np.cross(y, z), y, z]))


def reduced_shear(shear: float, depth: float) -> float:
    """Return the same step of a lattice along the beam, in (-depth/2, depth/2] [Å].

    A cell with edges (width, 0, shear) and (0, 0, depth) is one of the same lattice
    for all shears that differ by whole depths.

    Examples
    --------
    >>> reduced_shear(7.0, 4.0), reduced_shear(-2.0, 4.0)
    (-1.0, 2.0)
    """
    # just past a half counts as a half, so that rounding does not choose the sign
    return float(shear - depth * np.ceil(shear / depth - 0.5 - 1e-9))


def reduced_cell(cell: Array) -> Array:
    """Return the cell (3, 3) with the shortest edges a and c in its boundary plane.

    It spans the same lattice (Gauss's reduction); a rectangular cell is returned as is.
    """
    a, c = cell[0], cell[2]
    if a @ c == 0.0:
        return cell
    a, c = shortest_basis(a, c)
    return np.array([a, cell[1], c])


def shortest_basis(first: Array, second: Array) -> tuple[Array, Array]:
    """Return two shortest vectors of a lattice plane, the shorter first.

    Parameters
    ----------
    first, second : (d,) float array
        Vectors that span it, of any dimension.

    Examples
    --------
    >>> shortest_basis(np.array([2.0, 0.0]), np.array([5.0, 1.0]))
    (array([1., 1.]), array([ 1., -1.]))

    Notes
    -----
    Gauss's reduction. Where two choices are equally short, as in a hexagonal lattice,
    rounding would lead from one to the other and back for ever: a step must shorten.
    """
    while True:
        if first @ first > second @ second:
            first, second = second, first
        share = float(first @ second) / float(first @ first)
        if abs(share) <= 0.5 + 1e-9:
            return first, second
        second = second - round(share) * first


def minimum_image(vectors: Array, cell: Array) -> Array:
    """Wrap difference vectors (n, 3) to the nearest periodic image in x and z.

    In a cell of any shape: in its shortest edges no image is nearer than what rounding
    finds or one of the eight next to it.
    """
    short = reduced_cell(cell)
    fractional = vectors @ np.linalg.inv(short)
    fractional[..., 0] -= np.round(fractional[..., 0])
    fractional[..., 2] -= np.round(fractional[..., 2])
    nearest = np.asarray(fractional @ short)
    if short[0] @ short[2] == 0.0:
        return nearest
    images = nearest[..., None, :] + _neighbours(short)
    best = np.argmin(np.einsum("...i,...i->...", images, images), axis=-1)
    return np.asarray(
        np.take_along_axis(images, best[..., None, None], axis=-2)[..., 0, :]
    )


def around(positions: Array, cell: Array) -> Array:
    """Return positions (9 n, 3) of atoms and of their images in the eight next cells.

    Those of the shortest edges, so that what is nearest to any point of the reduced
    cell is among them. The images of each cell keep the order of the atoms.
    """
    short = reduced_cell(cell)
    inside = wrapped(positions, short)
    return np.vstack([inside + step for step in _neighbours(short)])


def _neighbours(cell: Array) -> Array:
    """Return the steps (9, 3) to the cells around one, itself among them."""
    return np.array([i * cell[0] + k * cell[2] for i in (-1, 0, 1) for k in (-1, 0, 1)])


def wrapped(positions: Array, cell: Array) -> Array:
    """Return positions (n, 3) with x and z brought into the cell."""
    fractional = positions @ np.linalg.inv(cell)
    for axis in (0, 2):
        fractional[:, axis] -= np.floor(fractional[:, axis] + 1e-9)
    return np.asarray(fractional @ cell)


def project_columns(
    bicrystal: Bicrystal, weights: Array, radius: float = 0.35
) -> tuple[Columns, NDArray[np.int64]]:
    """Gather atoms whose projections along the beam coincide into columns.

    Parameters
    ----------
    bicrystal : Bicrystal
        Atoms. Columns run along the beam without end, so that the projection repeats
        along x with the width of the cell, sheared or not.
    weights : (n,) float array
        Scattering weight of each atom, for instance Z**1.7.
    radius : float
        Atoms whose projections lie within this distance are one column [Å].

    Returns
    -------
    columns : Columns
        One period: weighted mean positions (x, y) [Å], summed weights.
    labels : (n,) int array
        Column of each atom.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    xy = bicrystal.positions[:, :2]
    period = float(bicrystal.cell[0, 0])
    box = np.array([period, 1e6])
    shifted = np.column_stack((np.mod(xy[:, 0], period), xy[:, 1] - xy[:, 1].min()))
    shifted[shifted[:, 0] >= period, 0] = 0.0
    pairs = cKDTree(shifted, boxsize=box).query_pairs(radius, output_type="ndarray")
    n = len(xy)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    n_columns, labels = connected_components(graph, directed=False)
    first = np.full(n_columns, -1)
    first[labels[::-1]] = np.arange(n)[::-1]
    offset = xy[:, 0] - xy[first[labels], 0]
    x = xy[first[labels], 0] + offset - period * np.round(offset / period)
    total = np.bincount(labels, weights, n_columns).astype(np.float64)
    centre = np.column_stack(
        [np.bincount(labels, weights * v, n_columns) / total for v in (x, xy[:, 1])]
    )
    return Columns(positions=centre, intensities=total), labels


def window_weights(
    bicrystal: Bicrystal, spacings: tuple[float, float], margin: float
) -> Array:
    """Return the weight of each atom in the window that energies and counts refer to.

    1 around the boundary, 0 near both free surfaces; in between, inside each block, the
    weight ramps linearly over exactly one lattice-plane spacing. That is the average
    over all positions of a sharp cut within one spacing, so it belongs to no particular
    plane of the stack.

    Parameters
    ----------
    bicrystal : Bicrystal
        Slab whose far ends are perfect crystal.
    spacings : (float, float)
        Lattice-plane spacing along y of the upper and the lower grain [Å].
    margin : float
        Depth below each free surface that stays outside the window [Å].

    Returns
    -------
    (n,) float array
        In [0, 1].

    Raises
    ------
    ValueError
        If the slab is so thin that the two ramps overlap.
    """
    y = bicrystal.positions[:, 1]
    top, bottom = y.max() - margin, y.min() + margin
    if bottom + spacings[1] > top - spacings[0]:
        raise ValueError(
            f"a slab {np.ptp(y):.1f} Å thick has no room for a window: surfaces take "
            f"{margin:.1f} Å on either side"
        )
    # By height, not by grain: a slab without a boundary is one grain with two surfaces.
    rising = np.clip((y - bottom) / spacings[1], 0.0, 1.0)
    return np.asarray(np.minimum(rising, np.clip((top - y) / spacings[0], 0.0, 1.0)))


def periodic_pairs(
    positions: Array, cell: Array, radius: float
) -> tuple[NDArray[np.int64], Array]:
    """Return all pairs of atoms closer than a radius, periodic in x and z.

    Parameters
    ----------
    positions : (n, 3) float array
        Cartesian [Å].
    cell : (3, 3) float array
        Of any shape in the boundary plane. Each pair of atoms is listed once with its
        shortest distance, also where the cell is so small that several images lie
        within the radius; an atom and its own images are no pair.
    radius : float
        [Å].

    Returns
    -------
    pairs : (m, 2) int array
        Indices, the smaller first; ordered by distance, then by index.
    distances : (m,) float array
        [Å].
    """
    from scipy.spatial import cKDTree

    n = len(positions)
    # Between atoms inside the cell the shortest distance is to one of the next images.
    inside = wrapped(positions, reduced_cell(cell))
    found = cKDTree(inside).sparse_distance_matrix(
        cKDTree(around(positions, cell)), radius, output_type="coo_matrix"
    )
    first, second = found.row, found.col % n
    keep = first < second
    order = np.lexsort((second[keep], first[keep], np.round(found.data[keep], 6)))
    pairs = np.column_stack((first[keep], second[keep]))[order].astype(np.int64)
    distances = found.data[keep][order]
    _, unique = np.unique(pairs, axis=0, return_index=True)
    kept = np.sort(unique)
    return pairs[kept], np.asarray(distances[kept])
