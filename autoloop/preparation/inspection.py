"""All that a micrograph says: region, columns, boundary and motifs in one value.

What `autoloop inspect` shows, what `autoloop init` writes down, and what `prepare`
fills the gaps of a run file with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import frame_of, grain_matrices
from autoloop.domain import Columns, Crystal, Grain, Image
from autoloop.errors import ConfigError, DataError
from autoloop.geometry import orientation
from autoloop.microscopy.columns import fit_columns
from autoloop.microscopy.indexing import BoundaryReading, read_boundary
from autoloop.microscopy.known import Known
from autoloop.microscopy.motifs import Motifs, segment_motifs
from autoloop.microscopy.orientations import lattice_rotations
from autoloop.microscopy.reading import Micrograph
from autoloop.microscopy.region import Crop, find_region
from autoloop.structure.lattices import bulk_atoms
from autoloop.units import FWHM_IN_SIGMA

Array = NDArray[np.float64]

ONE_COLUMN: Final = 0.35
"""Atoms whose projections lie within this distance are one column [Å]."""
ABOUT_THE_BEAM: Final = 1.0
"""Turns whose axis is this close to the beam are about it [degrees]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryLine:
    """The boundary line and what showed it.

    Attributes
    ----------
    angle_deg : float
        Counterclockwise angle from the image's right [degrees].
    point_px : (float, float)
        A point (x, y) on it [pixels of the whole image].
    source : str
        ``lattices`` or ``columns``; from the columns it is rougher.
    """

    angle_deg: float
    point_px: tuple[float, float]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """What one micrograph says.

    Attributes
    ----------
    micrograph : Micrograph
        The file as read.
    crop : (int, int, int, int)
        Region that was looked at: first row, row after the last, first column, column
        after the last [pixels].
    columns : Columns
        Every column of the region [pixels of the whole image].
    column_width : float
        Their typical full width at half maximum [Å].
    crystals : tuple of Crystal
        Those that the lattices were to be indexed with; may be empty.
    boundary : BoundaryReading, optional
        Both lattices and the boundary, if they can be told.
    cannot_tell : str
        Why they cannot, and what would help; empty if they can or no crystal is known.
    motifs : Motifs, optional
        The pattern that each column belongs to, unless `no_motifs` says why not.
    no_motifs : str
        Reason.
    notes : tuple of str
        What a person should know: what was left out of the image.
    """

    micrograph: Micrograph
    crop: Crop
    columns: Columns
    column_width: float
    crystals: tuple[Crystal, ...] = ()
    boundary: BoundaryReading | None = None
    cannot_tell: str = ""
    motifs: Motifs | None = None
    no_motifs: str = ""
    notes: tuple[str, ...] = ()

    @property
    def pixel_size(self) -> float:
        """As the lattices show it, else as the file says [Å]."""
        if self.boundary is None:
            return self.micrograph.image.pixel_size
        return self.boundary.reading.pixel_size

    @property
    def line(self) -> BoundaryLine | None:
        """The boundary line, if the lattices or else the columns show one."""
        if self.boundary is not None:
            reading = self.boundary.reading
            return BoundaryLine(
                angle_deg=reading.angle_deg,
                point_px=reading.origin_px,
                source="lattices",
            )
        motifs = self.motifs
        if motifs is None or motifs.angle_deg is None or motifs.point_px is None:
            return None
        return BoundaryLine(
            angle_deg=motifs.angle_deg, point_px=motifs.point_px, source="columns"
        )

    @property
    def grains(self) -> tuple[Grain, Grain] | None:
        """Both crystals as they lie in the boundary frame, the upper one first."""
        if self.boundary is None:
            return None
        return self.boundary.boundary.upper, self.boundary.boundary.lower


def inspect_micrograph(
    micrograph: Micrograph,
    crystals: tuple[Crystal, ...] = (),
    *,
    crop: Crop | None = None,
    known: Known | None = None,
) -> Inspection:
    """Read region, lattices, boundary, columns and motifs of a micrograph.

    Parameters
    ----------
    micrograph : Micrograph
        The file as read.
    crystals : tuple of Crystal
        One for both grains, or two; none leaves lattices and boundary out.
    crop : (int, int, int, int), optional
        Region to look at; by default all that is a micrograph.
    known : Known, optional
        What is known of orientations and boundary.

    Raises
    ------
    ConfigError
        If the crop does not fit the image.
    DataError
        If the image shows no columns.
    """
    image, notes = micrograph.image, tuple[str, ...]()
    if crop is None:
        region = find_region(image)
        crop, notes = region.crop, region.notes
    check_crop(image, crop)
    boundary, cannot_tell = _boundary(image, crystals, crop, known)
    size = image.pixel_size if boundary is None else boundary.reading.pixel_size
    part = Image(
        values=image.values[crop[0] : crop[1], crop[2] : crop[3]], pixel_size=size
    )
    found = fit_columns(part)
    columns = Columns(
        positions=found.columns.positions + np.array([crop[2], crop[0]]),
        intensities=found.columns.intensities,
    )
    motifs, no_motifs = _motifs(columns, size, crop, boundary)
    return Inspection(
        micrograph=micrograph,
        crop=crop,
        columns=columns,
        column_width=found.width_px * FWHM_IN_SIGMA * size,
        crystals=crystals,
        boundary=boundary,
        cannot_tell=cannot_tell,
        motifs=motifs,
        no_motifs=no_motifs,
        notes=notes,
    )


def check_crop(image: Image, crop: Crop) -> None:
    """Refuse a crop that reaches beyond the image."""
    n_y, n_x = image.values.shape
    if crop[1] > n_y or crop[3] > n_x:
        raise ConfigError(
            f"micrograph.crop {list(crop)} reaches beyond the image of {n_y} rows and "
            f"{n_x} columns; give [first row, last row, first column, last column]"
        )


def _boundary(
    image: Image, crystals: tuple[Crystal, ...], crop: Crop, known: Known | None
) -> tuple[BoundaryReading | None, str]:
    """Return what the lattices say, or why they cannot be told."""
    if not crystals:
        return None, ""
    try:
        return read_boundary(image, crystals, crop=crop, known=known), ""
    except DataError as error:
        return None, str(error)


def _motifs(
    columns: Columns,
    pixel_size: float,
    crop: Crop,
    boundary: BoundaryReading | None,
) -> tuple[Motifs | None, str]:
    """Return the motif of each column, or why there are none."""
    try:
        if boundary is None:
            return segment_motifs(columns, pixel_size, crop=crop), ""
        reading = boundary.reading
        motifs = segment_motifs(
            columns,
            pixel_size,
            crop=crop,
            angle_deg=reading.angle_deg,
            point_px=reading.origin_px,
        )
        return motifs, ""
    except DataError as error:
        return None, str(error)


def predicted_columns(inspection: Inspection) -> tuple[Array, Array]:
    """Return where both perfect lattices put columns, to the boundary line.

    Returns
    -------
    upper, lower : (n, 2) float array
        x and y [pixels of the whole image]; empty without a boundary.
    """
    if inspection.boundary is None or inspection.grains is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    reading = inspection.boundary.reading
    frame, crop = frame_of(reading), inspection.crop
    origins = (reading.upper_origin_px, reading.lower_origin_px)
    first, end = np.array([crop[2], crop[0]]), np.array([crop[3], crop[1]]) - 1
    corners = np.array([[x, y] for x in (first[0], end[0]) for y in (first[1], end[1])])
    both = []
    for grain, origin, matrix, side in zip(
        inspection.grains, origins, grain_matrices(reading), (1, -1), strict=True
    ):
        inside = (corners - origin) @ np.linalg.inv(matrix).T
        atoms, _, _ = bulk_atoms(grain, inside.min(axis=0), inside.max(axis=0))
        pixels = _one_each(atoms) @ matrix.T + origin
        kept = np.all((pixels >= first) & (pixels <= end), axis=1)
        kept &= side * frame.to_boundary(pixels)[:, 1] > 0
        both.append(pixels[kept])
    return both[0], both[1]


def _one_each(atoms: Array) -> Array:
    """Return one point for atoms that project on one column."""
    from scipy.spatial import cKDTree

    kept = np.ones(len(atoms), dtype=bool)
    for first, second in sorted(cKDTree(atoms).query_pairs(ONE_COLUMN)):
        if kept[first]:
            kept[second] = False
    return np.asarray(atoms[kept])


def tilt_deg(upper: Grain, lower: Grain) -> float | None:
    """Return the smallest turn about the beam that makes one grain the other.

    Parameters
    ----------
    upper, lower : Grain
        Of one crystal. Polarity does not count: all rotations of the lattice do.

    Returns
    -------
    float or None
        [degrees]; None if the crystals differ or no turn about the beam does.
    """
    if upper.crystal.name != lower.crystal.name:
        return None
    rotations = lattice_rotations(upper.crystal)
    turns = orientation(upper) @ rotations @ orientation(lower).T
    turns = turns[turns[:, 2, 2] > np.cos(np.deg2rad(ABOUT_THE_BEAM))]
    if not len(turns):
        return None
    return float(np.abs(np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))).min())
