"""What candidates are compared with, and its frame in pixels and ångström."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Reading
from autoloop.geometry import Frame
from autoloop.imaging.bulk import BulkImaging
from autoloop.imaging.fit import ImagingParameters
from autoloop.imaging.probe import Microscope

Array = NDArray[np.float64]


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
    bulk : BulkImaging, optional
        The joint refit of both grains' bulk, by which candidates are shown; None where
        `imaging` describes the bulk as well.
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
    bulk: BulkImaging | None = None


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
