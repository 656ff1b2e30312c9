"""Views as images, by the program's own sum over columns."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoloop.domain import Columns
from autoloop.imaging.convolution import MARGIN, ColumnImager
from autoloop.library.spectra import N_PIXELS, PIXEL
from autoloop.library.views import MICROSCOPE, View, columns_within

Array = NDArray[np.float64]

BLUR: Final = 0.4
"""Source size and vibration of the library's images, sigma [Å]: usual for a good
microscope."""
BLUR_STEP: Final = 0.05
"""Blurs are rounded to this [Å], so that few imagers are made."""


def image_of(seen: View, n_pixels: int = N_PIXELS) -> Array:
    """Return the image (n, n) of a view as the library has it."""
    columns = columns_within(seen, reach(n_pixels))
    return drawn(columns, n_pixels, BLUR)


def reach(n_pixels: int) -> float:
    """Return how far from its middle an image shows columns [Å]."""
    return n_pixels * PIXEL / 2 + MARGIN


def drawn(columns: Columns, n_pixels: int, blur: float) -> Array:
    """Return the image (n, n) of columns around its middle [Å, y up]."""
    positions = to_pixels(columns.positions, n_pixels)
    imager = _imager(n_pixels, round(blur / BLUR_STEP))
    return imager.image(Columns(positions=positions, intensities=columns.intensities))


def to_pixels(positions: Array, n_pixels: int) -> Array:
    """Return pixels (n, 2) of places given from an image's middle [Å, y up]."""
    return np.asarray(positions * [1.0, -1.0] / PIXEL + n_pixels // 2)


@lru_cache(maxsize=64)
def _imager(n_pixels: int, blur_steps: int) -> ColumnImager:
    matrix = np.array([[1.0, 0.0], [0.0, -1.0]]) / PIXEL
    return ColumnImager(
        (n_pixels, n_pixels), matrix, (0.0, 0.0), MICROSCOPE, blur_steps * BLUR_STEP
    )
