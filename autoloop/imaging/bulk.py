"""What the joint refit of the perfect bulk says of a micrograph, kept for candidates.

Between a structure and its micrograph lie the bending of the scan, a blur and a gain of
each grain, a background and the shifts of single lines. Fitted where the structure is
known, they hold for every candidate.

One thing does not: how far the upper grain lies from where its lattice was read. A
candidate has a translation of its own, which is tied to the lower grain. So both
grains' displacements are made to agree at one point of the boundary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.imaging.distortion import Field
from autoloop.imaging.estimates import Estimate
from autoloop.imaging.fit import BLEND, N_BACKGROUND, N_GAIN, grain_share
from autoloop.imaging.forward import (
    CORE,
    REACH,
    Core,
    PlacedStructure,
    fitted_mask,
    patches,
)
from autoloop.imaging.noise import autocovariance
from autoloop.imaging.refine import RefinedImaging

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

N_PLAIN: Final = N_GAIN + N_BACKGROUND + 1
"""Parameters of the plain fit: gains, background, one blur."""
OFF_SITE: Final = 0.02
"""How far columns lie from their lattice for reasons of their own [Å rms]: in relaxed
silicon boundaries 0.035 Å at 6 to 8 Å from the boundary and 0.016 Å at 8 to 10 Å."""
N_UPPER: Final = 3
"""Functions of a displacement that belong to the upper grain; the lower's follow."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BulkImaging:
    """The refit of both grains' bulk over a rectangle of the micrograph.

    Attributes
    ----------
    corner : (int, int)
        x and y of its first pixel in the whole image.
    field : Field
        Functions of the displacement.
    displacement : (n_functions, 2) float array
        Their coefficients along x and y, as fitted [pixels].
    pivot_px : (float, float)
        x and y where a candidate's grains are tied together [pixels of the whole
        image].
    blur : (float, float)
        Standard deviation of the blur, upper grain first [Å].
    linear : (k,) float array
        Three gains of either grain, then the background.
    line_shifts : (n_y,) float array
        Shifts of single lines [pixels].
    pixels_per_angstrom : float
        Of a square of the same area.
    rms, plain_rms : float
        Root mean square residual over the bulk, and that of the plain fit there
        [measured intensity].
    estimates : mapping of str to Estimate
        See `autoloop.imaging.estimates.summary`.
    core : "predicted"
        The core took no part.
    """

    corner: tuple[int, int]
    field: Field
    displacement: Array
    pivot_px: tuple[float, float]
    blur: tuple[float, float]
    linear: Array
    line_shifts: Array
    pixels_per_angstrom: float
    rms: float
    plain_rms: float
    estimates: Mapping[str, Estimate]
    core: Core = "predicted"

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First and last + 1 of rows, then of columns [pixels of the whole image]."""
        x, y = self.corner
        n_x = round(2 * self.field.half[0])
        return y, y + len(self.line_shifts), x, x + n_x

    def tied(self) -> Array:
        """Return the displacement (n_functions, 2) that candidates undergo."""
        at = self.field.functions(np.array(self.pivot_px), np.array(1.0))[:N_UPPER]
        upper, lower = self.displacement[:N_UPPER], self.displacement[N_UPPER:][:3]
        found = self.displacement.copy()
        found[0] -= at @ (upper - lower)
        return found

    def shifts(self, points: Array, heights: Array) -> Array:
        """Return how far candidates are displaced (..., 2) [pixels].

        Parameters
        ----------
        points : (..., 2) float array
            Where they are placed [pixels of the whole image].
        heights : (...) float array
            Their distance from the boundary, positive in the upper grain [Å].
        """
        share = grain_share(heights, BLEND)
        return self.field.displacement(points, share, self.tied())

    def maps(self, points: Array) -> tuple[Array, Array, Array]:
        """Return the gains of upper and lower grain and the background (...).

        Beyond the rectangle that was fitted they stay as at its edge.

        Parameters
        ----------
        points : (..., 2) float array
            [pixels of the whole image].
        """
        half = np.array(self.field.half)
        u, v = np.moveaxis((points - self.field.centre) / half, -1, 0)
        # the rectangle need not be centred on the boundary
        first, last, left, right = self.box
        (u0, v0), (u1, v1) = (
            (np.array(corner) - self.field.centre) / half
            for corner in ((left, first), (right - 1, last - 1))
        )
        u, v = np.clip(u, u0, u1), np.clip(v, v0, v1)
        plane = np.stack((np.ones_like(u), u, v))
        background = patches(u, v, 2 * half / self.pixels_per_angstrom)
        return (
            np.tensordot(self.linear[:3], plane, 1),
            np.tensordot(self.linear[3:N_GAIN], plane, 1),
            np.tensordot(self.linear[N_GAIN:], background, 1),
        )

    def lines(self, first: int, n: int) -> Array:
        """Return the shifts (n,) of lines from row `first` of the whole image on."""
        found = np.zeros(n)
        own = np.arange(len(self.line_shifts)) + self.corner[1] - first
        inside = (own >= 0) & (own < n)
        found[own[inside]] = self.line_shifts[inside]
        return found


def kept_for_candidates(
    found: RefinedImaging,
    placed: PlacedStructure,
    pivot_px: tuple[float, float],
    plain: Array,
) -> BulkImaging | None:
    """Return a refit of the bulk, unless the plain fit describes the bulk as well.

    Parameters
    ----------
    found : RefinedImaging
        Of both grains' bulk, the core predicted.
    placed : PlacedStructure
        What it was fitted to.
    pivot_px : (float, float)
        Where grains are tied together [pixels of the whole image].
    plain : (n_y, n_x) float array
        Residual of the plain fit over the same pixels.

    Notes
    -----
    More parameters always leave less. Compared are variances per degree of freedom,
    pixels that share one error counted as one: without that, sixty parameters more
    would win on noise alone. And what the refit moves must be more than what it may
    move by mistake at the boundary, see `_misplaced`: where the image shows little
    bulk, the plain placement is the safer one.
    """
    mask = fitted_mask(placed, found.core)
    if _moved(found, placed, mask) < _misplaced(placed, mask):
        return None
    residual = placed.measured - found.simulated
    n = _n_independent(residual, mask, placed.pixels_per_angstrom)
    n_parameters = found.displacement.size + len(found.linear) + len(found.blur)
    plain_rms = float(np.sqrt(np.mean(plain[mask] ** 2)))
    freedom = n - n_parameters
    if freedom <= 0 or found.rms**2 / freedom >= plain_rms**2 / (n - N_PLAIN):
        return None
    return BulkImaging(
        corner=placed.corner,
        field=found.field,
        displacement=found.displacement,
        pivot_px=pivot_px,
        blur=found.blur,
        linear=found.linear,
        line_shifts=found.line_shifts,
        pixels_per_angstrom=placed.pixels_per_angstrom,
        rms=found.rms,
        plain_rms=plain_rms,
        estimates=found.estimates,
    )


def _moved(found: RefinedImaging, placed: PlacedStructure, mask: Mask) -> float:
    """Return by how much the bulk is bent, a shift of all of it apart [Å rms]."""
    rows, columns = np.nonzero(mask)
    points = np.stack((columns, rows), axis=-1) + np.array(placed.corner)
    share = grain_share(placed.heights[mask], BLEND)
    moves = found.field.displacement(points, share, found.displacement)
    bent = np.sum((moves - moves.mean(axis=0)) ** 2, axis=1)
    return float(np.sqrt(bent.mean())) / placed.pixels_per_angstrom


def _misplaced(placed: PlacedStructure, mask: Mask) -> float:
    """Return how wrong a displacement may be at the boundary [Å].

    A straight line through a depth of bulk whose columns lie off their sites by
    `OFF_SITE`, alike all along the boundary, continued to the boundary.
    """
    heights = placed.heights[mask]
    depths = [
        # corners of a slanted rectangle apart
        float(np.quantile(own, 0.95)) - CORE if len(own) else 0.0
        for own in (heights[heights > 0], -heights[heights < 0])
    ]
    depth = max(min(depths), 1e-6)
    return OFF_SITE * math.sqrt(12.0) * (CORE + depth / 2) / depth


def _n_independent(residual: Array, mask: Mask, pixels_per_angstrom: float) -> float:
    """Return the number of pixels over the number that share one error."""
    noise = autocovariance(residual, mask, max(2, round(REACH * pixels_per_angstrom)))
    shared = float(noise.sum()) / float(noise[0, 0])
    return float(np.count_nonzero(mask)) / max(1.0, shared)
