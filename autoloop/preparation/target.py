"""From a micrograph to what candidates are compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoloop.comparison import (
    Target,
    frame_of,
    smooth_coordinates,
)
from autoloop.config import Campaign
from autoloop.domain import Columns, Grain, GrainBoundary, Image, Reading
from autoloop.errors import ConfigError, DataError
from autoloop.imaging.convolution import ColumnImager
from autoloop.imaging.fit import BLEND, apply, fit_imaging
from autoloop.imaging.probe import Microscope
from autoloop.microscopy.columns import fit_columns
from autoloop.microscopy.lattice import read_frame
from autoloop.microscopy.reading import Micrograph
from autoloop.microscopy.refinement import fit_grain
from autoloop.preparation.bulk import (
    bulk_columns,
    grain_atoms,
    grain_sides,
    with_bulk_refit,
)
from autoloop.preparation.inspection import check_crop
from autoloop.scoring.similarity import window_px
from autoloop.structure.lattices import bulk_atoms
from autoloop.structure.template import BoundaryTemplate
from autoloop.units import FWHM_IN_SIGMA

Array = NDArray[np.float64]

BULK: Final = (6.0, 25.0)
"""Distances from the boundary between which the imaging parameters are fitted [Å]."""
MIN_AGREEMENT: Final = 0.4
"""Correlation with its perfect lattice below which a grain counts as misread. Of the
noise only what looks like columns takes part: both images are blurred once more by the
width of a column. Right lattices give 0.98 in a simulated micrograph and 0.66 in the
noisiest one at hand, where pixels alone would give 0.4; of wrong ones three in four are
dark where the grain is bright, which the fit refuses, and the others give less."""
COVER: Final = 5.0
"""The region compared ends this far inside the slab [Å]."""


def read_target(
    campaign: Campaign,
    micrograph: Micrograph,
    reference: GrainBoundary,
    template: BoundaryTemplate,
) -> tuple[Target, str]:
    """Read the frame of a micrograph and fit the imaging.

    Returns
    -------
    target : Target
        What candidates are compared with.
    note : str
        What the image says, for people.

    Raises
    ------
    ConfigError
        If the crop does not fit the image.
    DataError
        If the image does not show what the campaign says.
    """
    section, optics = campaign.micrograph, campaign.microscope
    if section is None or optics is None:
        raise ConfigError("micrograph and microscope are needed together")
    rows, columns = _crop(micrograph.image, section.crop)
    offset = (columns.start, rows.start)
    reading = read_frame(
        micrograph.image,
        reference,
        crop=(rows.start, rows.stop, columns.start, columns.stop),
        angle_deg=campaign.boundary.angle_deg,
        point_px=campaign.boundary.point_px,
    )
    image = Image(
        values=micrograph.image.values[rows, columns], pixel_size=reading.pixel_size
    )
    found = fit_columns(image)
    seen = Columns(
        positions=found.columns.positions + offset,
        intensities=found.columns.intensities,
    )
    reading = with_own_maps(reading, image.values.shape, offset, reference, seen)
    microscope = Microscope(
        beam_energy_kev=optics.beam_energy_kev,
        convergence_mrad=optics.convergence_mrad,
        detector_mrad=optics.detector_mrad,
        defocus=optics.defocus,
        spherical_aberration_mm=optics.spherical_aberration_mm,
        thickness=optics.thickness,
    )
    target = _with_imaging_fit(
        image,
        offset,
        reading,
        microscope,
        reference,
        seen,
        width=found.width_px * FWHM_IN_SIGMA * reading.pixel_size,
        extent=template.free_thickness + template.block_thickness - COVER,
    )
    target, refitted = with_bulk_refit(target, template, reference)
    return target, f"{_note(reading)}; {refitted}"


def with_own_maps(
    reading: Reading,
    shape: tuple[int, ...],
    offset: tuple[int, int],
    reference: GrainBoundary,
    seen: Columns,
) -> Reading:
    """Give each grain the map that the columns near the boundary show.

    Parameters
    ----------
    reading : Reading
        One affine map for both grains.
    shape, offset : (int, int)
        Rows and columns of the crop; x and y of its first pixel.
    reference : GrainBoundary
        The perfect crystals with the lattice constants that set the scale.
    seen : Columns
        Columns of the crop [pixels of the whole image].

    Raises
    ------
    DataError
        If too few columns of a grain are seen near the boundary.
    """
    frame = frame_of(reading)
    pivot = np.array(reading.origin_px)
    changes: dict[str, Any] = {}
    for name, grain, origin, matrix, side in grain_sides(reading, reference):
        points, _ = grain_atoms(reading, shape, offset, grain, origin, matrix, side)
        heights = side * frame.to_boundary(points)[:, 1]
        found = fit_grain(seen.positions, points, heights, pivot, reading.pixel_size)
        if found is None:
            raise DataError(
                f"too few columns of the {name} grain are seen near the boundary to "
                "place its lattice; check its orientation, or give boundary.point_px"
            )
        moved = found.linear @ (origin - pivot) + found.shift + pivot
        own = (found.linear @ matrix).tolist()
        changes[f"{name}_matrix"] = (tuple(own[0]), tuple(own[1]))
        changes[f"{name}_origin_px"] = (float(moved[0]), float(moved[1]))
    return replace(reading, **changes)


def _crop(image: Image, crop: tuple[int, int, int, int] | None) -> tuple[slice, slice]:
    n_y, n_x = image.values.shape
    if crop is None:
        return slice(0, n_y), slice(0, n_x)
    check_crop(image, crop)
    return slice(crop[0], crop[1]), slice(crop[2], crop[3])


def _note(reading: Reading) -> str:
    off = 100 * (reading.pixel_size / reading.pixel_size_nominal - 1)
    return (
        f"pixel size {reading.pixel_size:.5f} Å ({off:+.1f} % of nominal), boundary at "
        f"{reading.angle_deg:+.2f} degrees through pixel ({reading.origin_px[0]:.0f}, "
        f"{reading.origin_px[1]:.0f}), shear {reading.shear:+.4f}, confidence "
        f"{reading.confidence:.2f}"
    )


def _with_imaging_fit(
    image: Image,
    offset: tuple[int, int],
    reading: Reading,
    microscope: Microscope,
    reference: GrainBoundary,
    seen: Columns,
    *,
    width: float,
    extent: float,
) -> Target:
    """Fit blur, gain and background on the bulk of both grains."""
    measured = image.values
    plain, smooth = smooth_coordinates(reading, measured.shape, offset)

    def make_imager(blur_sigma: float) -> ColumnImager:
        return ColumnImager(
            measured.shape,
            frame_of(reading).matrix,
            (float(offset[0]), float(offset[1])),
            microscope,
            blur_sigma,
        )

    bulk = bulk_columns(reading, measured.shape, offset, reference, microscope)
    height = np.abs(plain[..., 1])
    mask = (height > BULK[0]) & (height < BULK[1])
    # heights are one coordinate in two units
    blend = BLEND * float(smooth[0, 0, 1] / plain[0, 0, 1])
    imaging = fit_imaging(measured, mask, make_imager, bulk, smooth, blend)
    simulated = apply(imaging, make_imager(imaging.blur_sigma).image(bulk), smooth)
    seen_as, shown_as = (_as_columns(v, width, reading) for v in (measured, simulated))
    _refuse_misread("upper", seen_as, shown_as, mask & (plain[..., 1] > 0))
    _refuse_misread("lower", seen_as, shown_as, mask & (plain[..., 1] < 0))
    return Target(
        measured=measured,
        offset_px=offset,
        reading=reading,
        microscope=microscope,
        imaging=imaging,
        columns=seen,
        column_width=width,
        extent=extent,
        window=window_px(_column_spacing(reference.lower), reading.pixel_size),
    )


def _as_columns(values: Array, width: float, reading: Reading) -> Array:
    """Return an image blurred by a column of full width `width` at half maximum [Å]."""
    from scipy.ndimage import gaussian_filter

    sigma = width / FWHM_IN_SIGMA / reading.pixel_size
    return np.asarray(gaussian_filter(values, sigma))


def _refuse_misread(
    name: str, measured: Array, simulated: Array, side: NDArray[np.bool_]
) -> None:
    agreement = float(np.corrcoef(measured[side], simulated[side])[0, 1])
    if agreement < MIN_AGREEMENT:
        raise DataError(
            f"the {name} grain's lattice does not fit the image: correlation "
            f"{agreement:.2f}, {MIN_AGREEMENT} is needed; check its crystal, "
            "zone_axis, up and rotation_deg, or give boundary.point_px and "
            "boundary.angle_deg"
        )


def _column_spacing(grain: Grain) -> float:
    """Return the shortest distance between projected columns [Å]."""
    reach = np.array([12.0, 12.0])
    points = np.unique(np.round(bulk_atoms(grain, -reach, reach)[0], 2), axis=0)
    centre = points[np.argmin(np.hypot(points[:, 0], points[:, 1]))]
    return float(np.sort(np.hypot(*(points - centre).T))[1])
