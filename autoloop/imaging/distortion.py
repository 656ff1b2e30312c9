"""How a scan bends an image: smooth displacements, and shifts of single lines.

A displacement says where the micrograph shows what the plain placement of atoms has
elsewhere. It is a sum of fixed functions of the pixel, so that a least-squares step
moves all of them at once, without a simulation for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LARGEST_SHIFT: Final = 1.5
"""Largest shift of a line against its neighbours [pixels]."""
N_AFFINE: Final = 7
"""Functions of a `Field` that come before those of the scan alone."""
_NODES: Final = 3  # points to either side that a shifted pixel is made of
DRIFT_LINES: Final = 10.0
"""Lines over which shifts that vary slowly are left to the displacement field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A displacement: an affine map of either grain, and what the scan does to both.

    Attributes
    ----------
    centre : (float, float)
        x and y of a point on the boundary, about which it is written [pixels of the
        whole image].
    half : (float, float)
        Over which u and v grow by 1, about half the width and the height [pixels].
    n_line, n_drift : int
        Highest order in u, along the lines, and in v, across them.

    Notes
    -----
    1, u and v for each grain (its translation, magnification, rotation and shear), then
    u v, then Legendre polynomials P2(u) ... and P2(v) ... . Each counts once along x
    and once along y.

    Drift is a function of v alone, since lines follow each other in time. What mains
    and deflection do is a function of u alone, because every line begins at the same
    phase of the mains.
    """

    centre: tuple[float, float]
    half: tuple[float, float]
    n_line: int
    n_drift: int

    @property
    def n_functions(self) -> int:
        """Number of functions; a displacement has twice as many coefficients."""
        return len(self.orders)

    @property
    def orders(self) -> Array:
        """(n_functions,) n - 1 for polynomials of order n, 1 for all others."""
        plain = np.ones(N_AFFINE)
        along, across = (np.arange(1.0, max(1, n)) for n in (self.n_line, self.n_drift))
        return np.concatenate((plain, along, across))

    def functions(self, points: Array, share: Array) -> Array:
        """Return (..., n_functions) values at points.

        Parameters
        ----------
        points : (..., 2) float array
            [pixels of the whole image].
        share : (...) float array
            1 where the upper grain's map holds, 0 where the lower one's does.
        """
        u, v = np.moveaxis((points - np.array(self.centre)) / self.half, -1, 0)
        affine = (np.ones_like(u), u, v)
        upper = [share * part for part in affine]
        lower = [(1 - share) * part for part in affine]
        uv = u * v
        # beyond the image high orders would throw atoms back into it
        u, v = np.clip(u, -1.0, 1.0), np.clip(v, -1.0, 1.0)
        along = [legendre(k, u) for k in range(2, self.n_line + 1)]
        across = [legendre(k, v) for k in range(2, self.n_drift + 1)]
        return np.stack((*upper, *lower, uv, *along, *across), axis=-1)

    def displacement(self, points: Array, share: Array, coefficients: Array) -> Array:
        """Return (..., 2) displacements [pixels]; coefficients (n_functions, 2)."""
        return np.asarray(self.functions(points, share) @ coefficients)


def legendre(order: int, x: Array) -> Array:
    """Return the Legendre polynomial of an order at `x`, any shape.

    Examples
    --------
    >>> legendre(2, np.array([0.0, 1.0])).tolist()
    [-0.5, 1.0]
    """
    return np.asarray(np.polynomial.legendre.legval(x, np.eye(order + 1)[order]))


def slopes(image: Array) -> tuple[Array, Array]:
    """Return the derivatives of an image (n_y, n_x) along x and along y [1/pixel].

    By five points: for a wave of twelve pixels, the finest that a probe leaves, wrong
    by 0.3 %; three points would be wrong by 4 %.
    """
    return _slope(image, 1), _slope(image, 0)


def _slope(image: Array, axis: int) -> Array:
    ahead = np.moveaxis(np.pad(image, 2, mode="reflect", reflect_type="odd"), axis, 0)
    ahead = ahead[:, 2:-2]
    n = image.shape[axis]
    d = 8 * (ahead[3 : n + 3] - ahead[1 : n + 1]) - (ahead[4 : n + 4] - ahead[:n])
    return np.asarray(np.moveaxis(d, 0, axis) / 12)


class LineShifter:
    """Moves the lines of images (n_y, n_x) right by (n_y,) shifts [pixels].

    By the polynomial through seven points: for a wave of twelve pixels and a shift of
    half a pixel, wrong by 3e-5; the weights are computed once.
    """

    def __init__(self, shifts: Array) -> None:
        nodes = np.arange(-_NODES, _NODES + 1.0)
        self._weights = [
            np.prod([(-shifts - b) / (a - b) for b in nodes if b != a], axis=0)[:, None]
            for a in nodes
        ]
        self._moves = bool(shifts.any())

    def __call__(self, image: Array) -> Array:
        """Return the image with its lines moved; what is beyond its edge continues."""
        if not self._moves:
            return image
        n_x = image.shape[1]
        sides = ((0, 0), (_NODES, _NODES))
        padded = np.pad(image, sides, mode="reflect", reflect_type="odd")
        moved = self._weights[0] * padded[:, :n_x]
        part = np.empty_like(moved)
        for k, weight in enumerate(self._weights[1:], start=1):
            np.multiply(weight, padded[:, k : k + n_x], out=part)
            moved += part
        return np.asarray(moved)


def with_shifted_lines(image: Array, shifts: Array) -> Array:
    """Return an image (n_y, n_x) with its lines moved right by (n_y,) shifts [pixels].

    See `LineShifter`, for those who move many images.
    """
    return LineShifter(shifts)(image)


def line_steps(slope: Array, residual: Array, mask: Mask, known: Array) -> Array:
    """Return better shifts (n_y,) of the lines of a scan [pixels].

    Parameters
    ----------
    slope : (n_y, n_x) float array
        Derivative of the model along x, with the lines shifted by `known`.
    residual : (n_y, n_x) float array
        Measurement minus that model.
    mask : (n_y, n_x) bool array
        Pixels that count.
    known : (n_y,) float array
        Shifts found before.

    Notes
    -----
    Each shift is drawn to zero as its own error and the scatter of all lines demand
    (an empirical prior), so that a line that shows little is left where it is. What
    changes slowly from line to line belongs to the displacement field.
    """
    from scipy.ndimage import gaussian_filter1d

    weight: Array = np.einsum("ij,ij,ij->i", slope, slope, mask)
    if not weight.any():
        return np.zeros_like(known)
    telling = weight > 0.1 * np.median(weight[weight > 0])
    step = np.zeros_like(known)
    pull = -np.einsum("ij,ij,ij->i", residual, slope, mask)
    step[telling] = pull[telling] / weight[telling]
    raw = np.clip(known + step, -LARGEST_SHIFT, LARGEST_SHIFT) * telling
    believed = weight * telling
    level = gaussian_filter1d(believed, DRIFT_LINES) + 1e-9 * weight.max()
    raw = (raw - gaussian_filter1d(believed * raw, DRIFT_LINES) / level) * telling
    noise2 = float(np.mean(residual[mask] ** 2))
    error2 = noise2 / (weight + 1e-12 * float(weight.max()))
    scatter2 = float(np.mean(raw[telling] ** 2 - error2[telling]))
    if scatter2 <= 0:
        return np.zeros_like(known)
    return np.asarray(raw * scatter2 / (scatter2 + error2))
