"""From a specimen to an image, by either engine."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Image
from autoloop.errors import ConfigError
from autoloop.geometry import Frame
from autoloop.imaging.convolution import MARGIN, ColumnImager
from autoloop.imaging.multislice import Multislice, MultisliceImager
from autoloop.imaging.probe import Microscope
from autoloop.imaging.specimen import Specimen, specimen_columns
from autoloop.units import FWHM_IN_SIGMA

Array = NDArray[np.float64]

RIM: Final = 2.0
"""Vacuum shown around a specimen where it ends [Å]."""
MAX_PIXELS: Final = 4096 * 4096
"""Most pixels of an image; more is a mistake in the pixel size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which part of a specimen an image shows.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    frame : Frame
        How the specimen's x and y lie in the image.
    """

    shape: tuple[int, int]
    frame: Frame


def make_view(
    specimen: Specimen,
    pixel_size: float,
    *,
    size: tuple[int, int] | None = None,
    repeat: int = 1,
    angle_deg: float = 0.0,
) -> View:
    """Return a view of the middle of a specimen.

    Parameters
    ----------
    specimen : Specimen
        What is seen.
    pixel_size : float
        [Å].
    size : (int, int), optional
        Rows and columns; without them all of the cell.
    repeat : int
        Cells along x that are shown, without `size`.
    angle_deg : float
        Counterclockwise angle of x from the image's right [degrees].

    Raises
    ------
    ConfigError
        If the image would have more than `MAX_PIXELS`.
    """
    low, high = specimen.bounds()
    if specimen.periodic[0]:
        high = high + np.array([(repeat - 1) * (high[0] - low[0]), 0.0])
    middle = (low + high) / 2
    turned = Frame(origin_px=(0.0, 0.0), pixel_size=pixel_size, angle_deg=angle_deg)
    if size is None:
        rim = np.where(specimen.periodic, 0.0, RIM)
        corners = _corners(low - rim, high + rim)
        n_x, n_y = np.round(np.ptp(turned.to_pixels(corners), axis=0)).astype(int)
        size = max(1, int(n_y)), max(1, int(n_x))
    if math.prod(size) > MAX_PIXELS:
        raise ConfigError(
            f"an image of {size[0]} x {size[1]} pixels is larger than {MAX_PIXELS} "
            f"pixels; take a pixel size above {pixel_size:g} Å or a smaller part"
        )
    shown = turned.to_pixels(middle[None])[0]
    centre = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    origin = centre - shown
    frame = Frame(
        origin_px=(float(origin[0]), float(origin[1])),
        pixel_size=pixel_size,
        angle_deg=angle_deg,
    )
    return View(shape=size, frame=frame)


def source_blur(
    source_size: float, vibration: float, *, multislice: bool = False
) -> float:
    """Return the blur that `simulate` takes.

    Parameters
    ----------
    source_size : float
        Full width at half maximum of the source [Å].
    vibration : float
        Of the atoms, r.m.s. along each axis [Å].
    multislice : bool
        Whether abTEM computes: there the atoms vibrate by themselves.

    Returns
    -------
    float
        Standard deviation along each axis [Å].
    """
    source = source_size / FWHM_IN_SIGMA
    return source if multislice else math.hypot(source, vibration)


def simulate(
    specimen: Specimen,
    view: View,
    microscope: Microscope,
    blur_sigma: float,
    multislice: Multislice | None = None,
) -> Image:
    """Simulate an image.

    Parameters
    ----------
    specimen : Specimen
        What is seen; as many cells deep as the microscope's thickness is nearest to.
    view : View
        Which part, and the pixels.
    microscope : Microscope
        Probe, detector and thickness.
    blur_sigma : float
        Standard deviation of the source along each axis [Å].
    multislice : Multislice, optional
        Compute by abTEM, with these settings; without them by convolution. There the
        vibration is part of the blur.

    Returns
    -------
    Image
        Intensities are shares of the beam.
    """
    if multislice is not None:
        imager = MultisliceImager(
            view.shape, view.frame, microscope, blur_sigma, multislice
        )
        values = imager.image(specimen)
    else:
        values = _convolve(specimen, view, microscope, blur_sigma)
    return Image(values=values, pixel_size=view.frame.pixel_size)


def _convolve(
    specimen: Specimen, view: View, microscope: Microscope, blur_sigma: float
) -> Array:
    n_y, n_x = view.shape
    edges = _corners(np.zeros(2), np.array([n_x - 1.0, n_y - 1.0]))
    seen = view.frame.to_boundary(edges)
    low, high = seen.min(axis=0) - MARGIN, seen.max(axis=0) + MARGIN
    found = specimen_columns(specimen, microscope, microscope.thickness, low, high)
    columns = Columns(
        positions=view.frame.to_pixels(found.positions), intensities=found.intensities
    )
    imager = ColumnImager(
        view.shape, view.frame.matrix, (0.0, 0.0), microscope, blur_sigma
    )
    return imager.image(columns)


def _corners(low: Array, high: Array) -> Array:
    """Return the (4, 2) corners of a rectangle."""
    return np.array(
        list(itertools.product((low[0], high[0]), (low[1], high[1]))), float
    )
