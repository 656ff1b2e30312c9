"""Atomic columns in a measured image: where they are and how bright.

Columns start as maxima of a Laplacian of Gaussian whose scale follows the image. Round
Gaussians of one width, on a background that varies slowly, are then fitted to all of
them jointly; what stands out of the rest is a column that was missed, and is added,
until nothing does. In between, scan lines that jitter are put back into line.
What the columns mean (lattices, motifs) is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns, Image
from autoloop.errors import DataError
from autoloop.microscopy.column_quality import flags
from autoloop.microscopy.column_search import Found, Search, searched
from autoloop.microscopy.detection import (
    detection_scale,
    without_blank_margin,
    without_ramp,
)

Array = NDArray[np.float64]

THRESHOLD: Final = 3.0
"""Least height of a column in standard errors; see `fit_columns`."""
NEIGHBOURHOOD: Final = 5.0
"""Range over which contrast and noise are compared [Å]: a few columns across."""
BACKGROUND: Final = 2.5
"""Range over which the background varies [Å]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnFit:
    """Columns of an image, how wide they look and how well they are known.

    Attributes
    ----------
    columns : Columns
        Positions (x, y) in pixels, an integer being a pixel's centre; intensities are
        the volumes 2 pi height sigma² of the fitted Gaussians above their local
        background, in units of the image times pixels².
    width_px : float
        Sigma of the fitted Gaussians, one for all [pixels]; 2.355 times it is the full
        width at half maximum.
    position_errors : (n, 2) float array
        Standard errors of x and y [pixels]: what noise of the image does, not what
        shifts whole lines or distorts the image does. In drawn images within a tenth of
        the scatter; of close pairs in shot noise up to a third too small.
    intensity_errors : (n,) float array
        Standard errors of the intensities, the width being known.
    significances : (n,) float array
        Heights in units of their errors, misfit of close neighbours included.
    quality : (n,) str array
        The first that holds of 'edge' (within 2 sigma of the frame), 'doubtful'
        (significance below 6), 'overlapping' (a neighbour within 2 sigma), 'dim' (less
        than 0.65 of the height usual around it), 'good'.
    """

    columns: Columns
    width_px: float
    position_errors: Array
    intensity_errors: Array
    significances: Array
    quality: NDArray[np.str_]


def find_columns(image: Image, *, spacing: float | None = None) -> Columns:
    """Find the atomic columns of an image.

    The columns of `fit_columns`, which see.
    """
    return fit_columns(image, spacing=spacing).columns


def fit_columns(
    image: Image, *, spacing: float | None = None, threshold: float = THRESHOLD
) -> ColumnFit:
    """Find the atomic columns of an image and fit a Gaussian to each.

    Parameters
    ----------
    image : Image
        Columns bright on dark; the fast scan along the rows.
    spacing : float, optional
        Shortest distance between columns to be told apart [Å]; by default the image
        decides, between 1.1 and 2 Å. Closer ones are told apart as far as the fit can.
    threshold : float
        Least significance of a column, half as much again for one that is dim or cut
        off by the frame. A lower one finds more columns, and more that are none.

    Returns
    -------
    ColumnFit
        Columns sorted by y, then x, their typical width and errors.

    Raises
    ------
    DataError
        If the image shows no columns.
    """
    # In units of the contrast the fit is conditioned alike for counts and fractions.
    unit = float(np.std(image.values)) or 1.0
    values = without_blank_margin((image.values - np.median(image.values)) / unit)
    values = without_ramp(values, max(8, round(NEIGHBOURHOOD / image.pixel_size)))
    scale = detection_scale(values, image.pixel_size, spacing)
    search = Search(
        threshold=threshold,
        background_px=max(BACKGROUND / image.pixel_size, 3.0 * scale),
        neighbourhood_px=max(NEIGHBOURHOOD / image.pixel_size, 4.0 * scale),
    )
    found = searched(values, scale, search)
    if not len(found.gaussians):
        raise DataError(
            f"no columns found in the image of {values.shape[1]} x {values.shape[0]} "
            f"pixels of {image.pixel_size:g} Å; check the pixel size, and that columns "
            "are bright on dark"
        )
    return _result(found, values.shape, unit)


def _result(found: Found, shape: tuple[int, ...], unit: float) -> ColumnFit:
    order = np.lexsort(found.gaussians.positions.T)
    gaussians, errors = found.gaussians.chosen(order), found.errors[order]
    significances = found.significances[order]
    volume = 2.0 * np.pi * gaussians.width**2 * unit
    return ColumnFit(
        columns=Columns(
            positions=gaussians.positions, intensities=volume * gaussians.heights
        ),
        width_px=gaussians.width,
        position_errors=errors[:, 1:],
        intensity_errors=volume * errors[:, 0],
        significances=significances,
        quality=flags(gaussians, significances, shape),
    )
