"""One candidate against the micrograph: placed, simulated, registered, scored.

Atoms are mapped into the image by the lattice of their own grain as measured, blended
across the core, so that neither the strain of an approximant nor the lattice constant
of a potential shows as a difference. The bulk of the lower grain ties the candidate to
the image: what is left to find is which of its lattice points lies where, a short list
of hypotheses. A wrong translation of the upper grain then shows as residual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Bicrystal, ColumnResiduals, Columns, Reading, Score
from autoloop.geometry import Frame, project_columns
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.fit import ImagingParameters, intensity_maps
from autoloop.imaging.probe import Microscope, z_exponent
from autoloop.scoring.emd import capped_emd, merge_close
from autoloop.scoring.registration import Registration, register, subpixel_shift
from autoloop.scoring.residuals import column_residuals
from autoloop.scoring.similarity import FIXED_WINDOWS, intensity_range, mse, ssim
from autoloop.structure.template import BoundaryTemplate

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice]

BAND: Final = 8.0
"""Half-height of the boundary band that SSIM and EMD look at [Å]."""
EDGE: Final = 1.5
"""Unmatched columns this close to the edge of the band are free [Å]."""
BLEND: Final = 4.0
"""Distance over which the map of one grain gives way to that of the other [Å]."""
RESOLVED: Final = 0.85
"""Columns closer than this share of the fitted column width are seen as one: Sparrow's
limit, two standard deviations of a Gaussian, is 0.85 of its full width at half maximum.
"""
HEIGHT_RANGE: Final = 3.5
"""How far the boundary of a candidate may lie from the line as read [Å]."""
_SEAM: Final = 1.0  # [Å]: left out at either end of a period that does not repeat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """What candidates are compared with: fixed once for a micrograph.

    Attributes
    ----------
    measured : (n_y, n_x) float array
        The crop.
    offset_px : (int, int)
        x and y of its first pixel in the whole image.
    reading : Reading
        Frame, boundary and lattice phases.
    microscope : Microscope
        The probe.
    imaging : ImagingParameters
        Fitted on the bulk of both grains.
    columns : Columns
        Columns seen in the crop [pixels of the whole image].
    column_width : float
        Their typical full width at half maximum [Å].
    extent : float
        Half-height of the region compared [Å].
    window : int
        Window of the windowed SSIM [pixels].
    """

    measured: Array
    offset_px: tuple[int, int]
    reading: Reading
    microscope: Microscope
    imaging: ImagingParameters
    columns: Columns
    column_width: float
    extent: float
    window: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """A candidate in the image.

    Attributes
    ----------
    simulated : (n_y, n_x) float array
        On the intensity scale of the micrograph, over the crop.
    columns : Columns
        Its columns over the region compared, tiled [pixels of the whole image];
        intensities are sums of Z**exponent.
    labels : (n,) int array
        For each of `columns`, the column of one period it is an image of.
    atom_labels : (n_atoms,) int array
        Column of one period to which each atom belongs.
    """

    simulated: Array
    columns: Columns
    labels: NDArray[np.int64]
    atom_labels: NDArray[np.int64]


def frame_of(reading: Reading) -> Frame:
    """Return the frame of a reading."""
    return Frame(
        origin_px=reading.origin_px,
        pixel_size=reading.pixel_size,
        angle_deg=reading.angle_deg,
        shear=reading.shear,
    )


def grain_matrices(reading: Reading) -> tuple[Array, Array]:
    """Return the map of each grain, (2, 2) [pixels per Å], upper first."""
    common = frame_of(reading).matrix
    upper, lower = (
        common if own is None else np.array(own)
        for own in (reading.upper_matrix, reading.lower_matrix)
    )
    return upper, lower


def pixel_coordinates(shape: tuple[int, ...], offset_px: tuple[int, int]) -> Array:
    """Return (n_y, n_x, 2) whole-image pixel coordinates of a crop."""
    rows, columns = np.indices(shape[:2], dtype=float)
    return np.stack((columns + offset_px[0], rows + offset_px[1]), axis=-1)


def smooth_coordinates(
    reading: Reading, shape: tuple[int, ...], offset_px: tuple[int, int]
) -> tuple[Array, Array]:
    """Return boundary coordinates of a crop's pixels, plain [Å] and normalised.

    Returns
    -------
    plain : (n_y, n_x, 2) float array
        (x, y) in the boundary frame of the reading [Å].
    normalised : (n_y, n_x, 2) float array
        The same over half the crop's diagonal: the coordinates of the imaging fit.
    """
    pixels = pixel_coordinates(shape, offset_px)
    plain = frame_of(reading).to_boundary(pixels.reshape(-1, 2)).reshape(pixels.shape)
    scale = 0.5 * math.hypot(shape[0], shape[1]) * reading.pixel_size
    return plain, plain / scale


class Comparison:
    """Compares bicrystals of one template with one target.

    Parameters
    ----------
    template : BoundaryTemplate
        What all candidates share.
    target : Target
        The micrograph.
    """

    def __init__(self, template: BoundaryTemplate, target: Target) -> None:
        self._template = template
        self._target = target
        self._frame = frame_of(target.reading)
        self._exponent = z_exponent(target.microscope)
        maps = grain_matrices(target.reading)
        # From the model's (x, y) [Å] to pixels, for each grain.
        self._upper = maps[0] @ template.upper.to_reference
        self._lower = maps[1] @ template.lower.to_reference
        plain, smooth = smooth_coordinates(
            target.reading, target.measured.shape, target.offset_px
        )
        self._gain, self._background = intensity_maps(target.imaging, smooth)
        self._centre = self._frame.to_boundary(self._centre_px()[None])[0]
        self.region = self._inside(plain, target.extent)
        self.band = self._inside(plain, BAND)
        # Only what is compared is simulated, with room for the widest SSIM window.
        self._view = _bounding_box(self.region, margin=max(FIXED_WINDOWS) // 2)
        self._imager = self._make_imager(self._view)
        self._lower_bulk = (self.region & (plain[..., 1] < -BLEND))[self._view]
        seen = self._frame.to_boundary(target.columns.positions)
        kept = self._inside(seen, BAND)
        self._measured = Columns(
            positions=seen[kept], intensities=target.columns.intensities[kept]
        )
        self._lattices: dict[float, Array] = {}

    def compare(self, bicrystal: Bicrystal) -> tuple[Score, ColumnResiduals]:
        """Register a bicrystal and score it.

        Returns
        -------
        score : Score
            Without energies.
        residuals : ColumnResiduals
            Columns of the band, in the boundary frame of the reading [Å].
        """
        measured, region = self._target.measured[self._view], self.region[self._view]
        shift, found, simulated = self._register(bicrystal)
        dx, dy = subpixel_shift(measured, simulated, self._lower_bulk)
        own = self._own_columns(bicrystal, shift)
        edges = (self._at_edge(self._measured), self._at_edge(own))
        plain = capped_emd(self._measured, own, *edges)
        with_intensity = capped_emd(self._measured, own, *edges, intensity=True)
        span = intensity_range(measured, region)
        window, band = self._target.window, self.band[self._view]
        narrow, wide = FIXED_WINDOWS
        score = Score(
            ssim=ssim(measured, simulated, window, band, span),
            ssim_7=ssim(measured, simulated, narrow, region, span),
            ssim_35=ssim(measured, simulated, wide, region, span),
            emd_angstrom_per_column=plain.value,
            emd_intensity=with_intensity.value,
            mse=mse(measured, simulated, region),
            shift_px=(dx, dy),
            confidence=found.confidence,
        )
        return score, column_residuals(self._measured, own, plain.pairs)

    def place(self, bicrystal: Bicrystal) -> Placement:
        """Return a bicrystal as it lies in the image, over the whole crop."""
        shift = self._register(bicrystal)[0]
        whole = _bounding_box(np.ones_like(self.region), margin=0)
        simulated = self._simulate(bicrystal, shift, self._make_imager(whole), whole)
        columns, labels, atom_labels = self._tiled_columns(bicrystal, shift)
        return Placement(
            simulated=simulated,
            columns=columns,
            labels=labels,
            atom_labels=atom_labels,
        )

    def _make_imager(self, view: Box) -> ColumnImager:
        rows, columns = view
        x, y = self._target.offset_px
        return ColumnImager(
            (rows.stop - rows.start, columns.stop - columns.start),
            self._frame.matrix,
            (float(x + columns.start), float(y + rows.start)),
            self._target.microscope,
            self._target.imaging.blur_sigma,
        )

    def _register(self, bicrystal: Bicrystal) -> tuple[Array, Registration, Array]:
        """Return the best lattice translation, how sure it is, and its image."""
        shifts = self._hypotheses(bicrystal)
        stack = np.array(
            [self._simulate(bicrystal, s, self._imager, self._view) for s in shifts]
        )
        found = register(
            self._target.measured[self._view], stack, self.region[self._view]
        )
        return shifts[found.index], found, stack[found.index]

    def _own_columns(self, bicrystal: Bicrystal, shift: Array) -> Columns:
        """Return the candidate's columns in the band, as an image resolves them [Å]."""
        tiled = self._tiled_columns(bicrystal, shift)[0]
        own = Columns(
            positions=self._frame.to_boundary(tiled.positions),
            intensities=tiled.intensities,
        )
        own = merge_close(own, RESOLVED * self._target.column_width)
        inside = self._inside(own.positions, BAND)
        return Columns(
            positions=own.positions[inside], intensities=own.intensities[inside]
        )

    def _centre_px(self) -> Array:
        """Return the point of the boundary line nearest to the crop's centre."""
        n_y, n_x = self._target.measured.shape
        middle = np.array([(n_x - 1) / 2, (n_y - 1) / 2]) + self._target.offset_px
        x = self._frame.to_boundary(middle[None])[0, 0]
        return np.asarray(self._frame.to_pixels(np.array([[x, 0.0]]))[0])

    def _inside(self, points: Array, half_height: float) -> Mask:
        """Whether points (..., 2) [Å] lie in the region compared."""
        inside = np.abs(points[..., 1]) <= half_height
        if not self._template.exact:
            half = self._half_period() - _SEAM
            inside &= np.abs(points[..., 0] - self._centre[0]) <= half
        return np.asarray(inside)

    def _half_period(self) -> float:
        """Return half of one period as the lower grain's lattice shows it [Å]."""
        return (
            0.5
            * self._target.reading.pixel_size
            * float(np.linalg.norm(self._lower[:, 0]) * self._template.width)
        )

    def _at_edge(self, columns: Columns) -> Mask:
        """Whether columns lie within `EDGE` of the band's or the crop's edge."""
        points = columns.positions
        pixels = self._frame.to_pixels(points) - self._target.offset_px
        n_y, n_x = self._target.measured.shape
        to_crop = np.min(np.minimum(pixels, [n_x - 1, n_y - 1] - pixels), axis=1)
        edge = to_crop * self._frame.pixel_size < EDGE
        edge |= np.abs(points[:, 1]) > BAND - EDGE
        if not self._template.exact:
            half = self._half_period() - _SEAM
            edge |= np.abs(points[:, 0] - self._centre[0]) > half - EDGE
        return np.asarray(edge)

    def _hypotheses(self, bicrystal: Bicrystal) -> Array:
        """Return lattice translations (k, 2) of the lower grain to try [Å, model].

        One period along x; along y, those that bring the boundary near the line.
        """
        width = round(float(bicrystal.cell[0, 0]), 6)
        if width not in self._lattices:
            self._lattices[width] = _projected_points(self._template, width)
        points = self._lattices[width]
        height = bicrystal.boundary_height - bicrystal.origins[1, 1]
        mapped = self._lower_to_boundary(points + np.array([0.0, height]))
        return points[np.abs(mapped[:, 1]) <= HEIGHT_RANGE]

    def _lower_to_boundary(self, offsets: Array) -> Array:
        """Map offsets (n, 2) from the lower lattice origin to the reading's frame."""
        pixels = offsets @ self._lower.T + self._target.reading.lower_origin_px
        return self._frame.to_boundary(pixels)

    def _place(self, bicrystal: Bicrystal, xy: Array, shift: Array) -> Array:
        """Map points (n, 2) of one period into the image [pixels], tiled.

        Returns (tiles, n, 2).
        """
        origin = np.asarray(self._target.reading.lower_origin_px)
        points = xy - bicrystal.origins[1, :2] + shift
        height = bicrystal.boundary_height - bicrystal.origins[1, 1] + shift[1]
        # the model's point on its boundary that falls on the centre of the line
        across = np.linalg.inv(self._lower) @ (self._centre_px() - origin)
        pivot = np.array([across[0], height])
        width = float(bicrystal.cell[0, 0])
        points[:, 0] -= width * np.round((points[:, 0] - pivot[0]) / width)
        tiled = points[None] + self._tiles(width)[:, None, None] * np.array(
            [width, 0.0]
        )
        share = np.clip((tiled[..., 1] - height) / BLEND, 0.0, 1.0)
        share = (share * share * (3 - 2 * share))[..., None]
        turned = (tiled - pivot) @ (self._upper - self._lower).T
        return np.asarray(tiled @ self._lower.T + share * turned + origin)

    def _tiles(self, width: float) -> Array:
        if not self._template.exact:
            return np.array([-1.0, 0.0, 1.0])  # neighbours lend the tails of probes
        n_y, n_x = self._target.measured.shape
        reach = np.hypot(n_x, n_y) * self._frame.pixel_size / width
        n = int(np.ceil(reach / 2)) + 2
        return np.arange(-n, n + 1, dtype=float)

    def _simulate(
        self, bicrystal: Bicrystal, shift: Array, imager: ColumnImager, view: Box
    ) -> Array:
        placed = self._place(bicrystal, bicrystal.positions[:, :2], shift)
        columns = Columns(
            positions=placed.reshape(-1, 2),
            intensities=np.tile(self._weights(bicrystal), len(placed)),
        )
        return self._gain[view] * imager.image(columns) + self._background[view]

    def _weights(self, bicrystal: Bicrystal) -> Array:
        """Scattering power of each atom, per ångström of depth."""
        z = bicrystal.numbers.astype(float)
        return np.asarray(z**self._exponent / bicrystal.cell[2, 2])

    def _tiled_columns(
        self, bicrystal: Bicrystal, shift: Array
    ) -> tuple[Columns, NDArray[np.int64], NDArray[np.int64]]:
        """Return the columns over the region [pixels], and where they come from.

        With the column of one period that each is an image of, and that of each atom.
        """
        period, atom_labels = project_columns(bicrystal, self._weights(bicrystal))
        placed = self._place(bicrystal, period.positions, shift)
        pixels = placed.reshape(-1, 2)
        labels = np.tile(np.arange(len(period)), len(placed))
        n_y, n_x = self._target.measured.shape
        local = pixels - self._target.offset_px
        seen = np.all((local > -0.5) & (local < [n_x - 0.5, n_y - 0.5]), axis=1)
        seen &= self._inside(self._frame.to_boundary(pixels), self._target.extent)
        columns = Columns(
            positions=pixels[seen],
            intensities=np.tile(period.intensities, len(placed))[seen],
        )
        return columns, labels[seen], atom_labels


def _bounding_box(mask: Mask, margin: int) -> Box:
    """Return the rows and columns that hold a mask, and a margin within the array."""
    found = []
    for axis in (0, 1):
        hit = np.flatnonzero(mask.any(axis=1 - axis))
        start = max(0, int(hit[0]) - margin) if len(hit) else 0
        stop = min(mask.shape[axis], int(hit[-1]) + 1 + margin) if len(hit) else 1
        found.append(slice(start, stop))
    return found[0], found[1]


def _projected_points(template: BoundaryTemplate, width: float) -> Array:
    """Return (k, 2) projected lattice points of the lower grain, one cell of x [Å].

    Those whose height suffices to bring any termination to the line as read.
    """
    reach = np.arange(-12, 13)
    cells = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3)
    points = (cells @ template.lower.lattice)[:, :2]
    points = points[np.abs(points[:, 1]) < 4 * HEIGHT_RANGE]
    x = np.mod(points[:, 0] + 1e-3, width) - 1e-3
    return np.unique(np.round(np.column_stack((x, points[:, 1])), 4), axis=0)


def with_energies(
    score: Score,
    energy: float | None,
    limits: tuple[float, float] | None,
    excess_per_nm2: float | None,
) -> Score:
    """Return a score with the energies filled in."""
    return replace(
        score,
        energy_j_per_m2=energy,
        energy_limits_j_per_m2=limits,
        gamma_excess_per_nm2=excess_per_nm2,
    )
