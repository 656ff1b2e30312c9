"""A template in one micrograph: what is compared, and how candidates look there."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison.appearance import (
    Appearance,
    Box,
    appearance,
    bending,
    covariance_map,
)
from autoloop.comparison.target import (
    Target,
    frame_of,
    grain_matrices,
    smooth_coordinates,
)
from autoloop.domain import Bicrystal, Columns
from autoloop.imaging.probe import z_exponent
from autoloop.scoring.emd import EmdResult, capped_emd, merge_close
from autoloop.scoring.placing import Placing
from autoloop.scoring.registration import CovarianceMap, bounding_box
from autoloop.scoring.similarity import FIXED_WINDOWS
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

__all__ = ["BAND", "EDGE", "RESOLVED", "Box", "Scene"]

BAND: Final = 8.0
"""Half-height of the boundary band that SSIM and EMD look at [Å]."""
EDGE: Final = 1.5
"""Unmatched columns this close to the edge of the band are free [Å]."""
RESOLVED: Final = 0.85
"""Columns closer than this share of the fitted column width are seen as one: Sparrow's
limit, two standard deviations of a Gaussian, is 0.85 of its full width at half maximum.
"""
_SEAM: Final = 1.0  # [Å]: left out at either end of a period that does not repeat


class Scene:
    """One micrograph with all that candidates of one template share in it.

    Attributes
    ----------
    template : BoundaryTemplate
        As given.
    target : Target
        As given.
    frame : Frame
        Of the micrograph.
    placing : Placing
        Where atoms lie.
    heights : (n_y, n_x) float array
        Distance of each pixel of the crop from the boundary line, upwards [Å].
    region, band : (n_y, n_x) bool array
        What is compared: all of it, and near the boundary.
    view : (slice, slice)
        Rows and columns that are simulated: the region, with room for the widest
        window of SSIM.
    measured : (n_y, n_x) float array
        The micrograph over the view.
    """

    def __init__(self, template: BoundaryTemplate, target: Target) -> None:
        self.template, self.target = template, target
        self.frame = frame_of(target.reading)
        self.placing = _placing(template, target)
        self._exponent = z_exponent(target.microscope)
        plain, _ = smooth_coordinates(
            target.reading, target.measured.shape, target.offset_px
        )
        self.heights = plain[..., 1]
        self._centre = self.frame.to_boundary(self.placing.centre_px()[None])[0]
        self.region = self._inside(plain, target.extent)
        self.band = self._inside(plain, BAND)
        self.view = bounding_box(self.region, margin=max(FIXED_WINDOWS) // 2)
        self.measured = np.ascontiguousarray(target.measured[self.view], float)
        self._appearance = appearance(target, self.view)
        self._seen = Columns(
            positions=self.frame.to_boundary(target.columns.positions),
            intensities=target.columns.intensities,
        )

    def windows(self) -> tuple[tuple[int, Mask], ...]:
        """Return window and mask, over the view, of ssim, ssim_7 and ssim_35."""
        narrow, wide = FIXED_WINDOWS
        region, band = self.region[self.view], self.band[self.view]
        return ((self.target.window, band), (narrow, region), (wide, region))

    def simulate(self, bicrystal: Bicrystal, translation: Array) -> Array:
        """Return the image (n_y, n_x) over the view, on the micrograph's intensities.

        Parameters
        ----------
        bicrystal : Bicrystal
            The candidate.
        translation : (1, 2) float array
            Of the lower grain's lattice [Å, model].
        """
        return self._simulate(bicrystal, translation, self._appearance)

    def simulate_crop(self, bicrystal: Bicrystal, translation: Array) -> Array:
        """Return what `simulate` does, over the whole crop."""
        whole = (slice(0, self.region.shape[0]), slice(0, self.region.shape[1]))
        return self._simulate(bicrystal, translation, appearance(self.target, whole))

    def weights(self, bicrystal: Bicrystal) -> Array:
        """Scattering power of each atom, per ångström of depth."""
        z = bicrystal.numbers.astype(float)
        return np.asarray(z**self._exponent / bicrystal.cell[2, 2])

    def seen(self, half_height: float) -> Columns:
        """Return the micrograph's columns within a height of the boundary [Å]."""
        return self.within(self._seen, half_height)

    def within(self, columns: Columns, half_height: float) -> Columns:
        """Return the columns [Å] that lie in the region, near enough."""
        inside = self._inside(columns.positions, half_height)
        return Columns(
            positions=columns.positions[inside], intensities=columns.intensities[inside]
        )

    def tiled(
        self,
        bicrystal: Bicrystal,
        period: Columns,
        translation: Array,
        half_height: float,
    ) -> tuple[Columns, NDArray[np.int64]]:
        """Return columns over the region [pixels], and which of one period each is."""
        placed = self.placing.place(bicrystal, period.positions, translation)[0]
        pixels = placed.reshape(-1, 2)
        labels = np.tile(np.arange(len(period)), len(placed))
        n_y, n_x = self.target.measured.shape
        local = pixels - self.target.offset_px
        seen = np.all((local > -0.5) & (local < [n_x - 0.5, n_y - 0.5]), axis=1)
        seen &= self._inside(self.frame.to_boundary(pixels), half_height)
        columns = Columns(
            positions=pixels[seen], intensities=period.intensities[labels[seen]]
        )
        return columns, labels[seen]

    def resolved(
        self,
        bicrystal: Bicrystal,
        period: Columns,
        translation: Array,
        half_height: float,
    ) -> Columns:
        """Return the candidate's columns, as an image resolves them [Å]."""
        distance = RESOLVED * self.target.column_width
        reach = half_height + 2 * distance
        tiled, _ = self.tiled(bicrystal, period, translation, reach)
        own = Columns(
            positions=self.frame.to_boundary(tiled.positions),
            intensities=tiled.intensities,
        )
        return self.within(merge_close(own, distance), half_height)

    def emd(
        self,
        seen: Columns,
        own: Columns,
        half_height: float,
        *,
        intensity: bool = False,
    ) -> EmdResult:
        """Return the distance between columns within a height of the boundary [Å]."""
        return capped_emd(
            seen,
            own,
            self._at_edge(seen, half_height),
            self._at_edge(own, half_height),
            intensity=intensity,
        )

    def covariance_map(self) -> CovarianceMap:
        """Return what a column adds to the covariance with the region, by its place.

        Its place is that of `Placing.straight`, before any bending.
        """
        region = self.region[self.view]
        level = self.measured[region].mean() if region.any() else 0.0
        excess = np.where(region, self.measured - level, 0.0)
        return covariance_map(self._appearance, excess, self.placing.bending)

    def _simulate(self, bicrystal: Bicrystal, shift: Array, shown: Appearance) -> Array:
        """Return the image of a bicrystal at one translation (1, 2)."""
        placed = self.placing.place(bicrystal, bicrystal.positions[:, :2], shift)[0]
        atoms = Columns(
            positions=placed.reshape(-1, 2),
            intensities=np.tile(self.weights(bicrystal), len(placed)),
        )
        return shown.image(atoms)

    def _inside(self, points: Array, half_height: float) -> Mask:
        """Whether points (..., 2) [Å] lie in the region compared."""
        inside = np.abs(points[..., 1]) <= half_height
        if not self.template.exact:
            half = self.placing.half_period() - _SEAM
            inside &= np.abs(points[..., 0] - self._centre[0]) <= half
        return np.asarray(inside)

    def _at_edge(self, columns: Columns, half_height: float) -> Mask:
        """Whether columns lie within `EDGE` of the region's or the crop's edge."""
        points = columns.positions
        pixels = self.frame.to_pixels(points) - self.target.offset_px
        n_y, n_x = self.target.measured.shape
        to_crop = np.min(np.minimum(pixels, [n_x - 1, n_y - 1] - pixels), axis=1)
        edge = to_crop * self.frame.pixel_size < EDGE
        edge |= np.abs(points[:, 1]) > half_height - EDGE
        if not self.template.exact:
            half = self.placing.half_period() - _SEAM
            edge |= np.abs(points[:, 0] - self._centre[0]) > half - EDGE
        return np.asarray(edge)


def _placing(template: BoundaryTemplate, target: Target) -> Placing:
    upper, lower = grain_matrices(target.reading)
    n_y, n_x = target.measured.shape
    return Placing(
        frame=frame_of(target.reading),
        shape=(n_y, n_x),
        offset_px=target.offset_px,
        # from the model's (x, y) [Å] to pixels
        upper=upper @ template.upper.to_reference,
        lower=lower @ template.lower.to_reference,
        lower_origin_px=np.asarray(target.reading.lower_origin_px, float),
        lattice=template.lower.lattice,
        width=template.width,
        exact=template.exact,
        bending=bending(target),
    )
